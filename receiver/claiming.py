"""Takes what is due out of the inbox, under a lease and a ticket (hop 6, T5).

In: a session, now, and what the gate allows. Out: a Claim; nothing here commits. Killed after the
claim: the lease runs out and the rows are due again, under another ticket.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, and_, bindparam, func, select, text, update
from sqlalchemy.orm import Session

from external_crm.counter import draw
from external_crm.db import UtcDateTime
from external_crm.models import LIVE_TABLES, SyncState
from external_crm.rows import Key, Kind
from external_crm.verdicts import RecordState
from receiver import inbox
from receiver.claims import Claim, Claimed, Family, Leave
from receiver.models import InboxTrigger, State
from receiver.plan import affordable, at_no_cost
from receiver.trigger import Event

MOST_OTHERS = 9  # further rows of its records that a claim takes, for each row longest due
LISTED_FOR_ONE_ASKED_FOR = 10  # about what parsing a listed record costs against a call


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
    inbox.change(
        session,
        InboxTrigger.id.in_([row.id for row in claimed]),
        ticket=ticket,
        due_at=now + timedelta(seconds=lease_s),
    )
    return Claim(ticket, claimed, known, calls, leave.probes)


def extend(session: Session, ids: Sequence[int], ticket: int, due_at: datetime) -> None:
    """Move the end of a lease; only its owner may."""
    inbox.change(session, inbox.owned(ids, ticket), due_at=due_at)


def clock_stepped_back(session: Session, now: datetime, longest_s: float) -> int:
    """Bring forward what the old clock put farther away than any waiting time is; how many."""
    # Rule 7 counts from arrivals: with one in the future its record would be doubted until then.
    # A finished row is due no earlier than it came: its lease was. Either way there is an index.
    finished = InboxTrigger.state.in_([state for state in State if state != State.WAITING])
    waiting = [inbox.IS_WAITING & (InboxTrigger.cause == cause) for cause in inbox.CAUSES]
    for future in (*waiting, finished & (InboxTrigger.due_at > now)):
        early = update(InboxTrigger).where(future, InboxTrigger.received_at > now)
        early = early.values(received_at=now).execution_options(synchronize_session=False)
        session.execute(early)
    latest = now + timedelta(seconds=longest_s)
    late = and_(InboxTrigger.state == State.WAITING, InboxTrigger.due_at > latest)
    return inbox.change(session, late, due_at=latest)


def without_large(session: Session, families: Iterable[Family]) -> tuple[Family, ...]:
    """The families of whose known members enough are asked for: a list brings all of them."""
    return tuple(
        family
        for family in families
        if _live_members(session, family) <= len(family.keys) * LISTED_FOR_ONE_ASKED_FOR
    )


def _due(now: datetime) -> Select[InboxTrigger]:
    return select(InboxTrigger).where(
        InboxTrigger.state == State.WAITING, InboxTrigger.due_at <= now
    )


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
