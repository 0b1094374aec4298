"""The inbox: one row per received trigger, from the 200 to done or dead (hops 5, 6 and 9).

In: a session and `now`; nothing here commits. Out: rows. What is received is stored before it
is understood further; a 200 is sent after the commit. Killed after a claim: the lease runs out
and the rows are due again.

Rows are never merged by record id: ids are not event ids, and a trigger that arrives during the
read of its record announces something that this read may not show (rule 6).
"""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast
from urllib.parse import quote

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Result,
    Select,
    TextClause,
    and_,
    bindparam,
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

from external_crm.counter import draw
from external_crm.db import UtcDateTime, insert_missing
from external_crm.models import LIVE_TABLES, SyncState
from external_crm.rows import (
    SETTLE,
    TRIGGER,
    VERIFICATION,
    Key,
    Kind,
    Outcome,
    Verification,
)
from external_crm.verdicts import RecordState
from receiver import totals
from receiver.claims import Claim, Claimed, Family, Leave
from receiver.models import Hold, InboxTrigger, Reject, State
from receiver.plan import affordable, at_no_cost
from receiver.trigger import Event, Trigger

TOMBSTONES = "tombstones"  # name of a hold
LOOK_BACK = timedelta(hours=1)
KEPT_REJECTS = 1000
MOST_OTHERS = 9  # further rows of its records that a claim takes, for each row longest due
LISTED_FOR_ONE_ASKED_FOR = 10  # about what parsing a listed record costs against a call
LONGEST_REJECT = 2000  # characters kept of a rejected line
_CAUSES = (TRIGGER, VERIFICATION, SETTLE)
# A literal, which lets the partial index of waiting rows be used.
_IS_WAITING = InboxTrigger.state == literal_column(f"'{State.WAITING}'")
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


def oldest_waiting(session: Session) -> datetime | None:
    """When the oldest trigger that waits was received, or None; a settle read waits on purpose."""
    return _oldest(session, TRIGGER, VERIFICATION)


def oldest_unfinished(session: Session) -> datetime | None:
    """When the oldest row that waits came, a settle read too, or None."""
    return _oldest(session, *_CAUSES)


def _oldest(session: Session, *causes: str) -> datetime | None:
    """Cause by cause, each at the beginning of its part of the index of waiting rows."""
    row = InboxTrigger
    query = select(row.received_at).where(_IS_WAITING).order_by(row.received_at).limit(1)
    oldest = [session.scalar(query.where(row.cause == cause)) for cause in causes]
    return min((at for at in oldest if at is not None), default=None)


def newest(session: Session) -> int:
    """The highest id of a row that came so far, 0 for none."""
    return session.scalar(select(func.max(InboxTrigger.id))) or 0


def is_due(session: Session, now: datetime) -> bool:
    """Whether there is anything to claim; cheap, for an idle worker."""
    return session.scalar(_due(now).with_only_columns(InboxTrigger.id).limit(1)) is not None


def claim(
    session: Session, now: datetime, limit: int, lease_s: float, leave: Leave
) -> Claim | None:
    """The rows longest due, and what else is due for their records, leased under a new ticket
    (T5); or None.

    The ticket is drawn and committed here, before the first request is sent (rule 1). A probe is
    one row, of those that failed least: a bad record that opened the circuit does not keep it open.
    """
    order: tuple[Any, ...] = (InboxTrigger.due_at, InboxTrigger.id)
    if leave.probes:
        order = (InboxTrigger.kind != (leave.kind or ""), InboxTrigger.postponed, *order)
        limit = 1
    if leave.calls is not None:
        limit = min(limit, leave.calls)
    if session.get_bind().dialect.name == "postgresql":
        # With old statistics it would sort all that waits, and not read the index in its order.
        session.execute(text("SET LOCAL enable_sort = off"))
    query = _due(now).with_only_columns(*_CLAIMED).order_by(*order).limit(limit)
    claimed = _as_claimed(session.execute(query.with_for_update(skip_locked=True)))
    if not claimed:
        return None
    known = _known(session, {parent for row in claimed for parent in row.hinted_parents})
    claimed, calls = affordable(claimed, known, leave.calls)
    if not leave.probes:
        claimed += at_no_cost(_others_about(session, claimed, now), claimed, known)
    ticket = draw(session)
    _update(
        session,
        InboxTrigger.id.in_([row.id for row in claimed]),
        ticket=ticket,
        due_at=now + timedelta(seconds=lease_s),
    )
    return Claim(ticket, claimed, known, calls, leave.probes)


