"""Settle reads: the one thing that converges where the API answers with old data (rule 11).

In: the records that one T6 touched. Out: for each a row in the inbox that reads it once more,
due `settle_after_s` after its last trigger's arrival; a record touched without a trigger of its
own, a parent or a verified child, counts from the sending of the read that touched it. A settle
read is not a touch, so that it is the last one. Killed here: T6 never happened.

If the API is at most k seconds behind, `settle_after_s` and `recheck_after_s` must both be longer
than k. Promise 2 then reads: finished means included, or a settle read is due.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from external_crm.rows import SETTLE, Key, Kind
from receiver import inbox
from receiver.models import InboxTrigger, State


@dataclass(frozen=True)
class Touch:
    """A record that a read other than its settle read brought up to date.

    sent_at: of that read, where no trigger of the record's own asked for it.
    """

    key: Key
    account_id: str
    case_id: str | None
    sent_at: datetime | None
    caused_by: int | None


def enqueue(
    session: Session, touches: Sequence[Touch], settle_after_s: float, now: datetime
) -> None:
    """One settle read for each touched record, the one that waits already put off instead.

    Call it under the locks of T6, which keep two transactions from adding one each. A settle
    read under a lease is left alone: it may have been sent before this touch.
    """
    triggers = inbox.last_triggers_received_at(session, [touch.key for touch in touches])
    after = timedelta(seconds=settle_after_s)
    due = {t.key: (t.sent_at or triggers.get(t.key, now)) + after for t in touches}
    waiting = _waiting(session, list(due))
    for row_id, key, due_at in waiting:
        if due_at < due[key]:
            session.execute(
                update(InboxTrigger).where(InboxTrigger.id == row_id).values(due_at=due[key])
            )
    put_off = {key for _, key, _ in waiting}
    rows = [
        {
            "cause": SETTLE,
            "caused_by": touch.caused_by,
            "kind": touch.key.kind.value,
            "record_id": touch.key.id,
            "account_id": touch.account_id,
            "case_id": touch.case_id,
            "received_at": now,
            "due_at": due[touch.key],
        }
        for touch in touches
        if touch.key not in put_off
    ]
    if rows:
        session.execute(insert(InboxTrigger), rows)


def _waiting(session: Session, keys: Sequence[Key]) -> list[tuple[int, Key, datetime]]:
    """Id, record and due time of the settle reads that nobody has claimed, locked."""
    query = select(InboxTrigger).where(
        inbox.about(keys),
        InboxTrigger.cause == SETTLE,
        InboxTrigger.state == State.WAITING,
        InboxTrigger.ticket.is_(None),
    )
    rows = session.scalars(query.order_by(InboxTrigger.id).with_for_update()).all()
    return [(row.id, Key(Kind(row.kind), row.record_id), row.due_at) for row in rows]
