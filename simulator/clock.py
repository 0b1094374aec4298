"""The one source of time of the simulator.

In: nothing. Out: aware UTC instants. Steps take `now` as an argument; only loops and routes
ask a clock, and they ask the one that `create_app` was given.
"""

from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Protocol


class Clock(Protocol):
    """Anything that can say what time it is."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        return datetime.now(UTC)


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("A clock needs an instant with a time zone.")
        self._now = start.astimezone(UTC)
        self._lock = Lock()

    def now(self) -> datetime:
        """The instant it was set or advanced to, aware, in UTC."""
        with self._lock:
            return self._now

    def advance(self, by: timedelta) -> datetime:
        """Move forward by a span of at least zero; the new instant."""
        if by < timedelta(0):
            raise ValueError("A clock does not go backwards.")
        with self._lock:
            self._now += by
            return self._now
