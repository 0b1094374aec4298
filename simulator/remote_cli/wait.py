"""`crm-simulator wait`: return when it has come about, or say why not and end with 1."""

from typing import TYPE_CHECKING

import click

from simulator.remote_cli.connection import remote
from simulator.remote_cli.printing import as_json
from simulator.remote_cli.values import KINDS, span
from simulator.settings import PREFIX

if TYPE_CHECKING:
    from simulator.client import Control
    from simulator.verbs.wait import Wish

_kind = click.argument("kind", type=KINDS)
_record = click.argument("record_id", metavar="ID")
_timeout = click.option(
    "--timeout",
    "timeout_s",
    type=span,
    default="10s",
    show_default=True,
    envvar=f"{PREFIX}WAIT_TIMEOUT",
    help="Real time to wait at most, such as 30s.",
)


@click.group()
def wait() -> None:
    """Wait until deliveries or reads have come about.

    In vain: exit code 1 and the reasons. With --json they are one object on standard output.
    """


@wait.command()
@_timeout
@as_json
@remote
def idle(sim: "Control", timeout_s: float, as_json: bool) -> None:
    """Until no delivery waits any more."""
    from simulator.client import idle as wish

    _wait(sim, wish, timeout_s, as_json)


@wait.command()
@_kind
@_record
@_timeout
@as_json
@remote
def delivered(sim: "Control", kind: str, record_id: str, timeout_s: float, as_json: bool) -> None:
    """Until all deliveries of a record were answered with 200."""
    from simulator.client import delivered as wish

    _wait(sim, wish(record_id, kind), timeout_s, as_json)


@wait.command()
@click.argument("delivery_id", metavar="ID", type=click.IntRange(1))
@_timeout
@as_json
@remote
def delivery(sim: "Control", delivery_id: int, timeout_s: float, as_json: bool) -> None:
    """Until one delivery was answered with 200."""
    from simulator.client import delivered as wish

    _wait(sim, wish(delivery_id), timeout_s, as_json)


@wait.command()
@_kind
@_record
@_timeout
@as_json
@remote
def fetched(sim: "Control", kind: str, record_id: str, timeout_s: float, as_json: bool) -> None:
    """Until a record was read over the CRM API since it last changed."""
    from simulator.client import fetched as wish

    _wait(sim, wish(record_id, kind), timeout_s, as_json)


def _wait(sim: "Control", wish: "Wish", timeout_s: float, as_json: bool) -> None:
    from simulator.client import NotInTime

    try:
        sim.wait(wish, timeout_s)
    except NotInTime as late:
        if as_json:
            click.echo(late.why.model_dump_json())
        raise
    if as_json:
        click.echo('{"met":true}')
