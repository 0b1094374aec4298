"""Bring a batch of reads into the External CRM: rows, audit entries and sync state (hop 9, T6).

In: a session with an open transaction, the reads of one claim and their ticket. Out: a verdict
for every read and the records to verify next. Never commits: the caller finishes its triggers in
the same transaction. Killed before that commit, nothing happened, and the batch is read again.

The order is what makes it safe (rule 12): lock the sync state of every record concerned, judge
what was read against what the locks show, write, raise the numbers.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Session

from external_crm import audit
from external_crm.counter import draw
from external_crm.db import insert_missing
from external_crm.fence import Fence, Numbers, believed_from, judge, precedes_cascade
from external_crm.models import LIVE_TABLES, AuditEntry, RecordState, SyncState
from external_crm.rows import (
    COLUMNS,
    ID_COLUMN,
    RANK,
    Applied,
    Batch,
    Found,
    Key,
    Kind,
    NotFound,
    Outcome,
    Read,
    Row,
    Verdict,
    Verification,
    as_columns,
)

_GUARD_LOCK = 0x8C_7B_01  # any number that nothing else in this database locks
_WRITING = frozenset({Outcome.APPLIED, Outcome.UNCHANGED, Outcome.GONE, Outcome.STILL_GONE})
_REFS = {Kind.CUSTOMER: ("customer_ref", "account_id"), Kind.CASE: ("case_ref", "case_id")}
_CHILD_KINDS = {
    Kind.CUSTOMER: (Kind.CASE, Kind.FOLLOWUP, Kind.TASK),
    Kind.CASE: (Kind.FOLLOWUP,),
}
# The columns that the numbers and marks of a record live in, in one UPDATE for all of them.
_STATE_COLUMNS = (
    "ticket",
    "seq",
    "ks",
    "state",
    "first_not_found_at",
    "unexplained_gone_at",
    "audit_number",
    "audit_hash",
)


@dataclass(slots=True)
class _State:
    """A row of sync_state as the lock shows it, then as it will be written."""

    ticket: int
    seq: int
    ks: int
    state: str
    first_not_found_at: datetime | None
    unexplained_gone_at: datetime | None
    audit_number: int
    audit_hash: str

    @property
    def numbers(self) -> Numbers:
        return Numbers(self.ticket, self.seq, self.ks)


_States = dict[Key, _State]


def apply(session: Session, batch: Batch, ticket: int) -> Applied:
    """A verdict for every read of the batch, after writing what the verdicts say.

    ticket: drawn and committed before the first request of the batch was sent.
    """
    if not batch.reads:
        return Applied({})
    states = _lock(session, batch)
    verdicts, verifications = _judge_all(session, batch, states, ticket)
    # Judged against the numbers that the locks showed; what follows changes them.
    seq = draw(session)
    _write_rows(session, batch, states, verdicts, ticket)
    for read in batch.reads:
        _raise_numbers(states[read.key], read, verdicts[read.key].outcome, ticket, seq, batch.now)
    cascading = [
        key
        for key, verdict in verdicts.items()
        if key.kind in _CHILD_KINDS
        and (verdict.outcome is Outcome.GONE or key in batch.delete_triggers)
    ]
    if cascading:
        ks = draw(session)
        for key in cascading:
            states[key].ks = ks
            verifications += _known_children(session, key)
    _save_states(session, {read.key: states[read.key] for read in batch.reads})
    return Applied(verdicts, tuple(dict.fromkeys(verifications)))


# --- lock ---------------------------------------------------------------------------------------


def _lock(session: Session, batch: Batch) -> _States:
    """The sync state of every record read and of every parent, locked in one global order.

    A parent that is only looked at is locked FOR SHARE, so that it cannot go meanwhile and
    siblings do not wait for each other.
    """
    read_keys = {read.key for read in batch.reads}
    parents = {p for read in batch.reads if isinstance(read, Found) for p in read.row.parents}
    keys = sorted(read_keys | parents, key=_lock_order)
    _insert_placeholders(session, keys)
    states: _States = {}
    for (kind, is_written), run in groupby(keys, key=lambda key: (key.kind, key in read_keys)):
        states |= _select_states(session, kind, [key.id for key in run], is_written)
    return states


def _lock_order(key: Key) -> tuple[int, str]:
    return RANK[key.kind], key.id


def _insert_placeholders(session: Session, keys: Sequence[Key]) -> None:
    known: set[Key] = set()
    for kind, run in groupby(keys, key=lambda key: key.kind):
        ids = [key.id for key in run]
        found = select(SyncState.id).where(SyncState.kind == kind.value, SyncState.id.in_(ids))
        known |= {Key(kind, record_id) for record_id in session.scalars(found)}
    missing = [{"kind": k.kind.value, "id": k.id} for k in keys if k not in known]
    if missing:
        insert_missing(session, SyncState, missing)


def _select_states(session: Session, kind: Kind, ids: Sequence[str], is_written: bool) -> _States:
    columns = [getattr(SyncState, name) for name in _STATE_COLUMNS]
    query = select(SyncState.id, *columns).where(
        SyncState.kind == kind.value, SyncState.id.in_(ids)
    )
    if session.get_bind().dialect.name == "postgresql":
        # The order of Python's sort, so that two batches lock in the same order.
        query = query.order_by(SyncState.id.collate("C"))
        query = query.with_for_update(key_share=is_written, read=not is_written)
    return {Key(kind, row[0]): _State(*row[1:]) for row in session.execute(query)}


# --- judge --------------------------------------------------------------------------------------


def _judge_all(
    session: Session, batch: Batch, states: _States, ticket: int
) -> tuple[dict[Key, Verdict], list[Verification]]:
    """Verdicts, parents first, and the parents to verify; nothing is written."""
    verdicts: dict[Key, Verdict] = {}
    verifications: list[Verification] = []
    # What each record will be once this batch is in; verdicts on numbers use the old ones.
    becomes = {key: state.state for key, state in states.items()}
    allowance: int | None = None
    for read in sorted(batch.reads, key=lambda read: _lock_order(read.key)):
        if isinstance(read, Found):
            verdict = _judge_found(read, states, ticket, becomes, verdicts)
            if verdict.outcome is Outcome.APPLIED:
                becomes[read.key] = RecordState.LIVE
                gone = [p for p in read.row.parents if becomes[p] == RecordState.GONE]
                verifications += [_parent_verification(parent, read.row) for parent in gone]
        else:
            verdict = _judge_not_found(read, states[read.key], ticket, batch)
            if verdict.outcome is Outcome.GONE and not read.explained:
                if allowance is None:
                    allowance = _tombstone_allowance(session, batch)
                if allowance <= 0:
                    due_at = batch.now + timedelta(seconds=batch.policy.recheck_after_s)
                    verdict = Verdict(Outcome.HELD, due_at)
                allowance -= 1
            if verdict.outcome is Outcome.GONE:
                becomes[read.key] = RecordState.GONE
        verdicts[read.key] = verdict
    return verdicts, verifications


def _judge_found(
    read: Found,
    states: _States,
    ticket: int,
    becomes: dict[Key, str],
    verdicts: dict[Key, Verdict],
) -> Verdict:
    fence = judge(states[read.key].numbers, ticket)
    if fence is Fence.COVERED:
        return Verdict(Outcome.COVERED)
    parents = read.row.parents
    if fence is Fence.OVERTAKEN or precedes_cascade((states[p].numbers for p in parents), ticket):
        return Verdict(Outcome.OVERTAKEN)
    pending = [p for p in parents if becomes[p] == RecordState.UNKNOWN]
    if pending:
        # Rule 9: due when the parent is; None where the parent's fetch failed.
        due = [v.due_at for p in pending if (v := verdicts.get(p)) is not None and v.due_at]
        return Verdict(Outcome.PARENT_PENDING, max(due, default=None))
    return Verdict(Outcome.APPLIED)


def _judge_not_found(read: NotFound, state: _State, ticket: int, batch: Batch) -> Verdict:
    fence = judge(state.numbers, ticket)
    if fence is not Fence.APPLY:
        return Verdict(Outcome.COVERED if fence is Fence.COVERED else Outcome.OVERTAKEN)
    if state.state == RecordState.GONE:
        return Verdict(Outcome.STILL_GONE)
    first = state.first_not_found_at or read.sent_at
    believed_at = believed_from(first, read.last_trigger_received_at, batch.policy.recheck_after_s)
    if read.sent_at >= believed_at:
        return Verdict(Outcome.GONE)
    return Verdict(Outcome.RECHECK, believed_at)


def _tombstone_allowance(session: Session, batch: Batch) -> int:
    """How many more unexplained tombstones may be written now (rule 7, the guard).

    Counted under a lock of its own, taken after those of the records and held until the commit:
    several workers would else each count before the others have written.
    """
    if batch.tombstones_stopped:
        return 0
    if session.get_bind().dialect.name == "postgresql":  # SQLite has one writer at a time
        session.execute(select(func.pg_advisory_xact_lock(_GUARD_LOCK)))
    since = batch.now - timedelta(seconds=batch.policy.tombstone_window_s)
    recent = session.scalar(
        select(func.count()).select_from(SyncState).where(SyncState.unexplained_gone_at > since)
    )
    return batch.policy.tombstone_limit - int(recent or 0)


def _parent_verification(parent: Key, child: Row) -> Verification:
    case_id = parent.id if parent.kind is Kind.CASE else None
    account_id = parent.id if parent.kind is Kind.CUSTOMER else child.parents[0].id
    return Verification(parent, account_id, case_id, because_of=child.key)


# --- write --------------------------------------------------------------------------------------


def _write_rows(
    session: Session,
    batch: Batch,
    states: _States,
    verdicts: dict[Key, Verdict],
    ticket: int,
) -> None:
    """Live rows and audit entries, parents first; unchanged reads get their verdict here."""
    entries: list[dict[str, Any]] = []
    reads = sorted(batch.reads, key=lambda read: _lock_order(read.key))
    becomes_live = {k for k, s in states.items() if s.state == RecordState.LIVE}
    becomes_live |= {k for k, v in verdicts.items() if v.outcome is Outcome.APPLIED}
    becomes_live -= {k for k, v in verdicts.items() if v.outcome is Outcome.GONE}
    for kind, run in groupby(reads, key=lambda read: read.key.kind):
        concerned = [r for r in run if verdicts[r.key].outcome in (Outcome.APPLIED, Outcome.GONE)]
        before = _live_rows(session, kind, [read.key for read in concerned])
        created: list[dict[str, Any]] = []
        changed: list[dict[str, Any]] = []
        gone: list[str] = []
        for read in concerned:
            old = before.get(read.key)
            new = as_columns(read.row) if isinstance(read, Found) else None
            if new is not None and old == new:
                verdicts[read.key] = Verdict(Outcome.UNCHANGED)
                continue
            if new is None:
                gone.append(read.key.id)
            else:
                (changed if old else created).append({**new, **_refs(read, becomes_live)})
            if old or new:
                state = states[read.key]
                state.audit_number += 1
                item = audit.entry(
                    read.key,
                    state.audit_number,
                    state.audit_hash,
                    old,
                    new,
                    read.cause,
                    ticket,
                    batch.now,
                )
                state.audit_hash = item["hash"]
                entries.append(item)
        _write_live(session, kind, created, changed, gone)
        _point_children_at(session, kind, [row[ID_COLUMN[kind]] for row in created])
    if entries:
        session.execute(insert(AuditEntry), entries)


def _live_rows(session: Session, kind: Kind, keys: Sequence[Key]) -> dict[Key, dict[str, Any]]:
    """The rows outside as they are now: the before-images, without the foreign keys."""
    if not keys:
        return {}
    table = LIVE_TABLES[kind]
    columns = [table.c[name] for name in COLUMNS[kind]]
    query = select(*columns).where(columns[0].in_([key.id for key in keys]))
    return {Key(kind, row[0]): dict(row._mapping) for row in session.execute(query)}


def _refs(read: Read, live: set[Key]) -> dict[str, str | None]:
    """The foreign keys of a row: each parent that is live, else nothing (rule 9)."""
    parents = read.row.parents if isinstance(read, Found) else ()
    return {_REFS[p.kind][0]: p.id if p in live else None for p in parents}


def _write_live(
    session: Session,
    kind: Kind,
    created: list[dict[str, Any]],
    changed: list[dict[str, Any]],
    gone: list[str],
) -> None:
    table, id_column = LIVE_TABLES[kind], LIVE_TABLES[kind].c[ID_COLUMN[kind]]
    if created:
        session.execute(insert(table), created)
    if changed:
        names = [name for name in changed[0] if name != id_column.name]
        statement = update(table).where(id_column == bindparam("the_id"))
        session.connection().execute(
            statement.values({name: bindparam(f"new_{name}") for name in names}),
            [
                {"the_id": row[id_column.name], **{f"new_{name}": row[name] for name in names}}
                for row in changed
            ],
        )
    if gone:
        session.execute(delete(table).where(id_column.in_(gone)))


def _point_children_at(session: Session, kind: Kind, ids: list[str]) -> None:
    """Fill the foreign keys of children that were there before their parent lived (again)."""
    if not ids or kind not in _CHILD_KINDS:
        return
    ref, plain = _REFS[kind]
    for child_kind in _CHILD_KINDS[kind]:
        table = LIVE_TABLES[child_kind]
        session.execute(
            update(table)
            .where(table.c[plain].in_(ids), table.c[ref].is_(None))
            .values({ref: table.c[plain]})
        )


# --- numbers ------------------------------------------------------------------------------------


def _raise_numbers(
    state: _State, read: Read, outcome: Outcome, ticket: int, seq: int, now: datetime
) -> None:
    """Rule 3: every believed answer raises both numbers; a doubted not-found raises nothing."""
    if outcome in _WRITING:
        state.ticket, state.seq = ticket, seq
        state.first_not_found_at = None
    if outcome in (Outcome.APPLIED, Outcome.UNCHANGED):
        state.state, state.unexplained_gone_at = RecordState.LIVE, None
    elif outcome is Outcome.GONE:
        state.state = RecordState.GONE
        explained = isinstance(read, NotFound) and read.explained
        state.unexplained_gone_at = None if explained else now
    elif outcome is Outcome.RECHECK and state.first_not_found_at is None:
        state.first_not_found_at = read.sent_at


def _save_states(session: Session, states: _States) -> None:
    table = SyncState.__table__
    statement = (
        update(SyncState)
        .where(table.c.kind == bindparam("the_kind"), table.c.id == bindparam("the_id"))
        .values({name: bindparam(f"new_{name}") for name in _STATE_COLUMNS})
    )
    rows = [
        {
            "the_kind": key.kind.value,
            "the_id": key.id,
            **{f"new_{name}": getattr(state, name) for name in _STATE_COLUMNS},
        }
        for key, state in states.items()
    ]
    session.connection().execute(statement, rows)


def _known_children(session: Session, parent: Key) -> Iterable[Verification]:
    """Every live row under a parent, those written in this transaction included (rule 8)."""
    found: dict[Kind, list[Verification]] = defaultdict(list)
    for kind in _CHILD_KINDS[parent.kind]:
        table = LIVE_TABLES[kind]
        plain = _REFS[parent.kind][1]
        case_column = table.c.get("case_id")
        columns = [table.c[ID_COLUMN[kind]], table.c.account_id]
        columns += [case_column] if case_column is not None else []
        for row in session.execute(select(*columns).where(table.c[plain] == parent.id)):
            case_id = row[2] if len(row) > 2 else None
            found[kind].append(Verification(Key(kind, row[0]), row[1], case_id, parent))
    return [item for kind in Kind for item in found[kind]]
