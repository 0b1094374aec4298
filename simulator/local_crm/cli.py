"""The verbs of the Local CRM on the command line: its data, its custom fields, its silent channels.

In: options. Out: rows in the database of the settings, and a line that says what was done, or one
sentence and exit code 2. None of these fires a trigger. Killed here: what was committed stays.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator.options import Refused, data_dir, settings_of
from simulator.settings import Settings

if TYPE_CHECKING:  # imported when a verb runs: --help must not wait for the database's library
    from sqlalchemy.orm import Session, sessionmaker

    from simulator.local_crm.csv_import import Report
    from simulator.local_crm.fields import Definition

_SHOWN_REJECTS = 20
_TASKS_AT_A_TIME = 100
_KINDS = click.Choice(["customer", "case", "followup", "task"], case_sensitive=False)
_TYPES = click.Choice(["Text", "URL", "Number", "Date", "Pick List"], case_sensitive=False)


class _OnePerLine(click.types.StringParamType):
    """A text that may have spaces in it; several in a variable stand on a line each."""

    envvar_list_splitter = "\n"


_seed = click.option("--seed", default=1, show_default=True, help="Equal seeds give equal data.")
_kind = click.option("--kind", "kind_name", required=True, type=_KINDS)


@click.command()
@data_dir
@click.option("--customers", default=200, show_default=True, type=click.IntRange(1, 2_000_000))
@_seed
@click.option(
    "--until",
    default="2026-01-01",
    show_default=True,
    type=click.DateTime(["%Y-%m-%d"]),
    help="Nothing is newer; the oldest is two years older.",
)
def seed(customers: int, seed: int, until: datetime, **options: Any) -> None:
    """Add believable customers, cases, follow-ups and tasks."""
    from simulator.local_crm.fake_data import Counts, FakeData

    added = Counts()
    with _local_crm(options) as (settings, sessions), _progress("Seeding", customers) as show:
        source = FakeData(customers, seed, until.replace(tzinfo=UTC))
        while source.customers_left:
            with sessions.begin() as session:
                added += source.add_chunk(session)
            show(customers - source.customers_left)
    counts = ", ".join(f"{count} {kind} records" for kind, count in added.items())
    click.echo(f"Added {counts} to {settings.database_path}.")


@click.command("import-csv")
@click.argument("file", type=click.Path(path_type=Path))
@_kind
@click.option(
    "--map",
    "pairs",
    multiple=True,
    type=_OnePerLine(),
    metavar="COLUMN=FIELD",
    help="A column of the file and the field that it goes into; once for each.",
)
@click.option(
    "--encoding", default="utf-8", show_default=True, type=click.Choice(["utf-8", "latin-1"])
)
@click.option(
    "--rejects",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write each row that could not be loaded to this CSV file: line, column, value, reason.",
)
@data_dir
def import_csv(
    file: Path,
    kind_name: str,
    pairs: tuple[str, ...],
    encoding: str,
    rejects: Path | None,
    **options: Any,
) -> None:
    """Load a CSV file; ends with 1 if rows were rejected."""
    from simulator.clock import SystemClock
    from simulator.local_crm import csv_import
    from simulator.local_crm.csv_import import ImportRefused

    mapping = _mapping(pairs)
    with _local_crm(options) as (settings, sessions), _progress("Loading", None) as show:
        try:
            report = csv_import.import_csv(
                sessions,
                file,
                _kind_named(kind_name),
                mapping,
                SystemClock().now(),
                encoding=encoding,
                on_progress=show,
            )
        except ImportRefused as refused:
            raise Refused(f"{refused} Nothing was loaded.") from refused
    click.echo(
        f"Loaded {report.loaded} records into {settings.database_path}; "
        f"{report.rejected} rows were rejected."
    )
    _show_rejects(report, rejects)
    if report.rejected:
        raise click.exceptions.Exit(1)


@click.command("bulk-create")
@click.option("--customers", default=10, show_default=True, type=click.IntRange(1, 50_000))
@_seed
@data_dir
def bulk_create(customers: int, seed: int, **options: Any) -> None:
    """Create customers as Configuration Manager's bulk creation does."""
    from simulator.clock import SystemClock
    from simulator.local_crm import bulk_create as bulk

    with _local_crm(options) as (settings, sessions), _progress("Creating", customers) as show:
        source = bulk.source(customers, seed, SystemClock().now())
        while source.customers_left:
            with sessions.begin() as session:
                bulk.bulk_create(session, source)
            show(customers - source.customers_left)
    click.echo(f"Created {customers} customers in {settings.database_path}.")


