"""How many rows the inbox has of each sort, without counting them.

In: a session. Out: numbers, as exact as counting, at a cost that does not grow with the inbox.
Triggers of the database keep them, in the transaction that changes the rows, whoever changes
them (migration 0007). Killed here: nothing changes.

On PostgreSQL each connection adds to a slot of its own, so that no transaction waits for another;
`merge` brings the slots of connections that ended together.
"""

from typing import NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from external_crm.rows import SETTLE, TRIGGER
from receiver.models import InboxCount, State

MANY_SLOTS = 50


class Sort(NamedTuple):
    """What rows are counted by."""

    state: str
    cause: str
    failed: bool  # has a failure behind it, whoever is to blame


class Counts(dict[Sort, int]):
    """Rows by their sort."""

    def number(
        self, state: State | None = None, cause: str | None = None, failed: bool | None = None
    ) -> int:
        """How many rows are of this state, cause and past; None: of any."""
        return sum(
            number
            for sort, number in self.items()
            if state in (None, sort.state)
            and cause in (None, sort.cause)
            and failed in (None, sort.failed)
        )

    @property
    def settling(self) -> int:
        """Settle reads that wait for their time."""
        return self.number(State.WAITING, SETTLE, failed=False)

    @property
    def retrying(self) -> int:
        """Rows that wait with a failure behind them."""
        return self.number(State.WAITING, failed=True)

    @property
    def waiting(self) -> int:
        """Rows that wait for their first read."""
        return self.number(State.WAITING, failed=False) - self.settling

    @property
    def unfinished_triggers(self) -> int:
        """Received triggers that are not done."""
        return self.number(cause=TRIGGER) - self.number(State.DONE, TRIGGER)


def read(session: Session) -> Counts:
    """What there is at this moment."""
    row = InboxCount
    query = select(row.state, row.cause, row.failed, func.sum(row.number))
    found = session.execute(query.group_by(row.state, row.cause, row.failed))
    return Counts({Sort(state, cause, failed): int(n) for state, cause, failed, n in found})


def has_many_slots(session: Session) -> bool:
    """Whether a merge is worth its while; cheap."""
    slots = select(func.count(InboxCount.slot.distinct()))
    return int(session.scalar(slots) or 0) > MANY_SLOTS


def merge(session: Session) -> None:
    """Bring the slots of connections that ended together, on PostgreSQL; locked ones stay."""
    session.execute(_MERGE)


_MERGE = text(
    """
    WITH ended AS (
      SELECT state, cause, failed, slot FROM receiver_inbox_counts
      WHERE slot <> 0 AND slot NOT IN (SELECT pid FROM pg_stat_activity WHERE pid IS NOT NULL)
      FOR UPDATE SKIP LOCKED
    ), removed AS (
      DELETE FROM receiver_inbox_counts AS counted USING ended
      WHERE (counted.state, counted.cause, counted.failed, counted.slot)
          = (ended.state, ended.cause, ended.failed, ended.slot)
      RETURNING counted.state, counted.cause, counted.failed, counted.number
    )
    INSERT INTO receiver_inbox_counts (state, cause, failed, slot, number)
    SELECT state, cause, failed, 0, sum(number) FROM removed GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (state, cause, failed, slot)
    DO UPDATE SET number = receiver_inbox_counts.number + excluded.number
    """
)
