"""`crm-receiver`: run it, set it up, look into it. Exit codes: 0 done, 1 failed, 2 set-up wrong."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import click
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from sqlalchemy.exc import SQLAlchemyError

from external_crm.db import MIGRATIONS as EXTERNAL_CRM_MIGRATIONS
from external_crm.db import (
    DatabaseUnusable,
    NotMigrated,
    first_line,
    make_engine,
    session_factory,
)
from external_crm.rows import Kind
from receiver import (
    deploy_cli,
    doctor_cli,
    failpoints,
    holds,
    lifeline,
    logs,
    record_cli,
    repair_cli,
    status_cli,
    supervisor,
    web,
    work,
)
from receiver.app import open_engine
from receiver.db import MIGRATIONS
from receiver.holds import TOMBSTONES
from receiver.ingest import PATH
from receiver.settings import PREFIX, Misconfigured, Settings
from receiver.trigger import Event


class SentenceGroup(click.Group):
    """Turns what an operator can mend into one sentence and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (Misconfigured, NotMigrated) as error:
            click.echo(str(error), err=True)
            sys.exit(2)
        except DatabaseUnusable as error:
            click.echo(f"{error} It is set by {PREFIX}DATABASE_URL.", err=True)
            sys.exit(2)
        except SQLAlchemyError as error:
            reason = first_line(error)
            click.echo(f"The database cannot be used: {reason}.", err=True)
            sys.exit(2)


def _variables() -> str:
    """Every setting as a variable, for --help."""
    lines = [
        f"  {PREFIX + name.upper()}\n      {field.description}{_default(field)}"
        for name, field in Settings.model_fields.items()
    ]
    return "\b\nSettings are read from the environment:\n" + "\n".join(lines)


def _default(field: FieldInfo) -> str:
    """The default as it would be written into the variable; nothing for none."""
    value = sorted(field.default) if isinstance(field.default, frozenset) else field.default
    if value is None or value == "" or isinstance(value, SecretStr):
        return ""
    return f" [default: {json.dumps(value) if isinstance(value, list) else value}]"


@click.group(cls=SentenceGroup, epilog=_variables())
@click.version_option(package_name="crm-trigger-kit")
def main() -> None:
    """Receive 8x8 CRM triggers and bring their records into the External CRM."""


@main.command()
def migrate() -> None:
    """Create or update the tables.

    Harmless to repeat.
    """
    engine = make_engine(Settings.load().database_url)
    EXTERNAL_CRM_MIGRATIONS.upgrade(engine)
    MIGRATIONS.upgrade(engine)
    engine.dispose()
    click.echo("The database is up to date.")


@main.command()
def serve() -> None:
    """Run web and worker as one process group."""
    settings = Settings.load()
    settings.check_web()
    settings.check_tls()
    settings.check_work()
    logs.configure(settings.log_format)
    engine = open_engine(settings)
    work.make_sink(settings, engine)  # its sentence, instead of one from each worker in turn
    engine.dispose()
    sys.exit(supervisor.serve(settings))


def _for_the_supervisor(command: Callable[..., None]) -> Callable[..., None]:
    """Options by which `serve` starts its children."""
    for option in (
        click.option("--supervised", is_flag=True, hidden=True, help="End with standard input."),
        click.option("--slot", hidden=True, help="Its name among its like; survives a restart."),
        click.option("--restarts", default=0, hidden=True, help="How often it was restarted."),
    ):
        command = option(command)
    return command


@main.command(name="web")
@_for_the_supervisor
def web_command(supervised: bool, slot: str | None, restarts: int) -> None:
    """Run the web process alone: receive and store."""
    settings = _begin(supervised)
    web.run(settings, port_is_held=supervised)


@main.command(name="work")
@click.option("--until-idle", is_flag=True, help="End when nothing is due any more.")
@_for_the_supervisor
def work_command(supervised: bool, slot: str | None, restarts: int, until_idle: bool) -> None:
    """Run one worker alone: fetch and apply."""
    settings = _begin(supervised)
    work.run(settings, slot, restarts, until_idle=until_idle)


@main.command()
@click.option("--base", required=True, help="How 8x8 reaches you, e.g. https://crm.example.com.")
def urls(base: str) -> None:
    """Print the URL for each box of CRM Triggers.

    The boxes are in Configuration Manager, Integration > CRM Triggers.
    """
    settings = Settings.load()
    settings.check_web()
    _check_base(base)
    root = f"{base.rstrip('/')}{PATH}/{settings.secret.get_secret_value()}"
    for kind in Kind:
        for event in Event:
            silent = (kind, event) == (Kind.FOLLOWUP, Event.EDIT)
            note = "   (8x8 documents no such event; the box may stay empty)" if silent else ""
            box = f"{kind.value.capitalize()} {event.value.capitalize()}"
            click.echo(f"{box:<16} {root}/{kind.value}/{event.value}{note}")
    click.echo(f"{'or all boxes':<16} {root}")
    click.echo(
        "Prefer a URL for each box: one for all does not tell a delete from an edit, and many "
        "deletes that nothing announced stop the removal of records until you allow it."
    )


@main.group()
def tombstones() -> None:
    """Go on after tombstones were stopped."""


@tombstones.command()
def resume() -> None:
    """Allow the removal of the records held now.

    Make sure first that they are gone in the Local CRM.
    """
    engine = open_engine(Settings.load())
    with session_factory(engine).begin() as session:
        allowed = holds.allow_held(session, datetime.now(UTC))
        was_stopped = holds.resume(session, TOMBSTONES)
    engine.dispose()
    if was_stopped:
        click.echo(f"Tombstones go on; {allowed} triggers that were held are due now.")
    else:
        click.echo("Tombstones were not stopped.")


for command in (
    deploy_cli.deploy,
    doctor_cli.doctor,
    doctor_cli.fetch,
    record_cli.record,
    repair_cli.dead,
    repair_cli.rejects,
    status_cli.status,
):
    main.add_command(command)


def _check_base(base: str) -> None:
    if not base.lower().startswith("https://"):
        raise Misconfigured("--base must begin with https://: 8x8 accepts no other trigger URL.")
    try:
        parts = urlsplit(base)
        well_formed = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        well_formed = False
    if not well_formed or parts.query or parts.fragment or any(c.isspace() for c in base):
        raise Misconfigured("--base must be a server, and a path if need be: https://host/path.")


def _begin(supervised: bool) -> Settings:
    if supervised:
        lifeline.tie_to_stdin()
    settings = Settings.load()
    logs.configure(settings.log_format)
    failpoints.arm(settings.failpoint)
    return settings
