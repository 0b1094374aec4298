"""`crm-simulator clock`: where it stands; stop it, move it through all that is due, let it run."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from simulator.remote_cli.connection import remote
from simulator.remote_cli.printing import as_json, counted, say_json, when
from simulator.remote_cli.values import instant, span, timeout

if TYPE_CHECKING:
    from simulator.client import Control
    from simulator.control_api.clock import ClockOut, Moved


@click.group()
def clock() -> None:
    """Show and move the simulator's clock.

    On the way every delivery is attempted at its own instant. The clock never goes back.
    """


@clock.command()
@as_json
@remote
def show(sim: "Control", as_json: bool) -> None:
    """Print where it stands."""
    _say(sim.clock.show(), as_json)


@clock.command()
@click.option("--at", type=instant, help="A later instant to stand still at; by default now.")
@timeout
@as_json
@remote
def freeze(sim: "Control", at: datetime | None, timeout_s: float, as_json: bool) -> None:
    """Let it stand still."""
    _say_moved(sim.clock.freeze(at, timeout_s=timeout_s), as_json)


@clock.command(name="set")
@click.argument("at", metavar="INSTANT", type=instant)
@timeout
@as_json
@remote
def set_clock(sim: "Control", at: datetime, timeout_s: float, as_json: bool) -> None:
    """Go to an instant, such as 2026-03-02T09:00Z."""
    _say_moved(sim.clock.set(at, timeout_s=timeout_s), as_json)


# -5 is a span that can be refused with a sentence, not an option.
@clock.command(context_settings={"ignore_unknown_options": True})
@click.argument("by_s", metavar="SPAN", type=span)
@timeout
@as_json
@remote
def advance(sim: "Control", by_s: float, timeout_s: float, as_json: bool) -> None:
    """Go forward by a span, such as 90s, 15m, 30h or 2d."""
    _say_moved(sim.clock.advance(by_s, timeout_s=timeout_s), as_json)


@clock.command("run-until-idle")
@timeout
@as_json
@remote
def run_until_idle(sim: "Control", timeout_s: float, as_json: bool) -> None:
    """Go on until no delivery waits any more."""
    _say_moved(sim.clock.run_until_idle(timeout_s=timeout_s), as_json)


@clock.command()
@as_json
@remote
def resume(sim: "Control", as_json: bool) -> None:
    """Let it run at real pace from where it stands."""
    _say(sim.clock.resume(), as_json)


def _say(clock: "ClockOut", as_json: bool) -> None:
    if as_json:
        say_json([clock])
    else:
        click.echo(f"{when(clock.now)} {'standing still' if clock.frozen else 'running'}")


def _say_moved(moved: "Moved", as_json: bool) -> None:
    _say(moved, as_json)
    if not as_json:
        idle = "nothing waits" if moved.idle else "deliveries wait"
        click.echo(f"{counted(moved.attempts, 'attempt')} on the way; {idle} now.")
