"""The sync state of the records of a batch: locked in one order, then written (rule 12).

In: keys, those that are read and those only looked at. Out: each record's numbers and marks as
the lock shows them; at the end, their new values in one statement. Placeholders make sure that
there is a row to lock. Killed here: the caller's transaction never happened.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from external_crm.db import insert_missing
from external_crm.fence import Numbers
from external_crm.models import SyncState
from external_crm.rows import RANK, Key, Kind

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
class State:
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
        """What the fence judges by."""
        return Numbers(self.ticket, self.seq, self.ks)


States = dict[Key, State]


def lock(session: Session, read: Set[Key], seen: Set[Key]) -> States:
    """The sync state of every record read and of every parent seen, locked in one global order.

    A parent that is only looked at is locked FOR SHARE, so that it cannot go meanwhile and
    siblings do not wait for each other.
    """
    keys = sorted(read | seen, key=lock_order)
    _insert_placeholders(session, keys)
    states: States = {}
    for (kind, is_written), run in groupby(keys, key=lambda key: (key.kind, key in read)):
        states |= _select_states(session, kind, [key.id for key in run], is_written)
    return states


def lock_order(key: Key) -> tuple[int, str]:
    """Customers first, then cases, then the rest, each in id order."""
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


def _select_states(session: Session, kind: Kind, ids: Sequence[str], is_written: bool) -> States:
    columns = [getattr(SyncState, name) for name in _STATE_COLUMNS]
    query = select(SyncState.id, *columns).where(
        SyncState.kind == kind.value, SyncState.id.in_(ids)
    )
    if session.get_bind().dialect.name == "postgresql":
        # The order of Python's sort, so that two batches lock in the same order.
        query = query.order_by(SyncState.id.collate("C"))
        query = query.with_for_update(key_share=is_written, read=not is_written)
    return {Key(kind, row[0]): State(*row[1:]) for row in session.execute(query)}


def save(session: Session, states: Mapping[Key, State]) -> None:
    """All numbers and marks of these records, in one statement."""
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
