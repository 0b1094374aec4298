"""The one source of time of the simulator, which a test may stop and move forward.

In: nothing, or where to stand still. Out: aware UTC instants. Steps take `now` as an argument;
only loops and routes ask a clock, and they ask the one that `create_app` was given. Killed here:
the next start begins at the machine's time.

    ClockRefused(field, sentence)   the move cannot be made; the clock stands where it stood
"""

from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Protocol


class Clock(Protocol):
    """Anything that can say what time it is."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""


class ClockRefused(ValueError):
    """A move that cannot be made; `field` is what is wrong about it."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        return datetime.now(UTC)


class ControlledClock:
    """The machine's pace or none, from wherever it stands; never backwards.

    Moving it plays nothing: what becomes due on the way is for `triggers.playing`.
    """

    def __init__(self, frozen_at: datetime | None = None) -> None:
        self._lock = Lock()
        self._runs = True
        self._offset = timedelta(0)  # from the machine's time; while it runs
        self._now = datetime.now(UTC)  # the latest instant that anybody was told
        self.reset(frozen_at)

    @property
    def frozen(self) -> bool:
        """Whether it stands still."""
        with self._lock:
            return not self._runs

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        with self._lock:
            return self._read()

    def freeze(self) -> datetime:
        """Stand still; the instant at which."""
        with self._lock:
            now = self._read()
            self._runs = False
            return now

    def resume(self) -> datetime:
        """Go on at the machine's pace, from where it stands; the instant at which."""
        with self._lock:
            if not self._runs:
                self._offset = self._now - datetime.now(UTC)
                self._runs = True
            return self._read()

    def move_to(self, instant: datetime, field: str = "at") -> datetime:
        """Move forward to an instant; frozen or not, it stays so. Raises ClockRefused."""
        with self._lock:
            wanted = self._forward(instant, field)
            self._offset += wanted - self._now
            self._now = wanted
            return wanted

    def check(self, instant: datetime, field: str = "at") -> None:
        """Raise ClockRefused if the clock cannot be moved there."""
        with self._lock:
            self._forward(instant, field)

    def advance(self, by: timedelta) -> datetime:
        """Move forward by a span; the new instant. Raises ClockRefused for a negative one."""
        return self.move_to(self.after(by))

    def after(self, by: timedelta, field: str = "by_s") -> datetime:
        """The instant a span from now. Raises ClockRefused."""
        if by < timedelta(0):
            raise ClockRefused(field, "A clock does not go backwards: give a span of 0 or more.")
        try:
            return self.now() + by
        except OverflowError:
            raise ClockRefused(field, "The span leads beyond the year 9999.") from None

    def reset(self, frozen_at: datetime | None = None) -> None:
        """Begin anew, backwards too: at the machine's time, or frozen at an instant. For a
        simulator that is emptied at the same time. Raises ClockRefused.
        """
        now = datetime.now(UTC) if frozen_at is None else _utc(frozen_at, "freeze_at")
        with self._lock:
            self._runs = frozen_at is None
            self._offset = timedelta(0)
            self._now = now

    def _forward(self, instant: datetime, field: str) -> datetime:
        wanted, now = _utc(instant, field), self._read()
        if wanted < now:
            raise ClockRefused(
                field,
                f"A clock does not go backwards: it is {now.isoformat()}, "
                f"so it cannot be set to {wanted.isoformat()}.",
            )
        return wanted

    def _read(self) -> datetime:
        if self._runs:
            now = datetime.now(UTC) + self._offset
            if now < self._now:  # the machine's own clock was set back; this one goes on from here
                self._offset += self._now - now
            self._now = max(self._now, now)
        return self._now


class ManualClock(ControlledClock):
    """A controlled clock that stands still from the beginning."""

    def __init__(self, start: datetime) -> None:
        super().__init__(frozen_at=start)


def _utc(instant: datetime, field: str) -> datetime:
    if instant.tzinfo is None:
        raise ClockRefused(field, "A clock needs an instant with a time zone, such as ...T09:00Z.")
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise ClockRefused(field, "The instant is not between the years 1 and 9999.") from None
