"""Bring a batch of reads into the External CRM: rows, audit entries and sync state (hop 9, T6).

In: a session with an open transaction, the reads of one claim and their ticket. Out: a verdict
for every read and the records to verify next. Never commits: the caller finishes its triggers in
the same transaction. Killed before that commit, nothing happened, and the batch is read again.

The order is what makes it safe (rule 12): lock the sync state of every record concerned, judge
what was read against what the locks show, write, raise the numbers.
"""

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from external_crm.counter import draw
from external_crm.fence import Fence, believed_from, judge, precedes_cascade
from external_crm.live_rows import CHILD_KINDS, known_children, write
from external_crm.models import RecordState, SyncState
from external_crm.rows import (
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
)
from external_crm.states import State, States, lock, lock_order, save

_GUARD_LOCK = 0x8C_7B_01  # any number that nothing else in this database locks
_WRITING = frozenset({Outcome.APPLIED, Outcome.UNCHANGED, Outcome.GONE, Outcome.STILL_GONE})


def apply(session: Session, batch: Batch, ticket: int) -> Applied:
    """A verdict for every read of the batch, after writing what the verdicts say.

    ticket: drawn and committed before the first request of the batch was sent.
    """
    if not batch.reads:
        return Applied({})
    keys = {read.key for read in batch.reads}
    parents = {p for read in batch.reads if isinstance(read, Found) for p in read.row.parents}
    states = lock(session, keys, parents)
    verdicts, verifications = _judge_all(session, batch, states, ticket)
    # Judged against the numbers that the locks showed; what follows changes them.
    seq = draw(session)
    write(session, batch, states, verdicts, ticket)
    for read in batch.reads:
        _raise_numbers(states[read.key], read, verdicts[read.key].outcome, ticket, seq, batch.now)
    cascading = [
        key
        for key, verdict in verdicts.items()
        if key.kind in CHILD_KINDS
        and (verdict.outcome is Outcome.GONE or key in batch.delete_triggers)
    ]
    if cascading:
        ks = draw(session)
        for key in cascading:
            states[key].ks = ks
            verifications += known_children(session, key)
    save(session, {key: states[key] for key in keys})
    return Applied(verdicts, tuple(dict.fromkeys(verifications)))


# --- judge --------------------------------------------------------------------------------------


def _judge_all(
    session: Session, batch: Batch, states: States, ticket: int
) -> tuple[dict[Key, Verdict], list[Verification]]:
    """Verdicts, parents first, and the parents to verify; nothing is written."""
    verdicts: dict[Key, Verdict] = {}
    verifications: list[Verification] = []
    # What each record will be once this batch is in; verdicts on numbers use the old ones.
    becomes = {key: state.state for key, state in states.items()}
    allowance: int | None = None
    for read in sorted(batch.reads, key=lambda read: lock_order(read.key)):
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
    states: States,
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


def _judge_not_found(read: NotFound, state: State, ticket: int, batch: Batch) -> Verdict:
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


# --- numbers ------------------------------------------------------------------------------------


def _raise_numbers(
    state: State, read: Read, outcome: Outcome, ticket: int, seq: int, now: datetime
) -> None:
    """Rule 3: every believed answer raises both numbers, one that finds nothing changed included;
    a doubted not-found raises nothing. Only a read of the very record comes here.
    """
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
