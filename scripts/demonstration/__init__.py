"""What `scripts/demo` does: three processes, agents at work, an outage, a comparison.

    cli -> story -> processes, parts      start, kill and stop the three programs
                 -> console, agents       work the forms of Agent Console and Configuration Manager
                 -> observe, screen       read both databases, show how far the triggers are
                 -> compare, verdict      both databases record by record, and the exit code

It knows the programs as a user does: by their commands, variables, pages and database files.
"""
