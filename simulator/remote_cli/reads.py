"""`crm-simulator journal`, `events` and `digest`: what happened."""

from typing import TYPE_CHECKING, Any

import click

from simulator.remote_cli.connection import remote
from simulator.remote_cli.printing import as_json, say_json, say_rows, told, when
from simulator.remote_cli.values import KINDS

if TYPE_CHECKING:
    from simulator.client import Control
    from simulator.control_api.events import EventOut
    from simulator.control_api.journal import ApiRequestOut, EntryOut, SentTriggerOut


@click.command()
@click.option("--door", type=click.Choice(["crm_api", "trigger"]), help="Only calls of one way.")
@click.option("--kind", type=KINDS, help="Only calls about this kind.")
@click.option("--action", help="Only Get, Add or Modify; Create, Edit or Delete.")
@click.option("--record", "record_id", metavar="ID", help="Only calls about this record.")
@click.option("--delivery", "delivery_id", type=click.IntRange(1), help="Only of this delivery.")
@click.option("--after", type=click.IntRange(0), help="Only entries with a larger number.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=1000, show_default=True)
@as_json
@remote
def journal(sim: "Control", as_json: bool, **filters: Any) -> None:
    """List CRM API requests and triggers sent, oldest first, without secrets."""
    found = sim.journal.list(**filters)
    if as_json:
        say_json(found)
    else:
        say_rows(map(_call, found), "The journal has no such entry.")


@click.command()
@click.option("--what", help="Only such events, e.g. attempt-ended.")
@click.option("--id", help="Only events about this, e.g. 'Customer 10000000'.")
@click.option("--limit", type=click.IntRange(1, 20_000), default=1000, show_default=True)
@as_json
@remote
def events(sim: "Control", as_json: bool, **filters: Any) -> None:
    """List logical events by time and id: equal for equal seeds, calls and a frozen clock."""
    found = sim.events.list(**filters)
    if as_json:
        say_json(found)
    else:
        say_rows(map(_event, found), "There are no such events.")


@click.command()
@as_json
@remote
def digest(sim: "Control", as_json: bool) -> None:
    """Print the digest of all logical events that ever were."""
    found = sim.events.summary()
    if as_json:
        say_json([found])
    else:
        click.echo(found.digest)


def _call(entry: "EntryOut") -> tuple[object, ...]:
    if entry.trigger is not None:
        return entry.number, when(entry.at), *_sent(entry.trigger)
    assert entry.crm_api is not None  # noqa: S101 an entry is one or the other
    return entry.number, when(entry.at), *_asked(entry.crm_api)


def _sent(trigger: "SentTriggerOut") -> tuple[object, ...]:
    return "->", trigger.trigger, trigger.record_id, trigger.error or trigger.status, trigger.url


def _asked(request: "ApiRequestOut") -> tuple[object, ...]:
    ended = request.error or request.http_status
    about = " ".join(request.records), ended, told(request.tags)
    return "<-", f"{request.object} {request.action}", *about


def _event(event: "EventOut") -> tuple[object, ...]:
    return when(event.at), event.what, event.id, told(event.about.items())
