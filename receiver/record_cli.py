"""`crm-receiver record`: real traffic as evidence, redacted, into a file.

In: settings, a file that is not there yet, records to read. Out: that file; while it is written
the receiver runs as `serve` runs it: every trigger is stored and applied. Killed here: as `serve`;
the file ends where it is. Exit codes: 0 recorded, 2 set-up wrong.
"""

import re
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click

from external_crm.rows import Key, Kind
from receiver import logs, probes, recording, supervisor
from receiver.app import open_engine
from receiver.clock import SystemClock
from receiver.port import reserve
from receiver.recording_transport import RecordingTransport
from receiver.settings import PREFIX, Settings
from receiver.transport import HttpTransport

_SECONDS = {"s": 1, "m": 60, "h": 3600}
_KINDS = "|".join(kind.value for kind in Kind)


def _records(_ctx: click.Context, _option: click.Parameter, given: Sequence[str]) -> list[Key]:
    found = [re.fullmatch(rf"({_KINDS}):([A-Za-z0-9._-]{{1,64}})", value) for value in given]
    for value, match in zip(given, found, strict=True):
        if match is None:
            raise click.BadParameter(f"{value!r} is no record; write one like customer:10000000.")
    return [Key(Kind(match[1]), match[2]) for match in found if match]


def _seconds(_ctx: click.Context, _option: click.Parameter, given: str | None) -> int:
    """A duration's seconds; 0 where there is none."""
    if given is None:
        return 0
    found = re.fullmatch(r"([0-9]{1,6})([smh])", given)
    if found is None or not int(found[1]):
        raise click.BadParameter(f"{given!r} is no duration; write one like 90s, 10m or 2h.")
    return int(found[1]) * _SECONDS[found[2]]


@click.command()
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write; you alone can read it.",
)
@click.option("--overwrite", is_flag=True, help="Let go of what the file holds.")
@click.option(
    "--for",
    "for_s",
    metavar="DURATION",
    callback=_seconds,
    help="End after so long, e.g. 10m; else with Ctrl-C.",
)
@click.option(
    "--read",
    "records",
    metavar="KIND:NUMBER",
    multiple=True,
    callback=_records,
    help="A record to read, e.g. case:10000000; may be repeated.",
)
@click.option("--probe", is_flag=True, help="Send some 20 unusual GETs, which change nothing.")
@click.option(
    "--ask-for-all", is_flag=True, help="Send a GET without a filter: the reply may be long."
)
@click.option(
    "--refuse-first",
    default=0,
    type=click.IntRange(0, 20),
    metavar="N",
    help="Store each trigger, yet answer its first N calls with 503, to see when it is repeated.",
)
@click.option("--reads-only", is_flag=True, help="Do not receive; end after the reads.")
def record(
    output: Path,
    overwrite: bool,
    for_s: int,
    records: list[Key],
    probe: bool,
    ask_for_all: bool,
    refuse_first: int,
    reads_only: bool,
) -> None:
    """Run the receiver and record what 8x8 sends and answers, redacted.

    In place of `serve`, until Ctrl-C or --for; triggers are stored and applied as ever. The file
    has no value of a record, no secret and no credential. What it confirms and refutes is told by
    `crm-simulator assumptions --check FILE`.
    """
    if reads_only and not (records or probe or ask_for_all):
        raise click.UsageError("--reads-only needs something to read: --read, --probe.")
    settings = Settings.load()
    settings.check_work()
    logs.configure(settings.log_format)
    if not reads_only:
        settings.check_web()
        settings.check_tls()
        open_engine(settings).dispose()
        reserve(settings.host, settings.port).close()  # before a file is made for nothing
    kept = recording.begin(output, settings, SystemClock(), overwrite=overwrite)
    with closing(HttpTransport(settings.crm_api_timeout_s, settings.crm_api_ca)) as network:
        transport = RecordingTransport(network, kept)
        probes.ask_about(records, settings, transport)
        if probe:
            probes.probe(settings, transport, records)
        if ask_for_all:
            probes.ask_for_all(settings, transport)
    if not reads_only:
        click.echo(f"Recording into {output}.")
        # One process sees each trigger's every call.
        also = kept.for_children(refuse_first) | {f"{PREFIX}WEB_PROCESSES": "1"}
        supervisor.serve(settings, also, for_s)
    triggers, calls = kept.end()
    click.echo(f"{output} has {triggers} triggers and {calls} calls of the CRM API.")
    click.echo(f"See what they say: crm-simulator assumptions --check {output}")
