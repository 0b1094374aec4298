"""`crm-simulator deliveries`: look at them, send them again, stop and start the sending."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from simulator.options import Refused
from simulator.remote_cli.connection import remote
from simulator.remote_cli.printing import as_json, counted, say_json, say_rows, when
from simulator.remote_cli.values import EVENTS, KINDS

if TYPE_CHECKING:
    from simulator.client import Control
    from simulator.control_api.deliveries import DeliveryOut

_Command = TypeVar("_Command", bound=Callable[..., Any])
_id = click.argument("delivery_id", metavar="ID", type=click.IntRange(1))


def _filters(command: _Command) -> _Command:
    states = click.Choice(["waiting", "delivered", "exhausted"])
    for option in (
        click.option("--account", "account_id", metavar="ID", help="Only those with AccountID."),
        click.option("--record", "record_id", metavar="ID", help="Only those of this record."),
        click.option("--event", type=EVENTS, help="Only those of this event."),
        click.option("--kind", type=KINDS, help="Only those of this kind."),
        click.option("--state", type=states, help="Only those in this state."),
    ):
        command = option(command)
    return command


@click.group()
def deliveries() -> None:
    """List triggers and their attempts; send again, pause, resume."""


@deliveries.command(name="list")
@_filters
@as_json
@remote
def list_deliveries(sim: "Control", as_json: bool, **filters: Any) -> None:
    """List those that fit, oldest first."""
    found = sim.deliveries.list(**filters)
    if as_json:
        say_json(found)
    else:
        say_rows(map(_row, found), "No delivery fits.")


@deliveries.command()
@_id
@as_json
@remote
def show(sim: "Control", delivery_id: int, as_json: bool) -> None:
    """Show one with its attempts."""
    found = sim.deliveries.get(delivery_id)
    if as_json:
        say_json([found])
        return
    click.echo(f"{found.kind} {found.event} of {found.record_id}: {_standing(found)}")
    click.echo(found.url)
    attempts = (
        (one.number, when(one.started_at), f"{one.duration_ms:.0f} ms", one.error or one.status)
        for one in found.attempts
    )
    say_rows(attempts, "No attempt was made yet.")


@deliveries.command()
@click.argument("delivery_id", metavar="[ID]", type=click.IntRange(1), required=False)
@_filters
@click.option("--all", "everything", is_flag=True, help="All that do not wait by themselves.")
@click.option("--dry-run", is_flag=True, help="Only say how many there are.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@remote
def redeliver(
    sim: "Control",
    delivery_id: int | None,
    everything: bool,
    dry_run: bool,
    yes: bool,
    **filters: Any,
) -> None:
    """Send delivered or exhausted ones again: one by its id, or all that fit.

    Of many it says first how many they are, and asks.
    """
    chosen = any(value is not None for value in filters.values())
    if [delivery_id is not None, chosen, everything].count(True) != 1:
        raise Refused("Say which: an id, or filters such as --state exhausted, or --all.")
    if delivery_id is None:
        _redeliver_many(sim, dry_run, yes, filters)
    elif dry_run:
        click.echo("1 delivery fits.")
    else:
        sim.deliveries.redeliver(delivery_id)
        click.echo(f"Delivery {delivery_id} is due again.")


@deliveries.command()
@remote
def pause(sim: "Control") -> None:
    """Send nothing until it is resumed."""
    sim.deliveries.pause()
    click.echo("Deliveries are paused.")


@deliveries.command()
@remote
def resume(sim: "Control") -> None:
    """Send what is due again."""
    sim.deliveries.resume()
    click.echo("Deliveries go on.")


def _redeliver_many(sim: "Control", dry_run: bool, yes: bool, filters: dict[str, Any]) -> None:
    count = sim.deliveries.redeliver_many(dry_run=True, **filters).count
    told = counted(count, "delivery", "deliveries")
    if dry_run or not count:
        click.echo(f"{told} {'fits' if count == 1 else 'fit'}.")
        return
    if not yes:
        click.confirm(f"Send {told} again?", abort=True, err=True)
    sim.deliveries.redeliver_many(expected=count, **filters)
    click.echo(f"{told} {'is' if count == 1 else 'are'} due again.")


def _row(one: "DeliveryOut") -> tuple[object, ...]:
    return one.id, when(one.created_at), one.kind, one.event, one.record_id, _standing(one)


def _standing(one: "DeliveryOut") -> str:
    """State, attempts, and for one that waits when it is tried next and what happened last."""
    told = f"{one.state}, {counted(one.attempt_count, 'attempt')}"
    if one.next_attempt_at is not None:
        told += f", next {when(one.next_attempt_at)}"
    error = one.attempts[-1].error if one.attempts else None
    return told if error is None else f"{told}; {error}"
