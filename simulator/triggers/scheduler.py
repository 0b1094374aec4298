"""Ticks: runs one piece of work every so often, and at once when woken.

In: the work, an interval. Out: calls of the work, never two at a time. Killed here: the next
start ticks again; what is due is in the database.

APScheduler only ticks; it knows nothing of the simulator's clock. It would drop a wake-up that
arrives while the work runs, so such a wake-up is kept as a flag and the work runs once more.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Lock

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from simulator.logs import Log

log = Log("simulator.triggers")
_JOB = "tick"
_LATE_S, _LATE_TICKS = 5.0, 3  # later than both, and the ticks have ended


class Scheduler:
    """Runs `work` at each tick and each wake-up, in a thread of its own."""

    def __init__(self, work: Callable[[], object], tick_s: float) -> None:
        self._work = work
        self._tick_s = tick_s
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(2)},
            # The work's own failures are logged below. What is left is that a process ends while
            # a simulator that nobody stopped still ticks.
            logger=logging.Logger("ticks", logging.CRITICAL + 1),
        )
        # Two instances: a tick that comes while the work runs sets the flag and is gone. With
        # one, APScheduler itself would drop a wake-up that comes just before the run has ended.
        self._scheduler.add_job(
            self._tick,
            "interval",
            id=_JOB,
            seconds=tick_s,
            max_instances=2,
            coalesce=True,
            misfire_grace_time=None,
        )
        self._lock = Lock()
        self._running = False
        self._woken = False
        self._started = False
        self._ticked_at = float("-inf")  # by time.monotonic()

    @property
    def ticking(self) -> bool:
        """Whether it was started, and its ticks come."""
        late_s = time.monotonic() - self._ticked_at
        return self._started and late_s < max(_LATE_S, _LATE_TICKS * self._tick_s)

    def start(self) -> None:
        """Begin to tick, the first time at once."""
        self._scheduler.start()
        self._ticked_at = time.monotonic()
        self._started = True
        self.wake()

    def wake(self) -> None:
        """Let the work run now, or once more if it is running; any thread may call this."""
        with self._lock:
            if self._running:
                self._woken = True
                return
            if self._started:
                self._scheduler.modify_job(_JOB, next_run_time=datetime.now(UTC))

    def stop(self) -> None:
        """Tick no more; returns when the work is at rest."""
        with self._lock:
            if not self._started:
                return
            self._started = False
            self._woken = False
        self._scheduler.shutdown(wait=True)

    def _tick(self) -> None:
        self._ticked_at = time.monotonic()
        with self._lock:
            if self._running:
                self._woken = True
                return
            self._running = True
        while True:
            try:
                self._work()
            except Exception:
                log.exception("tick failed")  # the next tick tries again
            with self._lock:
                if not self._woken:
                    self._running = False
                    return
                self._woken = False
