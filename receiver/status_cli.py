"""`crm-receiver status`: what is stored, waits or failed, once or again and again.

In: the database. Out: lines; nothing is changed.
"""

import time
from datetime import UTC, datetime

import click
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from external_crm.db import DatabaseUnusable, first_line, read_session
from external_crm.rows import TRIGGER
from receiver import counts, gate, holds, inbox, work
from receiver.app import open_engine
from receiver.heartbeat import ALIVE
from receiver.models import Heartbeat, Hold, Reject, State
from receiver.settings import Settings


@click.command()
@click.option("--watch", is_flag=True, help="Print it again and again, until Ctrl-C.")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(0.1),
    default=2.0,
    show_default=True,
    help="Seconds between two looks of --watch.",
)
def status(watch: bool, every_s: float) -> None:
    """Print what is stored, waits or failed.

    Counts of the triggers that were received, wait, are retried, are done, are dead and were
    rejected, how long the oldest waits and which workers live, whether the CRM API is called and
    how much of its budget is left, and what is on hold.
    """
    settings = Settings.load()
    engine = open_engine(settings)
    if watch:
        _watch(engine, settings, every_s)
    else:
        click.echo(shown(engine, settings))
    engine.dispose()


def _watch(engine: Engine, settings: Settings, every_s: float) -> None:
    """One screen after the other; a store that is away for a while is a sentence on it."""
    try:
        while True:
            try:
                screen = shown(engine, settings)
            except (DatabaseUnusable, SQLAlchemyError) as error:
                screen = f"The database cannot be used: {first_line(error.__cause__ or error)}."
            click.clear()
            click.echo(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n\n{screen}")
            time.sleep(every_s)
    except KeyboardInterrupt:
        return


def shown(engine: Engine, settings: Settings) -> str:
    now = datetime.now(UTC)
    with read_session(engine) as session:
        lines = [f"{name:<10} {number}" for name, number in _counts(session).items()]
        oldest = inbox.oldest_waiting(session)
        age = f"{max(0.0, (now - oldest).total_seconds()):.0f} s" if oldest else "nothing waits"
        is_open = holds.is_on_hold(session, gate.CIRCUIT)
        lines += [
            f"oldest     {age}",
            f"circuit    {'open' if is_open else 'closed'}",
            f"budget     {_budget(session, now, work.limits(settings))}",
        ]
        for hold in session.query(Hold).order_by(Hold.name):
            lines.append(f"on hold    {hold.name} since {hold.since:%Y-%m-%d %H:%M:%S} UTC")
            lines.append(f"           {hold.reason}")
            if hold.until is not None:
                probe = f"{hold.until:%Y-%m-%d %H:%M:%S} UTC"
                lines.append(f"           One record probes at {probe}.")
        for row in session.query(Heartbeat).order_by(Heartbeat.name):
            life = "alive" if now - row.beat_at <= ALIVE else "silent"
            lines.append(f"worker     {row.name} {life}")
    return "\n".join(lines)


def _counts(session: Session) -> dict[str, int]:
    """Rows of the inbox; `received` and `done` are of triggers alone, reads of our own not among
    them.
    """
    found = counts.read(session)
    return {
        "received": found.number(cause=TRIGGER),
        "waiting": found.waiting,
        "retrying": found.retrying,
        "settling": found.settling,
        "done": found.number(State.DONE, TRIGGER),
        "dead": found.number(State.DEAD),
        "dropped": found.number(State.DROPPED),
        "rejected": session.scalar(select(func.count()).select_from(Reject)) or 0,
    }


def _budget(session: Session, now: datetime, limits: gate.Limits) -> str:
    if not limits.calls_per_s:
        return "no limit"
    spare = gate.calls_to_spare(session, now, limits)
    return f"{limits.calls_per_s:g} calls a second, {max(0.0, spare):.0f} to spare"
