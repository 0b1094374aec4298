"""Forgets what is old: done, dead and dropped triggers, and rejects.

In: a session, now, ages. Out: fewer rows, a bounded number for each call, so that no lock is held
for long. Killed here: the transaction never happened.

What a waiting trigger may still ask for is kept whatever its age: whether a delete trigger
explains that a record is gone (rule 7), and who asked for a record that is believed gone. All of
that was finished after the oldest waiting row came, or within the hour before. The times that
rules 7 and 11 take from a record's last trigger lie seconds back, ages are days. The audit trail
names a row by its id, which is not given to another.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, delete, literal_column, select
from sqlalchemy.orm import Session

from external_crm.db import rows_changed
from external_crm.rows import TRIGGER
from receiver import inbox, totals
from receiver.holds import LOOK_BACK
from receiver.models import InboxTrigger, Reject, State

STEP = 500  # rows in one transaction


@dataclass(frozen=True)
class Ages:
    """How many days each is kept; 0: for ever."""

    done: int = 30
    dead: int = 90  # and dropped
    rejects: int = 30


Prune = Callable[[Session, datetime, Ages], int]


def prune_done(session: Session, now: datetime, ages: Ages) -> int:
    """Remove some triggers that were done long ago; how many."""
    if not ages.done:
        return 0
    before = now - timedelta(days=ages.done)
    oldest = inbox.oldest_unfinished(session)
    if oldest is not None:
        before = min(before, oldest - LOOK_BACK)
    return _remove(session, session.scalars(_finished(State.DONE, before)).all())


def prune_dead(session: Session, now: datetime, ages: Ages) -> int:
    """Remove some triggers that were given up long ago; how many."""
    if not ages.dead:
        return 0
    before = now - timedelta(days=ages.dead)
    removed = triggers = 0
    for state in (State.DEAD, State.DROPPED):
        rows = session.execute(_finished(state, before).add_columns(InboxTrigger.cause)).all()
        triggers += sum(cause == TRIGGER for _, cause in rows)
        removed += _remove(session, [row_id for row_id, _ in rows])
    totals.add(session, {(totals.FORGOTTEN, ""): triggers})
    return removed


def prune_rejects(session: Session, now: datetime, ages: Ages) -> int:
    """Remove some old rejects; how many."""
    if not ages.rejects:
        return 0
    old = Reject.received_at < now - timedelta(days=ages.rejects)
    ids = session.scalars(select(Reject.id).where(old).order_by(Reject.id).limit(STEP)).all()
    return rows_changed(session.execute(delete(Reject).where(Reject.id.in_(ids)))) if ids else 0


EACH: tuple[Prune, ...] = (prune_done, prune_dead, prune_rejects)


def _finished(state: State, before: datetime) -> Select[int]:
    """A lease ends after its rows are finished, or soon before: due_at, which has the index, is
    as good a bound as finished_at, which has none.
    """
    row = InboxTrigger
    return (
        select(row.id)
        .where(row.state == literal_column(f"'{state}'"), row.due_at < before)
        .where(row.finished_at < before)
        .order_by(row.due_at, row.id)
        .limit(STEP)
        .with_for_update(skip_locked=True)
    )


def _remove(session: Session, ids: Sequence[int]) -> int:
    if not ids:
        return 0
    gone = delete(InboxTrigger).where(InboxTrigger.id.in_(ids))
    return rows_changed(session.execute(gone.execution_options(synchronize_session=False)))
