"""`crm-simulator snapshot` and `reset`: the state of the whole simulator."""

from typing import TYPE_CHECKING

import click

from simulator.remote_cli.connection import remote
from simulator.remote_cli.printing import as_json, say_json, say_rows

if TYPE_CHECKING:
    from simulator.client import Control

_name = click.argument("name")


@click.group()
def snapshot() -> None:
    """Keep states of the simulator by name, and bring them back."""


@snapshot.command()
@_name
@remote
def save(sim: "Control", name: str) -> None:
    """Keep the present state under a name, in place of what was kept under it."""
    kept = sim.snapshot(name)
    click.echo(f"Kept as {kept.name} ({kept.size_bytes} bytes).")


@snapshot.command()
@_name
@remote
def restore(sim: "Control", name: str) -> None:
    """Bring a kept state back: records, boxes, deliveries. The clock stays."""
    sim.restore(name)
    click.echo(f"The simulator is as it was kept as {name}.")


@snapshot.command(name="list")
@as_json
@remote
def list_snapshots(sim: "Control", as_json: bool) -> None:
    """List what is kept."""
    found = sim.snapshots()
    if as_json:
        say_json(found)
    else:
        rows = ((one.name, f"{one.size_bytes} bytes") for one in found)
        say_rows(rows, "Nothing is kept. Keep it: crm-simulator snapshot save NAME.")


@snapshot.command()
@_name
@remote
def delete(sim: "Control", name: str) -> None:
    """Keep a state no longer."""
    sim.delete_snapshot(name)
    click.echo(f"{name} is kept no longer.")


@click.command()
@remote
def reset(sim: "Control") -> None:
    """Go back to the first start: no records, boxes, deliveries; settings as at the start."""
    sim.reset()
    click.echo("The simulator is as at its first start; snapshots stay.")
