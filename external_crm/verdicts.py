"""What becomes of each read of a batch: pure, from sync states and reads to verdicts and numbers.

In: the reads, their ticket, and what is known of every record concerned, as it stands under the
sink's locks. Out: a verdict for every read, the records to verify, and the states as they are to
be kept. Every sink judges by this; what differs is how it locks, keeps and writes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from external_crm.fence import Fence, Numbers, believed_from, judge, precedes_cascade
from external_crm.rows import (
    RANK,
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

CHILD_KINDS = {
    Kind.CUSTOMER: (Kind.CASE, Kind.FOLLOWUP, Kind.TASK),
    Kind.CASE: (Kind.FOLLOWUP,),
}
_RAISING = frozenset({Outcome.APPLIED, Outcome.UNCHANGED, Outcome.GONE, Outcome.STILL_GONE})


class RecordState(StrEnum):
    """What is known of a record outside."""

    UNKNOWN = "unknown"  # a placeholder: asked for, never yet seen
    LIVE = "live"
    GONE = "gone"  # a tombstone


@dataclass(slots=True)
class Known:
    """What is kept of one record, live or gone (rule 12); as under the lock, then as to be kept."""

    ticket: int = 0  # of the read it shows
    seq: int = 0  # of its last write
    ks: int = 0  # of its last cascade
    state: str = RecordState.UNKNOWN
    first_not_found_at: datetime | None = None
    unexplained_gone_at: datetime | None = None
    audit_number: int = 0  # of its latest audit entry
    audit_hash: str = ""

    @property
    def numbers(self) -> Numbers:
        """Those that the fence judges by."""
        return Numbers(self.ticket, self.seq, self.ks)


States = Mapping[Key, Known]


def lock_order(key: Key) -> tuple[int, str]:
    """Parents before children, then by id: the one order in which records are locked (rule 12)."""
    return RANK[key.kind], key.id


def concerned(batch: Batch) -> list[Key]:
    """The records read and all parents of those found, in the order of the locks."""
    parents = {p for read in batch.reads if isinstance(read, Found) for p in read.row.parents}
    return sorted({read.key for read in batch.reads} | parents, key=lock_order)


def judge_all(
    batch: Batch, states: States, ticket: int, tombstone_allowance: Callable[[], int]
) -> tuple[dict[Key, Verdict], list[Verification]]:
    """Verdicts, parents first, and the parents to verify; the states stay as they are.

    tombstone_allowance: how many more unexplained tombstones may be written now (rule 7, the
    guard); asked at most once, and only when it matters.
    """
    verdicts: dict[Key, Verdict] = {}
    verifications: list[Verification] = []
    # What each record will be once this batch is in; verdicts on numbers use the old ones.
    becomes = {key: known.state for key, known in states.items()}
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
                    allowance = tombstone_allowance()
                if allowance <= 0:
                    due_at = batch.now + timedelta(seconds=batch.policy.recheck_after_s)
                    verdict = Verdict(Outcome.HELD, due_at)
                allowance -= 1
            if verdict.outcome is Outcome.GONE:
                becomes[read.key] = RecordState.GONE
        verdicts[read.key] = verdict
    return verdicts, verifications


def cascading(batch: Batch, verdicts: Mapping[Key, Verdict]) -> list[Key]:
    """The records to stamp with a cascade number, whose children are to be verified (rule 8)."""
    return [
        key
        for key, verdict in verdicts.items()
        if key.kind in CHILD_KINDS
        and (verdict.outcome is Outcome.GONE or key in batch.delete_triggers)
    ]


def raise_numbers(
    known: Known, read: Read, outcome: Outcome, ticket: int, seq: int, now: datetime
) -> None:
    """Rule 3: every believed answer raises both numbers; a doubted not-found raises nothing."""
    if outcome in _RAISING:
        known.ticket, known.seq = ticket, seq
        known.first_not_found_at = None
    if outcome in (Outcome.APPLIED, Outcome.UNCHANGED):
        known.state, known.unexplained_gone_at = RecordState.LIVE, None
    elif outcome is Outcome.GONE:
        known.state = RecordState.GONE
        explained = isinstance(read, NotFound) and read.explained
        known.unexplained_gone_at = None if explained else now
    elif outcome is Outcome.RECHECK:
        # Where the clock stepped back, the doubt begins anew instead of in the future.
        known.first_not_found_at = min(known.first_not_found_at or read.sent_at, read.sent_at)


def _judge_found(
    read: Found,
    states: States,
    ticket: int,
    becomes: Mapping[Key, str],
    verdicts: Mapping[Key, Verdict],
) -> Verdict:
    fence = judge(states[read.key].numbers, ticket)
    if fence is Fence.COVERED:
        return Verdict(Outcome.COVERED)
    parents = read.row.parents
    if fence is Fence.OVERTAKEN or precedes_cascade(_numbers(states, parents), ticket):
        return Verdict(Outcome.OVERTAKEN)
    pending = [p for p in parents if becomes[p] == RecordState.UNKNOWN]
    if pending:
        # Rule 9: due when the parent is; None where the parent's fetch failed.
        due = [v.due_at for p in pending if (v := verdicts.get(p)) is not None and v.due_at]
        return Verdict(Outcome.PARENT_PENDING, max(due, default=None))
    return Verdict(Outcome.APPLIED)


def _judge_not_found(read: NotFound, known: Known, ticket: int, batch: Batch) -> Verdict:
    fence = judge(known.numbers, ticket)
    if fence is not Fence.APPLY:
        return Verdict(Outcome.COVERED if fence is Fence.COVERED else Outcome.OVERTAKEN)
    if known.state == RecordState.GONE:
        return Verdict(Outcome.STILL_GONE)
    first = min(known.first_not_found_at or read.sent_at, read.sent_at)
    believed_at = believed_from(first, read.last_trigger_received_at, batch.policy.recheck_after_s)
    if read.sent_at >= believed_at:
        return Verdict(Outcome.GONE)
    return Verdict(Outcome.RECHECK, believed_at)


def _numbers(states: States, keys: Iterable[Key]) -> Iterable[Numbers]:
    return (states[key].numbers for key in keys)


def _parent_verification(parent: Key, child: Row) -> Verification:
    case_id = parent.id if parent.kind is Kind.CASE else None
    account_id = parent.id if parent.kind is Kind.CUSTOMER else child.parents[0].id
    return Verification(parent, account_id, case_id, because_of=child.key)
