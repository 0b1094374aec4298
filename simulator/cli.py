"""The command line: crm-simulator serve, seed, assumptions.

In: options, over CRM_SIM_... variables. Out: a running simulator, or one sentence and exit
code 2. Killed here: the database has all that was committed.
"""

import signal
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import click
from pydantic import ValidationError

from simulator.settings import Settings

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Refused(click.ClickException):
    """Something the operator can mend: one sentence and exit code 2."""

    exit_code = 2


def _option(name: str, field: str, **attributes: Any) -> Callable[[_Command], _Command]:
    """An option for a field of Settings; not given, the variable or the default holds."""
    described = Settings.model_fields[field].description
    attributes = {"default": None, "help": described, **attributes}
    return click.option(name, field, **attributes)


_data_dir = _option("--data-dir", "data_dir", type=click.Path(path_type=Path, file_okay=False))


@click.group()
def main() -> None:
    """Plays the 8x8 Contact Center side of CRM triggers."""


@main.command()
@_option("--host", "host")
@_option("--port", "port", type=click.IntRange(0, 65535))
@_data_dir
@_option("--tls/--no-tls", "tls")
@_option("--tls-cert", "tls_cert", type=click.Path(path_type=Path))
@_option("--tls-key", "tls_key", type=click.Path(path_type=Path))
@_option("--trigger-ca", "trigger_ca", type=click.Path(path_type=Path))
@_option("--retry-schedule", "retry_schedule", type=click.Choice(["standard", "quick"]))
def serve(**options: Any) -> None:
    """Serve the Agent Console, Configuration Manager and CRM API, and send triggers."""
    from simulator.db import DatabaseUnusable
    from simulator.logs import set_up_logs
    from simulator.server import Simulator, StartRefused
    from simulator.triggers.sender import CaFileUnusable

    settings = _settings(options)
    set_up_logs(settings.log_format)
    stopping = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    try:
        simulator = Simulator(settings).start()
    except (StartRefused, DatabaseUnusable, CaFileUnusable) as error:
        raise Refused(str(error)) from error
    try:
        click.echo(f"Simulator listens on {simulator.url}")
        stopping.wait()
    finally:
        simulator.stop()


@main.command()
@_data_dir
@click.option("--customers", default=200, show_default=True, type=click.IntRange(1, 1_000_000))
@click.option("--seed", default=1, show_default=True, help="Equal seeds give equal data.")
def seed(customers: int, seed: int, **options: Any) -> None:
    """Add believable customers, cases, follow-ups and tasks; no trigger fires."""
    from simulator.clock import SystemClock
    from simulator.db import DatabaseUnusable, open_database, session_factory
    from simulator.local_crm.fake_data import add_fake_data
    from simulator.local_crm.first_start import fill_at_first_start

    settings = _settings(options)
    try:
        engine = open_database(settings.database_path)
    except DatabaseUnusable as error:
        raise Refused(str(error)) from error
    try:
        with session_factory(engine).begin() as session:
            fill_at_first_start(session, settings)
            added = add_fake_data(session, customers, seed, SystemClock().now())
    finally:
        engine.dispose()
    counts = ", ".join(f"{count} {kind} records" for kind, count in added.items())
    click.echo(f"Added {counts} to {settings.database_path}.")


@main.command()
def assumptions() -> None:
    """Print what is documented, seen in clients, or assumed about 8x8."""
    from simulator.assumptions import render_fidelity

    click.echo(render_fidelity(), nl=False)


def _settings(options: dict[str, Any]) -> Settings:
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise Refused(" ".join(_setting_sentence(detail) for detail in error.errors())) from error


def _setting_sentence(detail: Any) -> str:
    name = str(detail["loc"][0]) if detail["loc"] else "the settings"
    return f"CRM_SIM_{name.upper()} cannot be used: {detail['msg']}."
