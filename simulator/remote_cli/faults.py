"""`crm-simulator faults`: what breaks on purpose."""

from typing import TYPE_CHECKING

import click

from simulator.remote_cli.connection import remote
from simulator.remote_cli.printing import as_json, counted, say_json, say_rows, told
from simulator.remote_cli.values import pairs

if TYPE_CHECKING:
    from simulator.client import Control
    from simulator.control_api.faults import FaultKindOut, FaultOut


@click.group()
def faults() -> None:
    """Break triggers and CRM API calls on purpose."""


@faults.command()
@click.argument("fault")
@click.argument("parameters", nargs=-1, metavar="[NAME=VALUE]...")
@as_json
@remote
def add(sim: "Control", fault: str, parameters: tuple[str, ...], as_json: bool) -> None:
    """Let something break, e.g. lose_answer kind=Case every=3.

    `faults kinds` lists the faults, `faults kinds FAULT` what one takes.
    """
    added = sim.faults.add(fault, **pairs(parameters))
    if as_json:
        say_json([added])
    else:
        click.echo(f"Fault {added.id} is in force: {_told(added)}.")


@faults.command(name="list")
@as_json
@remote
def list_faults(sim: "Control", as_json: bool) -> None:
    """List those that were added, and how often each was hit."""
    found = sim.faults.list()
    if as_json:
        say_json(found)
    else:
        say_rows((_row(fault) for fault in found), "There are no faults.")


@faults.command()
@click.argument("fault_id", metavar="[ID]", type=click.IntRange(1), required=False)
@remote
def clear(sim: "Control", fault_id: int | None) -> None:
    """Take one fault away, or all."""
    click.echo(f"{counted(sim.faults.clear(fault_id), 'fault')} cleared.")


@faults.command()
@click.argument("fault", required=False)
@as_json
@remote
def kinds(sim: "Control", fault: str | None, as_json: bool) -> None:
    """List which faults there are, or what one takes."""
    known = sim.faults.kinds()
    found = [kind for kind in known if fault in (None, kind.fault)]
    if not found:
        names = ", ".join(kind.fault for kind in known)
        raise click.ClickException(f"There is no fault {fault!r}. There are: {names}.")
    if as_json:
        say_json(found)
    elif fault is None:
        say_rows(((kind.fault, kind.where, kind.effect) for kind in found), "")
    else:
        _say_parameters(found[0])


def _say_parameters(kind: "FaultKindOut") -> None:
    click.echo(f"{kind.fault} ({kind.where}): {kind.effect}")
    given = ((one.name, one.default, one.description) for one in kind.parameters)
    say_rows(given, "")


def _row(fault: "FaultOut") -> tuple[object, ...]:
    state = "in force" if fault.in_force else "over"
    return fault.id, state, f"hit {fault.fired} of {fault.counted}", _told(fault)


def _told(fault: "FaultOut") -> str:
    """The fault as `faults add` takes it."""
    given = fault.fault.model_dump(mode="json", exclude_defaults=True, exclude={"fault"})
    return f"{fault.fault.fault} {told(given.items())}".rstrip()