def extend(session: Session, ids: Sequence[int], ticket: int, due_at: datetime) -> None:
    """Move the end of a lease; only its owner may."""
    _update(session, _owned(ids, ticket), due_at=due_at)


def clock_stepped_back(session: Session, now: datetime, longest_s: float) -> int:
    """Bring forward what the old clock put farther away than any waiting time is; how many."""
    # Rule 7 counts from arrivals: with one in the future its record would be doubted until then.
    # A finished row is due no earlier than it came: its lease was. Either way there is an index.
    finished = InboxTrigger.state.in_([state for state in State if state != State.WAITING])
    waiting = [_IS_WAITING & (InboxTrigger.cause == cause) for cause in _CAUSES]
    for future in (*waiting, finished & (InboxTrigger.due_at > now)):
        early = update(InboxTrigger).where(future, InboxTrigger.received_at > now)
        early = early.values(received_at=now).execution_options(synchronize_session=False)
        session.execute(early)
    latest = now + timedelta(seconds=longest_s)
    late = and_(InboxTrigger.state == State.WAITING, InboxTrigger.due_at > latest)
    return _update(session, late, due_at=latest)


def finish(session: Session, ids: Sequence[int], outcome: Outcome, now: datetime) -> int:
    """Mark rows done, by whoever found them so (rule 5); how many were not done before."""
    return _update(
        session,
        and_(InboxTrigger.id.in_(ids), _STILL_WAITING),
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
    """Due again at an instant; no attempt. Only the owner of the lease may (rule 5)."""
    _update(session, _owned(ids, ticket), due_at=due_at, ticket=None, held=held, last_error=note)


def postpone(session: Session, row: Claimed, ticket: int, due_at: datetime, error: str) -> None:
    """A temporary failure: due later, never nearer to dead."""
    _update(
        session,
        _owned([row.id], ticket),
        due_at=due_at,
        ticket=None,
        postponed=row.postponed + 1,
        last_error=error,
    )


def retry_later(
    session: Session, row: Claimed, ticket: int, due_at: datetime, error: str, reply: str
) -> None:
    """A failure of this record: due later, one attempt nearer to dead."""
    _update(
        session,
        _owned([row.id], ticket),
        due_at=due_at,
        ticket=None,
        attempts=row.attempts + 1,
        last_error=error,
        last_reply=reply,
    )


def bury(
    session: Session, row: Claimed, ticket: int, error: str, reply: str, now: datetime
) -> None:
    """Give up, in plain sight, with the reason and the last reply."""
    _update(
        session,
        _owned([row.id], ticket),
        state=State.DEAD,
        ticket=None,
        attempts=row.attempts + 1,
        finished_at=now,
        last_error=error,
        last_reply=reply,
    )


def mark_cascaded(session: Session, ids: Sequence[int]) -> None:
    """These delete triggers have stamped their record and need not do so again."""
    if ids:
        session.execute(update(InboxTrigger).where(InboxTrigger.id.in_(ids)).values(cascaded=True))


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


def hold(
    session: Session,
    name: str,
    reason: str,
    now: datetime,
    until: datetime | None = None,
    kind: Kind | None = None,
) -> bool:
    """Stop something, or keep it stopped until later; whether it was going on before."""
    values = {"until": until, "reason": reason, "kind": kind.value if kind else None}
    if count(session.execute(update(Hold).where(Hold.name == name).values(**values))):
        return False
    row = {"name": name, "since": now, **values}
    insert_missing(session, Hold, [row])
    return True


def resume(session: Session, name: str) -> bool:
    """Let it go on; whether it was stopped."""
    return count(session.execute(delete(Hold).where(Hold.name == name))) > 0


def is_on_hold(session: Session, name: str) -> bool:
    """Whether something is stopped. Not locked: others lock holds after their records."""
    return session.scalar(select(Hold.name).where(Hold.name == name)) is not None


def has_held(session: Session) -> bool:
    """Whether any row waits because tombstones are stopped."""
    query = select(InboxTrigger.id).where(
        InboxTrigger.state == State.WAITING, InboxTrigger.held.is_(True)
    )
    return session.scalar(query.limit(1)) is not None


def verify_tombstones(session: Session, now: datetime) -> int:
    """Read again what was believed gone, unexplained, in the hour before tombstones stopped.

    The guard lets the first few of many false not-founds through; with the rights back, these
    would stay away until somebody edits them. Call it before the hold goes; how many.
    """
    since = session.scalar(select(Hold.since).where(Hold.name == TOMBSTONES))
    if since is None:
        return 0
    believed = select(SyncState.kind, SyncState.id).where(
        SyncState.unexplained_gone_at > since - LOOK_BACK
    )
    asked = {
        Key(Kind(kind), record_id): _last_row_about(session, Key(Kind(kind), record_id))
        for kind, record_id in session.execute(believed)
    }
    for key, row in asked.items():
        if row is not None:
            item = Verification(key, row.account_id, row.case_id, because_of=key)
            enqueue_verifications(session, [item], row.id, now)
    return len(asked)


def _last_row_about(session: Session, key: Key) -> InboxTrigger | None:
    """The newest row that asked for a record, or named it as a parent."""
    row = InboxTrigger
    names_it = (row.kind == key.kind.value) & (row.record_id == key.id)
    if key.kind is Kind.CUSTOMER:
        names_it |= row.account_id == key.id
    elif key.kind is Kind.CASE:
        names_it |= row.case_id == key.id
    return session.scalars(select(row).where(names_it).order_by(row.id.desc()).limit(1)).first()


def allow_held(session: Session, now: datetime) -> int:
    """An operator allows the tombstones of all rows held now; how many rows.

    He answers for those written before, too: the guard counts anew from here, and what was
    believed shortly before it stopped them is read once more.
    """
    verify_tombstones(session, now)
    counted = SyncState.unexplained_gone_at.is_not(None)
    session.execute(update(SyncState).where(counted).values(unexplained_gone_at=None))
    held = and_(InboxTrigger.state == State.WAITING, InboxTrigger.held.is_(True))
    return _update(session, held, allowed=True, held=False, due_at=now)


def _due(now: datetime) -> Select[InboxTrigger]:
    return select(InboxTrigger).where(
        InboxTrigger.state == State.WAITING, InboxTrigger.due_at <= now
    )


def about(keys: Sequence[Key]) -> ColumnElement[bool]:
    """The rows of these records."""
    of_rows = tuple_(InboxTrigger.kind, InboxTrigger.record_id)
    return of_rows.in_([(key.kind.value, key.id) for key in keys])


def _owned(ids: Sequence[int], ticket: int) -> ColumnElement[bool]:
    return and_(
        InboxTrigger.id.in_(ids),
        InboxTrigger.ticket == ticket,
        _STILL_WAITING,
    )


def _update(session: Session, which: ColumnElement[bool], **values: object) -> int:
    statement = update(InboxTrigger).where(which).values(**values)
    return count(session.execute(statement.execution_options(synchronize_session=False)))


def count(result: Result[Any]) -> int:
    """How many rows a statement changed."""
    return int(cast("CursorResult[Any]", result).rowcount)


_CLAIMED = (
    InboxTrigger.id,
    InboxTrigger.cause,
    InboxTrigger.kind,
    InboxTrigger.record_id,
    InboxTrigger.event,
    InboxTrigger.account_id,
    InboxTrigger.case_id,
    InboxTrigger.received_at,
    InboxTrigger.attempts,
    InboxTrigger.postponed,
    InboxTrigger.cascaded,
    InboxTrigger.allowed,
)


# By the index of records, whatever the planner knows: both databases would else walk through all
# that waits, PostgreSQL while its statistics are old.
_OTHERS = {
    "sqlite": """
        SELECT {columns} FROM inbox_triggers AS other INDEXED BY ix_inbox_triggers_record
        WHERE kind = :kind AND record_id IN (SELECT value FROM json_each(:records))
          AND state = 'waiting' AND due_at <= :now
          AND id NOT IN (SELECT value FROM json_each(:taken))
        LIMIT :most
    """,
    "postgresql": """
        SELECT {columns} FROM json_array_elements_text(CAST(:records AS json)) AS asked(id)
        CROSS JOIN LATERAL (
          SELECT * FROM inbox_triggers
          WHERE kind = :kind AND record_id = asked.id AND state = 'waiting' AND due_at <= :now
            AND id NOT IN (
              SELECT CAST(value AS bigint) FROM json_array_elements_text(CAST(:taken AS json))
            )
          LIMIT :most FOR UPDATE SKIP LOCKED
        ) AS other
        LIMIT :most
    """,
}


def _others_about(
    session: Session, claimed: Sequence[Claimed], now: datetime
) -> tuple[Claimed, ...]:
    """What else is due for the records of a claim, now locked: the same reads serve it (rule 6)."""
    ids: dict[Kind, list[str]] = {}
    for key in dict.fromkeys(row.key for row in claimed):
        ids.setdefault(key.kind, []).append(key.id)
    columns = ", ".join(f"other.{column.key}" for column in _CLAIMED)
    sql = _OTHERS[session.get_bind().dialect.name].format(columns=columns)
    query = text(sql).bindparams(bindparam("now", now, UtcDateTime())).columns(*_CLAIMED)
    taken = json.dumps([row.id for row in claimed])
    others: tuple[Claimed, ...] = ()
    for kind, of_kind in ids.items():
        most = MOST_OTHERS * len(claimed) - len(others)
        values = {"kind": kind.value, "records": json.dumps(of_kind), "taken": taken, "most": most}
        others += _as_claimed(session.execute(query, values))
    return others


def _as_claimed(rows: Iterable[Any]) -> tuple[Claimed, ...]:
    """Values, not objects that the session would keep books of: they are many."""
    return tuple(
        Claimed(row_id, cause, Key(Kind(kind), record_id), event == Event.DELETE.value, *others)
        for row_id, cause, kind, record_id, event, *others in rows
    )


def without_large(session: Session, families: Iterable[Family]) -> tuple[Family, ...]:
    """The families of whose known members enough are asked for: a list brings all of them."""
    return tuple(
        family
        for family in families
        if _live_members(session, family) <= len(family.keys) * LISTED_FOR_ONE_ASKED_FOR
    )


def _live_members(session: Session, family: Family) -> int:
    table = LIVE_TABLES[family.kind]
    column = table.c.case_id if family.parent.kind is Kind.CASE else table.c.account_id
    query = select(func.count()).select_from(table).where(column == family.parent.id)
    return int(session.scalar(query) or 0)


def _known(session: Session, keys: Iterable[Key]) -> frozenset[Key]:
    """Which of these records have been seen, live or gone."""
    found: set[Key] = set()
    by_kind: dict[Kind, list[str]] = {}
    for key in keys:
        by_kind.setdefault(key.kind, []).append(key.id)
    for kind, ids in by_kind.items():
        query = select(SyncState.id).where(
            SyncState.kind == kind.value,
            SyncState.id.in_(ids),
            SyncState.state != RecordState.UNKNOWN,
        )
        found |= {Key(kind, record_id) for record_id in session.scalars(query)}
    return frozenset(found)
