"""The command line: crm-simulator serve, assumptions, and the verbs of the Local CRM.

In: options, over CRM_SIM_... variables. Out: a running simulator, or one sentence and exit
code 2. Killed here: the database has all that was committed.
"""

import signal
from pathlib import Path
from threading import Event
from typing import Any

import click

from simulator.local_crm.cli import COMMANDS
from simulator.options import Refused, data_dir, option, settings_of


@click.group()
def main() -> None:
    """Plays the 8x8 Contact Center side of CRM triggers."""


@main.command()
@option("--host", "host")
@option("--port", "port", type=click.IntRange(0, 65535))
@data_dir
@option("--tls/--no-tls", "tls")
@option("--tls-cert", "tls_cert", type=click.Path(path_type=Path))
@option("--tls-key", "tls_key", type=click.Path(path_type=Path))
@option("--trigger-ca", "trigger_ca", type=click.Path(path_type=Path))
@option("--retry-schedule", "retry_schedule", type=click.Choice(["standard", "quick"]))
@option("--chaos-seed", "chaos_seed")
@option("--freeze-at", "freeze_at")
def serve(**options: Any) -> None:
    """Serve the Agent Console, Configuration Manager and CRM API, and send triggers."""
    from simulator.db import DatabaseUnusable
    from simulator.logs import set_up_logs
    from simulator.server import Simulator, StartRefused
    from simulator.triggers.sender import CaFileUnusable

    settings = settings_of(options)
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
        services = simulator.services
        simulator.stop()
        click.echo(
            f"{services.events.count} logical events, digest {services.events.digest}, "
            f"chaos seed {services.chance.seed}"
        )


@main.command()
@click.option(
    "--grade",
    type=click.Choice(["D", "C", "A"], case_sensitive=False),
    help="Only what is documented (D), seen in clients (C) or assumed (A).",
)
def assumptions(grade: str | None) -> None:
    """Print what is documented, seen in clients, or assumed about 8x8."""
    from simulator.assumptions import Grade, render_fidelity

    click.echo(render_fidelity(Grade(grade) if grade else None), nl=False)


for command in COMMANDS:
    main.add_command(command)