@click.command("auto-log")
@click.option("--calls", default=10, show_default=True, type=click.IntRange(1, 1_000_000))
@_seed
@data_dir
def auto_log(calls: int, seed: int, **options: Any) -> None:
    """Log interactions as tasks of customers that are there."""
    from simulator.clock import SystemClock
    from simulator.local_crm import auto_log as logging
    from simulator.local_crm.auto_log import NobodyCalls
    from simulator.local_crm.changes import ChangeRefused

    rng, clock = random.Random(seed), SystemClock()  # noqa: S311 data, no secret
    with _local_crm(options) as (settings, sessions), _progress("Logging", calls) as show:
        for done in range(0, calls, _TASKS_AT_A_TIME):
            count = min(_TASKS_AT_A_TIME, calls - done)
            try:
                with sessions.begin() as session:
                    logging.auto_log(session, count, rng, clock.now())
            except (NobodyCalls, ChangeRefused) as error:
                raise Refused(str(error)) from error
            show(done + count)
    click.echo(f"Logged {calls} interactions as tasks in {settings.database_path}.")


@click.command("inbound-email")
@click.option("--from", "sender", required=True, help="E.g. 'Ada Byron <ada@example.com>'.")
@click.option("--subject", default="", help="May name a case: 'Re: noise [Case 10000052]'.")
@click.option("--body", default="")
@data_dir
def inbound_email(sender: str, subject: str, body: str, **options: Any) -> None:
    """File an email: a follow-up on the case that its subject names, or a new case."""
    from simulator.clock import SystemClock
    from simulator.local_crm.changes import ChangeRefused
    from simulator.local_crm.inbound_email import InboundEmail, receive

    email, now = InboundEmail(sender, subject, body), SystemClock().now()
    with _local_crm(options) as (settings, sessions):
        try:
            with sessions.begin() as session:
                filed = receive(session, email, now, reopens=settings.email_reopens_closed_case)
        except ChangeRefused as refused:
            raise Refused(str(refused)) from refused
    customer = f"{'new customer' if filed.new_customer else 'customer'} {filed.account}"
    if filed.followup is None:
        click.echo(f"Filed as new case {filed.case} of {customer}.")
    else:
        state = "reopened case" if filed.reopened else "case"
        click.echo(f"Filed as follow-up {filed.followup} of {state} {filed.case} of {customer}.")


@click.group("fields")
def custom_fields() -> None:
    """Custom fields of the four objects (CRM > Fields)."""


@custom_fields.command("add")
@_kind
@click.option("--name", required=True)
@click.option("--type", "type_name", required=True, type=_TYPES)
@click.option("--label", help="By default the name.")
@click.option("--default", default="", help="A date is MM/DD/YYYY.")
@click.option("--max-length", type=int, help="Of a Text or URL (bytes), or a Number.")
@click.option("--required", is_flag=True)
@click.option(
    "--choice",
    "choices",
    multiple=True,
    type=_OnePerLine(),
    help="Of a Pick List; once for each.",
)
@data_dir
def add_field(
    kind_name: str,
    name: str,
    type_name: str,
    label: str | None,
    default: str,
    max_length: int | None,
    required: bool,
    choices: tuple[str, ...],
    **options: Any,
) -> None:
    """Define a custom field."""
    from simulator.local_crm import custom_fields as definitions
    from simulator.local_crm.custom_fields import DefinitionRefused
    from simulator.local_crm.fields import CustomType, Definition, custom_tag

    kind, label = _kind_named(kind_name), name if label is None else label
    definition = Definition(
        kind, name, label, CustomType(type_name), default, max_length, required, choices
    )
    with _local_crm(options) as (settings, sessions):
        try:
            with sessions.begin() as session:
                field = definitions.define(session, definitions.with_wire_date(definition))
        except DefinitionRefused as refused:
            raise Refused(str(refused)) from refused
    tag = custom_tag(kind, field, settings.custom_tag_suffix)
    click.echo(f"Defined {name} for every {kind}; the CRM API sends it as <{tag}>.")


