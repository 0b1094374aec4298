"""The clock: frozen, moved through all that becomes due, set running again."""

from datetime import datetime, timedelta

from simulator.control_api.clock import ClockOut, Moved
from simulator.verbs.calls import Calls


class Clock:
    """The simulator's clock. Moves play every delivery at its own instant on the way; timeout_s
    is the real time after which the clock is left where it is.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def show(self) -> ClockOut:
        """Where it stands, and whether it stands still."""
        return self._calls.get("/clock", ClockOut)

    def now(self) -> datetime:
        """Where it stands."""
        return self.show().now

    @property
    def frozen(self) -> bool:
        """Whether it stands still."""
        return self.show().frozen

    def freeze(self, at: datetime | None = None, *, timeout_s: float = 60) -> Moved:
        """Stand still: now, or at a later instant."""
        return self._calls.post("/clock/freeze", Moved, at=at, timeout_s=timeout_s)

    def set(self, at: datetime, *, timeout_s: float = 60) -> Moved:
        """Go to an instant, not in the past."""
        return self._calls.post("/clock/set", Moved, at=at, timeout_s=timeout_s)

    def advance(self, by: timedelta | float, *, timeout_s: float = 60) -> Moved:
        """Go forward by a span, or by seconds."""
        by_s = by.total_seconds() if isinstance(by, timedelta) else by
        return self._calls.post("/clock/advance", Moved, by_s=by_s, timeout_s=timeout_s)

    def run_until_idle(self, *, timeout_s: float = 60) -> Moved:
        """Go on until no delivery waits any more: delivered, or exhausted."""
        return self._calls.post("/clock/run-until-idle", Moved, timeout_s=timeout_s)

    def resume(self) -> ClockOut:
        """Run at real pace from where it stands."""
        return self._calls.post("/clock/resume", ClockOut)
