"""The command line: serve, assumptions, the verbs of the Local CRM and those of one that runs.

In: options, over CRM_SIM_... variables. Out: a running simulator, or one sentence and exit
code 2. Killed here: the database has all that was committed.
"""

import signal
import sys
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import click

from simulator.local_crm.cli import COMMANDS
from simulator.options import (
    Refused,
    data_dir,
    name_variables,
    option,
    settings_of,
    variables,
)
from simulator.remote_cli import COMMANDS as REMOTE_COMMANDS


@click.group(epilog=variables())
@click.version_option(package_name="crm-trigger-kit")
def main() -> None:
    """Plays the 8x8 Contact Center side of CRM triggers.

    Exit codes: 0, done. 1, not done: the simulator says no, what was waited for did not come
    about, not all is well, or rows were rejected. 2, asked wrongly, or no simulator was reached.
    """


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
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="CRM_SIM_READY_FILE",
    help="File to hold the URL as long as the simulator listens, and not before.",
)
def serve(ready_file: Path | None, **options: Any) -> None:
    """Serve the Agent Console, Configuration Manager and CRM API, and send triggers.

    The first line on standard output ends with the URL, whatever the port.
    """
    from simulator import failpoints
    from simulator.db import DatabaseUnusable
    from simulator.logs import set_up_logs
    from simulator.server import Simulator, StartRefused
    from simulator.triggers.sender import CaFileUnusable

    settings = settings_of(options)
    set_up_logs(settings.log_format)
    failpoints.arm(settings.failpoint)
    # Not an Event: a signal while `wait` holds its lock would wait for that lock for ever.
    stopping: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: stopping.put(number))
    try:
        _say_ready(ready_file, None)
        simulator = Simulator(settings).start()
    except (StartRefused, DatabaseUnusable, CaFileUnusable) as error:
        raise Refused(str(error)) from error
    try:
        _say_ready(ready_file, simulator.url)
        click.echo(f"Simulator listens on {simulator.url}")
        stopping.get()
    finally:
        _say_ready(ready_file, None)
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
@click.option(
    "--check",
    "recording",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Say what a file of `crm-receiver record` confirms and refutes.",
)
def assumptions(grade: str | None, recording: Path | None) -> None:
    """Print what is documented, seen in clients, or assumed about 8x8.

    With --check, what a recording of real traffic says of it. Exit codes then: 0, nothing is
    refuted; 1, something is; 2, the file is no recording.
    """
    from simulator.assumptions import Grade, render_fidelity

    if recording is not None:
        if grade is not None:
            raise click.UsageError("--check looks at all lines: leave --grade out.")
        _check(recording)
        return
    click.echo(render_fidelity(Grade(grade) if grade else None), nl=False)


for command in (*COMMANDS, *REMOTE_COMMANDS):
    main.add_command(command)
name_variables(main)


def _check(recording: Path) -> None:
    from simulator.evidence.check import judge, render
    from simulator.evidence.recording import BadRecording, read
    from simulator.evidence.weighing import Verdict

    try:
        seen = read(recording)
    except BadRecording as error:
        raise Refused(str(error)) from error
    findings = judge(seen)
    for line in render(findings, seen):
        click.echo(line)
    if any(finding.verdict is Verdict.REFUTED for finding in findings.values()):
        sys.exit(1)


def _say_ready(file: Path | None, url: str | None) -> None:
    """Put the URL into the ready file, whole or not at all; without one, remove the file."""
    if file is None:
        return
    try:
        if url is None:
            file.unlink(missing_ok=True)
        else:
            half = file.with_name(f"{file.name}.half")
            half.write_text(f"{url}\n", encoding="utf-8")
            half.replace(file)
    except OSError as error:
        raise Refused(
            f"{file} cannot be written ({error.strerror}). Check --ready-file."
        ) from error
