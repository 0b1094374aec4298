"""Bring a batch of reads into the External CRM: rows, audit entries and sync state (hop 9, T6).

In: a session with an open transaction, the reads of one claim and their ticket. Out: a verdict
for every read and the records to verify next. Never commits: the caller finishes its triggers in
the same transaction. Killed before that commit, nothing happened, and the batch is read again.

The order is what makes it safe (rule 12): lock the sync state of every record concerned, judge
what was read against what the locks show, write, raise the numbers.
"""

from datetime import timedelta
from functools import partial

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from external_crm.counter import draw
from external_crm.live_rows import known_children, write
from external_crm.models import SyncState
from external_crm.rows import Applied, Batch
from external_crm.states import lock, save
from external_crm.verdicts import cascading, judge_all, raise_numbers

_GUARD_LOCK = 0x8C_7B_01  # any number that nothing else in this database locks


class SqlSink:
    """The External CRM's own tables, in the transaction of a session (external_crm/sink.py)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def apply(self, batch: Batch, ticket: int) -> Applied:
        """A verdict for every read of the batch, after writing what the verdicts say."""
        return apply(self._session, batch, ticket)


def apply(session: Session, batch: Batch, ticket: int) -> Applied:
    """A verdict for every read of the batch, after writing what the verdicts say.

    ticket: drawn and committed before the first request of the batch was sent.
    """
    if not batch.reads:
        return Applied({})
    states = lock(session, batch)
    allowance = partial(_tombstone_allowance, session, batch)
    verdicts, verifications = judge_all(batch, states, ticket, allowance)
    # Judged against the numbers that the locks showed; what follows changes them.
    seq = draw(session)
    write(session, batch, states, verdicts, ticket)
    for read in batch.reads:
        raise_numbers(states[read.key], read, verdicts[read.key].outcome, ticket, seq, batch.now)
    stamped = cascading(batch, verdicts)
    if stamped:
        ks = draw(session)
        for key in stamped:
            states[key].ks = ks
            verifications += known_children(session, key)
    save(session, {read.key: states[read.key] for read in batch.reads})
    return Applied(verdicts, tuple(dict.fromkeys(verifications)))


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
