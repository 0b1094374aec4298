"""`crm-simulator triggers`: the twelve boxes of Integration > CRM Triggers."""

from typing import TYPE_CHECKING

import click

from simulator.remote_cli.connection import remote
from simulator.remote_cli.printing import as_json, say_json, say_rows
from simulator.remote_cli.values import EVENTS, KINDS

if TYPE_CHECKING:
    from simulator.client import Control


@click.group()
def triggers() -> None:
    """Show and fill the boxes of Integration > CRM Triggers."""


@triggers.command(name="list")
@as_json
@remote
def list_triggers(sim: "Control", as_json: bool) -> None:
    """List the URL in each box."""
    boxes = sim.triggers.list()
    if as_json:
        say_json(boxes)
    else:
        say_rows(((box.kind, box.event, box.url or "-") for box in boxes), "")


@triggers.command(name="set")
@click.argument("kind", type=KINDS)
@click.argument("event", type=EVENTS)
@click.argument("trigger_url", metavar="URL")
@remote
def set_trigger(sim: "Control", kind: str, event: str, trigger_url: str) -> None:
    """Put a URL into one box; '' empties it."""
    sim.triggers.set(kind, event, trigger_url)
    click.echo(f"{kind} {event} {'has its URL' if trigger_url else 'is empty'}.")


@triggers.command()
@click.argument("trigger_url", metavar="URL")
@remote
def set_all(sim: "Control", trigger_url: str) -> None:
    """Put a URL into all boxes; '' empties them.

    {kind} and {event} in it become customer, create and so on.
    """
    sim.triggers.set_all(trigger_url)
    click.echo(f"All boxes {'have their URL' if trigger_url else 'are empty'}.")
