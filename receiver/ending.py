"""What becomes of a claimed row: done, due again, or dead (hop 9, T6).

In: a session, rows or their ids, and the ticket that proves the lease. Out: their new state;
nothing here commits. Killed before the caller does: the lease runs out and the rows are due again.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from external_crm.rows import Outcome
from receiver import inbox
from receiver.claims import Claimed
from receiver.models import InboxTrigger, State


def finish(session: Session, ids: Sequence[int], outcome: Outcome, now: datetime) -> int:
    """Mark rows done, by whoever found them so (rule 5); how many were not done before."""
    return inbox.change(
        session,
        inbox.unfinished(ids),
        state=State.DONE,
        verdict=outcome.value,
        finished_at=now,
        ticket=None,
        held=False,
        last_error=None,
    )


def put_back(
    session: Session,
    ids: Sequence[int],
    ticket: int,
    due_at: datetime,
    *,
    note: str | None,
    held: bool = False,
) -> None:
    """Due again at an instant; no attempt."""
    _let_go(session, ids, ticket, due_at=due_at, held=held, last_error=note)


def postpone(session: Session, row: Claimed, ticket: int, due_at: datetime, error: str) -> None:
    """A temporary failure: due later, never nearer to dead."""
    _let_go(
        session,
        [row.id],
        ticket,
        due_at=due_at,
        postponed=row.postponed + 1,
        last_error=error,
    )


def retry_later(
    session: Session, row: Claimed, ticket: int, due_at: datetime, error: str, reply: str
) -> None:
    """A failure of this record: due later, one attempt nearer to dead."""
    _let_go(
        session,
        [row.id],
        ticket,
        due_at=due_at,
        attempts=row.attempts + 1,
        last_error=error,
        last_reply=reply,
    )


def bury(
    session: Session, row: Claimed, ticket: int, error: str, reply: str, now: datetime
) -> None:
    """Give up, in plain sight, with the reason and the last reply."""
    _let_go(
        session,
        [row.id],
        ticket,
        state=State.DEAD,
        attempts=row.attempts + 1,
        finished_at=now,
        last_error=error,
        last_reply=reply,
    )


def mark_cascaded(session: Session, ids: Sequence[int]) -> None:
    """These delete triggers have stamped their record and need not do so again."""
    if ids:
        session.execute(update(InboxTrigger).where(InboxTrigger.id.in_(ids)).values(cascaded=True))


def _let_go(session: Session, ids: Sequence[int], ticket: int, **values: object) -> None:
    """End the lease and write these values; only its owner may (rule 5)."""
    inbox.change(session, inbox.owned(ids, ticket), ticket=None, **values)
