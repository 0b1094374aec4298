"""Delete All: the question with the password, and the page that shows how far it is.

In: an agent's request. Out: a page or a redirect. Few records are deleted at once, and the next
page is the list. More are deleted in the background: a request must not hang for as long as that
takes. Killed midway: what was deleted is gone, the others are there, and Delete All can be asked
for again.
"""

import hmac

from flask import abort, flash, redirect, render_template, request, url_for

from simulator.agent_console import notices
from simulator.agent_console.acting import author
from simulator.agent_console.deleting import tab, what_goes
from simulator.agent_console.screens import Screen
from simulator.db import read_session
from simulator.local_crm import delete_all as steps
from simulator.local_crm import walk
from simulator.local_crm.background import Job, Tell
from simulator.local_crm.many import Deleted
from simulator.services import services
from simulator.web.answers import Page

SWITCH = "delete_all_fires"


def show_delete_all(path: str) -> Page:
    """Ask for the password before everything is deleted."""
    return _question(tab(path))


def delete_all(path: str) -> Page:
    """Delete every record of the kind that is there now (trigger.delete-all-of-tab)."""
    screen = tab(path)
    password = services().settings.agent_password.get_secret_value()
    typed = request.form.get("password", "")
    if not hmac.compare_digest(password.encode(), typed.encode("utf-8", "replace")):
        problem = "This is not the agent's password. Nothing was deleted."
        return _question(screen, problem if typed else "Password is required.")
    with read_session(services().engine) as db:
        total = walk.count_all(db, screen.kind)
    # In the thread there is no request to ask.
    sessions, clock, by = services().sessions, services().clock, author()
    fires = services().settings.delete_all_fires

    def work(tell: Tell) -> Deleted:
        return steps.delete_all(sessions, screen.kind, by, clock, fires=fires, tell=tell)

    if total <= steps.AT_A_TIME:
        deleted = work(lambda done, total: None)
        if deleted.count:
            notices.note_deleted(deleted, switch=SWITCH)
        else:
            flash(f"There were no {screen.plural.lower()} to delete.", "info")
        return redirect(url_for(".show_list", path=path))
    what = f"Delete all {screen.plural.lower()}"
    job = services().deletions.begin(what, screen.kind, total, work, Deleted(screen.kind))
    return redirect(url_for(".show_deletion", path=path, number=job.number))


def show_deletion(path: str, number: int) -> Page:
    """How far a Delete All is, and what came of it."""
    return _progress("agent_console/deletion.html", tab(path), number)


def show_deletion_progress(path: str, number: int) -> Page:
    """The changing part of that page."""
    return _progress("agent_console/_deletion.html", tab(path), number)


def _question(screen: Screen, problem: str = "") -> Page:
    with read_session(services().engine) as db:
        total = walk.count_all(db, screen.kind)
        going = what_goes(db, screen, None)
    page = render_template(
        "agent_console/delete_all.html", screen=screen, total=total, **going, problem=problem
    )
    return page, 422 if problem else 200


def _progress(template: str, screen: Screen, number: int) -> Page:
    job: Job[Deleted] | None = services().deletions.find(number)
    if job is None or job.kind is not screen.kind:
        abort(
            404,
            f"There is no Delete All {number} of {screen.plural.lower()} since the simulator was "
            "started, or none any more.",
        )
    line = notices.line_of_deletion(job.report, switch=SWITCH) if job.report.count else None
    return render_template(template, screen=screen, job=job, line=line)
