"""The log of logical events, and the digest of all of them.

In: notes, from any thread. Out: events by logical time and id, one number for all that ever came,
and a wake-up for whoever waits for the next. Killed here: the log is gone with the process.

An event says when it happened by the simulator's clock, what, about which id; nothing of ports,
durations or the order in which threads came. The digest is the sum of the events' SHA-256, as
numbers: so it needs neither an order nor memory, the log may forget old events and it still
counts them, and an event that came twice counts twice (XOR would drop both).

A change of the database is noted when it is committed: `note_at_commit` keeps the note in the
session, `hand_over` is what a session factory calls after the commit.
"""

import hashlib
import json
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from threading import Condition
from typing import Any

from sqlalchemy.orm import Session

from simulator.clock import Clock

_KEPT = 20_000
_MODULUS = 2**256
# In session.info:
_LOG = "simulator.events.log"
_NOTES = "simulator.events.notes"
Plain = str | int | float | bool | None


class What(StrEnum):
    """What can happen."""

    RECORD_CHANGED = "record-changed"  # about: event, origin, actor, version, data
    RECORDS_CREATED = "records-created"  # many at once by a silent channel
    DELIVERY_ENQUEUED = "delivery-enqueued"
    DELIVERY_REDELIVERED = "delivery-redelivered"
    ATTEMPT_ENDED = "attempt-ended"
    DELIVERIES_PAUSED = "deliveries-paused"
    DELIVERIES_RESUMED = "deliveries-resumed"
    API_CALLED = "api-called"
    BOXES_SAVED = "boxes-saved"
    CLOCK_FROZEN = "clock-frozen"
    CLOCK_MOVED = "clock-moved"
    CLOCK_RESUMED = "clock-resumed"
    FAULT_SET = "fault-set"
    FAULT_FIRED = "fault-fired"
    FAULT_CLEARED = "fault-cleared"


@dataclass(frozen=True)
class LoggedEvent:
    """Something that happened, as far as it is the same in every run."""

    at: datetime
    what: What
    id: str  # what it is about: "Customer 10000000", "delivery 3"
    about: Mapping[str, Plain]

    @cached_property
    def text(self) -> str:
        """The event in one way of writing, from which its share of the digest is made."""
        whole = [self.at.isoformat(timespec="microseconds"), self.what, self.id, self.about]
        return json.dumps(whole, sort_keys=True, separators=(",", ":"))

    @cached_property
    def order(self) -> tuple[datetime, list[tuple[str, int]], str]:
        """Where it stands in the log; made once, since a page that is open lists each second."""
        return self.at, _natural(self.id), self.text


class Events:
    """The log of one simulator; any thread may note, list and wait."""

    def __init__(self, clock: Clock, seed: str) -> None:
        """seed: of chance. It counts in the digest, whether or not anything was left to chance."""
        self._clock = clock
        self._changed = Condition()
        self._kept: deque[LoggedEvent] = deque(maxlen=_KEPT)
        self._closed = False
        self.on_noted: Callable[[LoggedEvent], None] = lambda event: None
        self._news = 0  # counts on when the log begins anew
        self._listed: tuple[int, list[LoggedEvent]] = (-1, [])  # as of which news
        self._count = self._sum = 0
        self.reset(seed)

    @property
    def count(self) -> int:
        """How many events there ever were."""
        with self._changed:
            return self._count

    @property
    def digest(self) -> str:
        """All events that ever were, as 64 hexadecimal digits."""
        with self._changed:
            return f"{self._sum:064x}"

    @property
    def closed(self) -> bool:
        """Whether the simulator stops."""
        with self._changed:
            return self._closed

    def note(self, what: What, id: str, *, at: datetime | None = None, **about: Plain) -> None:
        """Something happened, at the clock's time where nothing else is said.

        about: only what is the same in every run with the same seed and calls.
        """
        event = LoggedEvent(at or self._clock.now(), what, id, about)
        share = _number(event.text)
        _ = event.order  # made now: the first page after thousands of events must not wait for it
        with self._changed:
            self._kept.append(event)
            self._count += 1
            self._sum = (self._sum + share) % _MODULUS
            self._tell()
        self.on_noted(event)

    def listed(self) -> list[LoggedEvent]:
        """The latest events (at most 20,000), by logical time, then by what they are about."""
        with self._changed:
            news, kept = self._news, list(self._kept)
            if self._listed[0] == news:
                return self._listed[1].copy()
        listed = sorted(kept, key=lambda event: event.order)
        with self._changed:
            self._listed = (news, listed)
        return listed.copy()

    @property
    def news(self) -> int:
        """What to give to `wait_for_news`, taken before looking at what one waits for."""
        with self._changed:
            return self._news

    def wait_for_news(self, since: int, ends_at: float) -> bool:
        """Whether anything happened since then, before `ends_at` by time.monotonic().

        False as soon as the log is closed.
        """
        with self._changed:
            while self._news == since and not self._closed:
                remaining_s = ends_at - time.monotonic()
                if remaining_s <= 0:
                    return False
                self._changed.wait(remaining_s)
            return not self._closed

    def close(self) -> None:
        """Nobody waits any longer: the simulator stops."""
        with self._changed:
            self._closed = True
            self._tell()

    def reset(self, seed: str) -> None:
        """Begin anew, as after a start."""
        with self._changed:
            self._kept.clear()
            self._count = 0
            self._sum = _number(json.dumps(["seed", seed]))
            self._tell()

    def _tell(self) -> None:
        self._news += 1
        self._changed.notify_all()


def session_info(events: Events) -> dict[Any, Any]:
    """What a session factory gives each session, so that its changes are noted."""
    return {_LOG: events}


def noted(session: Session) -> bool:
    """Whether anybody keeps notes: what is costly to say need not be said otherwise."""
    return _LOG in session.info


def note_at_commit(
    session: Session, what: What, id: str, *, at: datetime | None = None, **about: Plain
) -> None:
    """Note what the session's transaction does, once it is committed."""
    if noted(session):
        session.info.setdefault(_NOTES, []).append((what, id, at, about))


def hand_over(session: Session) -> list[tuple[What, str]]:
    """Note what the transaction has done, after its commit; what, and about which id."""
    log: Events | None = session.info.get(_LOG)
    notes = session.info.pop(_NOTES, [])
    for what, id, at, about in notes:
        if log is not None:
            log.note(what, id, at=at, **about)
    return [(what, id) for what, id, _, _ in notes]


def fingerprint(value: Any) -> str:
    """A short digest of a JSON value, for what is too long to be told in an event."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest())


def _natural(id: str) -> list[tuple[str, int]]:
    """`delivery 9` before `delivery 10`."""
    return [(word, int(digits or 0)) for word, digits in re.findall(r"(\D*)(\d*)", id)]
