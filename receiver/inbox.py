"""The inbox: one row per received trigger, from the 200 to done or dead (hop 5).

In: a session and `now`; nothing here commits. Out: rows. What is received is stored before it
is understood further; a 200 is sent after the commit. `claiming` takes them, `ending` says what
became of them.

Rows are never merged by record id: ids are not event ids, and a trigger that arrives during the
read of its record announces something that this read may not show (rule 6).
"""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote

from sqlalchemy import (
    ColumnElement,
    Connection,
    TextClause,
    and_,
    delete,
    func,
    insert,
    literal_column,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.orm import Session

from external_crm.db import rows_changed
from external_crm.rows import SETTLE, TRIGGER, VERIFICATION, Key, Kind, Verification
from receiver import totals
from receiver.models import InboxTrigger, Reject, State
from receiver.trigger import Event, Trigger

KEPT_REJECTS = 1000
LONGEST_REJECT = 2000  # characters kept of a rejected line
CAUSES = (TRIGGER, VERIFICATION, SETTLE)
# A literal, which lets the partial index of waiting rows be used.
IS_WAITING = InboxTrigger.state == literal_column(f"'{State.WAITING}'")
# Of rows that are named by their ids: no index serves it, so that none is walked through for it.
_STILL_WAITING = InboxTrigger.state.concat("") == State.WAITING
_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))


class Arrival(NamedTuple):
    """A trigger and when it came."""

    trigger: Trigger
    received_at: datetime


def _store_statement(rows: str, field: str, instant: str) -> TextClause:
    """One statement for all rows, which one JSON text holds.

    Four times as quick as a statement with parameters for each row.
    """
    texts = ", ".join(field.format(n) for n in range(5))
    instant = instant.format(field.format(5))
    return text(
        "INSERT INTO inbox_triggers (cause, kind,"  # noqa: S608 - made of constants
        " event, record_id, account_id, case_id, received_at, due_at,"
        " state, attempts, postponed, cascaded, held, allowed)"
        f" SELECT '{TRIGGER}', {texts}, {instant}, {instant},"
        f" '{State.WAITING}', 0, 0, false, false, false"
        f" FROM {rows}"
    )


_STORE = {
    "sqlite": _store_statement("json_each(:rows)", "json_extract(value, '$[{}]')", "{}"),
    "postgresql": _store_statement(
        "json_array_elements(CAST(:rows AS json)) AS arrived(value) RETURNING id",
        "value->>{}",
        "CAST({} AS timestamptz)",
    ),
}


def store_all(connection: Connection, arrivals: Sequence[Arrival]) -> list[tuple[int, str]]:
    """Keep triggers, due at once; the id of each row and the record it is about (T4)."""
    rows = [
        (
            trigger.kind,
            trigger.event,
            trigger.record_id,
            trigger.account_id,
            trigger.case_id,
            received_at.astimezone(UTC).isoformat(timespec="microseconds"),
        )
        for trigger, received_at in arrivals
    ]
    statement = _STORE[connection.dialect.name]
    result = connection.execute(statement, {"rows": json.dumps(rows)})
    if connection.dialect.name == "sqlite":
        # They follow each other; RETURNING would give up the interpreter's lock for each row.
        ids: Iterable[int] = range(result.lastrowid - len(rows) + 1, result.lastrowid + 1)
    else:
        ids = result.scalars()
    return [(row_id, str(one.trigger.key)) for row_id, one in zip(ids, arrivals, strict=True)]


def store(session: Session, trigger: Trigger, now: datetime) -> int:
    """Keep one trigger; its row id."""
    [(row_id, _)] = store_all(session.connection(), [Arrival(trigger, now)])
    return row_id


