"""What an operator must hear of, and its all-clear: each is said once, whoever says it.

In: a session and now. Out: rows of alarms that stand, and the next message to send; nothing here
commits or sends. A message is leased before it is sent and struck off after it was taken, so that
of several workers one says it, and one that failed is tried again. Killed in between: it is said
a second time. An alarm that was over before anybody tried to say it is never said.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.orm import Session

from external_crm.db import insert_missing, rows_changed
from receiver import counts, inbox
from receiver.gate import CIRCUIT, CREDENTIALS
from receiver.holds import TOMBSTONES
from receiver.models import Alarm, Hold, State

log = structlog.get_logger()

DEAD, OLDEST = "dead", "oldest"  # names of alarms; the others are those of holds
TRY_AGAIN_AFTER = timedelta(seconds=60)
_STOPPED = {
    CREDENTIALS: "The CRM API refuses our credentials or rights; nothing is read until it does "
    "not.",
    CIRCUIT: "The CRM API does not answer as it should; it is only probed.",
    TOMBSTONES: "No record is removed any more.",
}


@dataclass(frozen=True)
class Bounds:
    """Up to where nobody needs to hear of it."""

    dead: int = 0
    oldest_s: float = 900.0


@dataclass(frozen=True)
class Message:
    """An alarm, or with `over_at` its all-clear."""

    name: str
    sentence: str
    since: datetime
    over_at: datetime | None = None


def look(session: Session, now: datetime, bounds: Bounds) -> dict[str, str]:
    """What is wrong now: a sentence for each name."""
    holds = session.scalars(select(Hold).order_by(Hold.name))
    found = {hold.name: f"{_STOPPED[hold.name]} {hold.reason}" for hold in holds}
    dead = counts.read(session).number(State.DEAD)
    if dead > bounds.dead:
        found[DEAD] = f"Triggers given up: {dead}. `crm-receiver dead list` says why."
    oldest = inbox.oldest_waiting(session)
    if oldest is not None and now - oldest > timedelta(seconds=bounds.oldest_s):
        found[OLDEST] = (
            f"A trigger of {oldest:%Y-%m-%d %H:%M:%S} UTC waits still. See `crm-receiver status` "
            "and whether the workers keep up."
        )
    return found


def is_noted(session: Session, found: dict[str, str]) -> bool:
    """Whether exactly these alarms stand; cheap, for the usual case."""
    standing = session.scalars(select(Alarm.name).where(Alarm.over_at.is_(None)))
    return set(standing) == found.keys()


def note(session: Session, found: dict[str, str], now: datetime) -> None:
    """Let stand what was found, and end what was not."""
    untried = delete(Alarm).where(Alarm.name.not_in(found), Alarm.tries == 0)
    session.execute(untried)
    session.execute(
        update(Alarm)
        .where(Alarm.name.not_in(found), Alarm.over_at.is_(None))
        .values(over_at=now, try_at=now)
    )
    back = update(Alarm).where(Alarm.name.in_(found), Alarm.over_at.is_not(None))
    session.execute(back.values(over_at=None))
    rows = [
        {"name": name, "sentence": text, "since": now, "said": False, "tries": 0, "try_at": now}
        for name, text in found.items()
    ]
    if rows:
        insert_missing(session, Alarm, rows)


def has_due(session: Session, now: datetime) -> bool:
    """Whether anything is to be said now."""
    return session.scalar(select(Alarm.name).where(*_due(now)).limit(1)) is not None


def claim(session: Session, now: datetime) -> Message | None:
    """The message that waits longest, for the caller alone to send, or None."""
    query = select(Alarm).where(*_due(now)).order_by(Alarm.since, Alarm.name).limit(1)
    row = session.scalars(query.with_for_update(skip_locked=True)).first()
    if row is None:
        return None
    row.try_at = now + TRY_AGAIN_AFTER
    row.tries += 1
    return Message(row.name, row.sentence, row.since, row.over_at)


def strike_off(session: Session, message: Message, now: datetime) -> None:
    """It was said. What has changed meanwhile is said anew."""
    mine = Alarm.name == message.name
    if message.over_at is None:
        session.execute(update(Alarm).where(mine).values(said=True))
    elif not rows_changed(session.execute(delete(Alarm).where(mine, Alarm.over_at.is_not(None)))):
        again = update(Alarm).where(mine, Alarm.over_at.is_(None))
        session.execute(again.values(said=False, since=now, try_at=now))


def _due(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return Alarm.try_at <= now, or_(Alarm.said.is_(False), Alarm.over_at.is_not(None))
