"""What an operator does about dead triggers and rejects: find, replay, drop.

In: a session, a choice, now. Out: rows; nothing here commits. A replayed dead trigger is due
again with no failures behind it; a replayed reject is parsed anew and stored where it is a trigger
now. Killed here: the transaction never happened.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from urllib.parse import unquote

from sqlalchemy import ColumnElement, CursorResult, func, select, update
from sqlalchemy.orm import Session

from external_crm.rows import Kind
from receiver import inbox
from receiver.models import InboxTrigger, Reject, State
from receiver.trigger import BadTrigger, parse


@dataclass(frozen=True)
class DeadChoice:
    """Which dead triggers; every condition that is set must hold."""

    ids: tuple[int, ...] = ()
    kind: Kind | None = None
    record_id: str | None = None
    reason: str | None = None  # part of it, in any case
    before: datetime | None = None  # given up before this instant

    def conditions(self) -> list[ColumnElement[bool]]:
        """As SQL."""
        row = InboxTrigger
        found: list[ColumnElement[bool]] = [row.state == State.DEAD]
        if self.ids:
            found.append(row.id.in_(self.ids))
        if self.kind is not None:
            found.append(row.kind == self.kind.value)
        if self.record_id is not None:
            found.append(row.record_id == self.record_id)
        if self.reason is not None:
            found.append(row.last_error.icontains(self.reason, autoescape=True))
        if self.before is not None:
            found.append(row.finished_at < self.before)
        return found


@dataclass(frozen=True)
class RejectChoice:
    """Which rejects; every condition that is set must hold."""

    ids: tuple[int, ...] = ()
    reason: str | None = None
    before: datetime | None = None  # received before this instant

    def conditions(self) -> list[ColumnElement[bool]]:
        """As SQL."""
        found: list[ColumnElement[bool]] = []
        if self.ids:
            found.append(Reject.id.in_(self.ids))
        if self.reason is not None:
            found.append(Reject.reason.icontains(self.reason, autoescape=True))
        if self.before is not None:
            found.append(Reject.received_at < self.before)
        return found


# --- dead triggers ------------------------------------------------------------------------------


def count_dead(session: Session, choice: DeadChoice) -> int:
    """How many dead triggers are chosen."""
    query = select(func.count()).select_from(InboxTrigger).where(*choice.conditions())
    return int(session.scalar(query) or 0)


def list_dead(session: Session, choice: DeadChoice, limit: int) -> Sequence[InboxTrigger]:
    """The newest chosen ones, newest first."""
    query = select(InboxTrigger).where(*choice.conditions())
    return session.scalars(query.order_by(InboxTrigger.id.desc()).limit(limit)).all()


def replay_dead(session: Session, choice: DeadChoice, now: datetime) -> int:
    """Due now, with no failures behind them; the last error stays until they are tried."""
    return _change(
        session,
        choice,
        state=State.WAITING,
        due_at=now,
        ticket=None,
        attempts=0,
        postponed=0,
        finished_at=None,
    )


def drop_dead(session: Session, choice: DeadChoice, now: datetime) -> int:
    """Given up for good by an operator. The rows stay: the audit trail and rule 7 refer to them."""
    return _change(session, choice, state=State.DROPPED, finished_at=now)


def _change(session: Session, choice: DeadChoice, **values: object) -> int:
    statement = update(InboxTrigger).where(*choice.conditions()).values(**values)
    result = session.execute(statement.execution_options(synchronize_session=False))
    return int(cast("CursorResult[Any]", result).rowcount)


# --- rejects ------------------------------------------------------------------------------------


def count_rejects(session: Session, choice: RejectChoice) -> int:
    """How many rejects are chosen."""
    query = select(func.count()).select_from(Reject).where(*choice.conditions())
    return int(session.scalar(query) or 0)


def list_rejects(session: Session, choice: RejectChoice, limit: int) -> Sequence[Reject]:
    """The newest chosen ones, newest first."""
    query = select(Reject).where(*choice.conditions()).order_by(Reject.id.desc())
    return session.scalars(query.limit(limit)).all()


def replay_rejects(session: Session, choice: RejectChoice, now: datetime) -> tuple[int, int]:
    """How many were stored as triggers, and how many are still none.

    For when the receiver has learned to read what it could not: what it still cannot read stays
    where it is, with today's reason.
    """
    stored = refused = 0
    for row in session.scalars(select(Reject).where(*choice.conditions()).order_by(Reject.id)):
        try:
            if len(row.line) >= inbox.LONGEST_REJECT:
                raise BadTrigger("The line was too long to be kept whole.")
            box, _, query = row.line.partition("?")
            trigger = parse(unquote(box), query.encode("latin-1"))
        except BadTrigger as error:
            row.reason = str(error)
            refused += 1
            continue
        inbox.store(session, trigger, now)
        session.delete(row)
        stored += 1
    session.flush()
    return stored, refused


def drop_rejects(session: Session, choice: RejectChoice) -> int:
    """Delete the chosen ones."""
    rows = session.scalars(select(Reject).where(*choice.conditions())).all()
    for row in rows:
        session.delete(row)
    session.flush()
    return len(rows)