def reject(session: Session, method: str, line: str, reason: str, now: datetime) -> None:
    """Keep the newest rejects; `line` must not hold the secret.

    What is not printable is kept percent-encoded: PostgreSQL takes no NUL, a terminal obeys ESC.
    """
    line = quote(line[:LONGEST_REJECT], safe=_PRINTABLE, encoding="latin-1", errors="replace")
    row = Reject(received_at=now, method=method, line=line[:LONGEST_REJECT], reason=reason)
    session.add(row)
    session.flush()
    session.execute(delete(Reject).where(Reject.id <= row.id - KEPT_REJECTS))
    totals.add(session, {(totals.REJECTED, ""): 1})


def enqueue_verifications(
    session: Session, items: Iterable[Verification], caused_by: int | None, now: datetime
) -> None:
    """Reads that the worker owes: each child or parent goes by its own answer (rule 8)."""
    rows = [
        {
            "cause": VERIFICATION,
            "caused_by": caused_by,
            "kind": item.key.kind.value,
            "record_id": item.key.id,
            "account_id": item.account_id,
            "case_id": item.case_id,
            "received_at": now,
            "due_at": now,
        }
        for item in items
    ]
    if rows:
        session.execute(insert(InboxTrigger), rows)


def oldest_waiting(session: Session) -> datetime | None:
    """When the oldest trigger that waits was received, or None; a settle read waits on purpose."""
    return _oldest(session, TRIGGER, VERIFICATION)


def oldest_unfinished(session: Session) -> datetime | None:
    """When the oldest row that waits came, a settle read too, or None."""
    return _oldest(session, *CAUSES)


def _oldest(session: Session, *causes: str) -> datetime | None:
    """Cause by cause, each at the beginning of its part of the index of waiting rows."""
    row = InboxTrigger
    query = select(row.received_at).where(IS_WAITING).order_by(row.received_at).limit(1)
    oldest = [session.scalar(query.where(row.cause == cause)) for cause in causes]
    return min((at for at in oldest if at is not None), default=None)


def newest(session: Session) -> int:
    """The highest id of a row that came so far, 0 for none."""
    return session.scalar(select(func.max(InboxTrigger.id))) or 0


def last_trigger_received_at(session: Session, key: Key) -> datetime | None:
    """When the record's latest own trigger arrived, whatever became of it (rule 7)."""
    return last_triggers_received_at(session, [key]).get(key)


def last_triggers_received_at(session: Session, keys: Sequence[Key]) -> dict[Key, datetime]:
    """When each record's latest own trigger arrived, where there is one (rules 7 and 11)."""
    query = (
        select(InboxTrigger.kind, InboxTrigger.record_id, func.max(InboxTrigger.received_at))
        .where(about(keys), InboxTrigger.cause == TRIGGER)
        .group_by(InboxTrigger.kind, InboxTrigger.record_id)
    )
    return {Key(Kind(kind), record_id): at for kind, record_id, at in session.execute(query)}


def was_deleted_by_trigger(session: Session, keys: Sequence[Key]) -> bool:
    """Whether a delete trigger was received for any of these records (rule 7, the guard)."""
    query = select(InboxTrigger.id).where(
        about(keys),
        InboxTrigger.cause == TRIGGER,
        InboxTrigger.event == Event.DELETE.value,
    )
    return session.scalar(query.limit(1)) is not None


def about(keys: Sequence[Key]) -> ColumnElement[bool]:
    """The rows of these records."""
    of_rows = tuple_(InboxTrigger.kind, InboxTrigger.record_id)
    return of_rows.in_([(key.kind.value, key.id) for key in keys])


def owned(ids: Sequence[int], ticket: int) -> ColumnElement[bool]:
    """Those of these rows that this claim still holds (rule 5)."""
    return and_(unfinished(ids), InboxTrigger.ticket == ticket)


def unfinished(ids: Sequence[int]) -> ColumnElement[bool]:
    """Those of these rows that nobody has finished."""
    return and_(InboxTrigger.id.in_(ids), _STILL_WAITING)


def change(session: Session, which: ColumnElement[bool], **values: object) -> int:
    """Write these values into rows; how many they are."""
    statement = update(InboxTrigger).where(which).values(**values)
    return rows_changed(session.execute(statement.execution_options(synchronize_session=False)))
