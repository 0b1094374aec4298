"""`crm-simulator doctor`: whether triggers can arrive, and what to do where they cannot."""

from typing import TYPE_CHECKING

import click
from click.exceptions import Exit

from simulator.remote_cli.connection import remote
from simulator.remote_cli.printing import as_json, say_json

if TYPE_CHECKING:
    from simulator.client import Control


@click.command()
@as_json
@remote
def doctor(sim: "Control", as_json: bool) -> None:
    """See whether each trigger URL is reached and trusted from where the simulator runs.

    Ends with 1 where one is not, or where all boxes are empty.
    """
    found = sim.doctor()
    if as_json:
        say_json([found])
    else:
        for finding in found.findings:
            click.echo(f"{'ok ' if finding.reachable else 'BAD'}  {finding.sentence}")
            if finding.advice:
                click.echo(f"     {finding.advice}")
        if not found.boxes_filled:
            click.echo("BAD  No box has a URL, so no trigger fires.")
            click.echo("     Fill them: crm-simulator triggers set-all URL.")
    if not found.well:
        raise Exit(1)
