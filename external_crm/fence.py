"""Whether a read may be applied: pure, from numbers and instants to a decision.

In: what a record's sync state says, and under which ticket a read was sent. Out: apply, covered
or overtaken; and for a not-found whether it is believed. A ticket is drawn from the one counter
before the first request of a batch is sent, a seq inside the applying transaction; so
ticket < seq orders "sent before that write" without trusting any field of the record.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import NamedTuple


class Numbers(NamedTuple):
    """Of one record: ticket of the read it shows, seq of its last write, cascade number."""

    ticket: int = 0
    seq: int = 0
    ks: int = 0


class Fence(Enum):
    """What a read's ticket says against a record's numbers (rule 2)."""

    APPLY = auto()
    COVERED = auto()
    OVERTAKEN = auto()


def judge(numbers: Numbers, ticket: int) -> Fence:
    """Rule 2: sent after the last write applies; at or before the read shown is covered; in
    between nothing is known, because that write may have been read later than this one.
    """
    if ticket > numbers.seq:
        return Fence.APPLY
    return Fence.COVERED if ticket <= numbers.ticket else Fence.OVERTAKEN


def precedes_cascade(parents: Iterable[Numbers], ticket: int) -> bool:
    """Rule 8: whether a child was read before one of its parents was seen going."""
    return any(ticket <= parent.ks for parent in parents)


def believed_from(
    first_not_found_at: datetime,
    last_trigger_received_at: datetime | None,
    recheck_after_s: float,
) -> datetime:
    """Rule 7: a not-found is believed if its request was sent at this instant or later."""
    since = first_not_found_at
    if last_trigger_received_at is not None:
        since = max(since, last_trigger_received_at)
    return since + timedelta(seconds=recheck_after_s)