@custom_fields.command("list")
@data_dir
def list_fields(**options: Any) -> None:
    """List the custom fields: object, name, tag, type, label and rules."""
    from simulator.local_crm import custom_fields as definitions
    from simulator.local_crm.fields import custom_tag
    from simulator.triggers.urls import Kind

    with _local_crm(options) as (settings, sessions), sessions() as session:
        found = [row.definition for kind in Kind for row in definitions.rows(session, kind)]
    if not found:
        click.echo("There are no custom fields. Define one: crm-simulator fields add --help.")
    for one in found:
        tag = custom_tag(one.kind, one.field, settings.custom_tag_suffix)
        parts = [one.kind, one.name, f"<{tag}>", one.type, one.label, *_rules(one)]
        click.echo("\t".join(parts))


COMMANDS = (seed, import_csv, bulk_create, auto_log, inbound_email, custom_fields)


@contextmanager
def _local_crm(options: dict[str, Any]) -> "Iterator[tuple[Settings, sessionmaker[Session]]]":
    """The settings, and sessions on their database. Raises Refused."""
    from sqlalchemy.exc import OperationalError

    from simulator.db import DatabaseUnusable, open_database, session_factory
    from simulator.local_crm.changes import session_info
    from simulator.local_crm.first_start import fill_at_first_start

    settings = settings_of(options)
    try:
        engine = open_database(settings.database_path)
    except DatabaseUnusable as error:
        raise Refused(str(error)) from error
    try:
        sessions = session_factory(engine, session_info(settings))
        with sessions.begin() as session:
            fill_at_first_start(session, settings)
        yield settings, sessions
    except OperationalError as error:
        raise Refused(
            f"The Local CRM database {settings.database_path} could not be used: {error.orig}."
        ) from error
    finally:
        engine.dispose()


@contextmanager
def _progress(what: str, total: int | None) -> Iterator[Callable[..., None]]:
    """A bar on the terminal, if there is one; call it with how much is done (and the total)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)

        def show(done: int, out_of: int | None = total) -> None:
            bar.update(task, completed=done, total=out_of)

        yield show


def _kind_named(name: str) -> Any:
    from simulator.triggers.urls import Kind

    return next(kind for kind in Kind if kind.lower() == name.lower())


def _mapping(pairs: tuple[str, ...]) -> dict[str, str]:
    mapping: dict[str, str] = {}
    for pair in pairs:
        column, equals, field = pair.rpartition("=")  # a column's name may have one itself
        if not (column and equals and field):
            raise Refused(f"--map {pair} is not COLUMN=FIELD, such as 'First name=FIRSTNAME'.")
        if column in mapping:
            raise Refused(f"--map names the column {column} twice.")
        mapping[column] = field
    return mapping


def _show_rejects(report: "Report", path: Path | None) -> None:
    from simulator.local_crm import csv_import

    for reject in report.rejects[:_SHOWN_REJECTS]:
        value = f" (value: {reject.value})" if reject.value else ""
        click.echo(f"Line {reject.line}: {reject.reason}{value}", err=True)
    more = len(report.rejects) - _SHOWN_REJECTS
    if more > 0:
        where = f"see {path}" if path else "write all to a file with --rejects"
        click.echo(f"And {more} more; {where}.", err=True)
    if path is None:
        return
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            csv_import.write_rejects(report, file)
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error.strerror}.") from error


def _rules(definition: "Definition") -> list[str]:
    most = definition.field.max_length
    return [
        "required" if definition.required else "optional",
        *([f"default {definition.default}"] if definition.default else []),
        *([f"at most {most} {definition.field.unit}"] if most else []),
        *([f"one of {', '.join(definition.choices)}"] if definition.choices else []),
    ]
