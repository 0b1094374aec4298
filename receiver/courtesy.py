"""Lets others write while a worker has much to do (hops 6 and 9); for SQLite, which lets one write
at a time and keeps no queue of those who wait.

In: a worker's steps. Out: pauses between its transactions, and how many rows it may claim. In a
burst, when more comes in than any worker applies, triggers are stored first: the worker takes
smaller batches and rests three times as long as it worked. What it leaves waits longer, and nothing
is lost by that.
"""

import time
from collections.abc import Callable

from sqlalchemy import Engine

from external_crm.db import read_session
from receiver import inbox

GAP_S = 0.001  # in which whoever waits to store a trigger asks four times
BURST_PER_S = 1000
RESTS = 3
LONGEST_REST_S = 0.3


class Courtesy:
    """Between the steps of one worker."""

    def __init__(
        self, engine: Engine, batch_size: int, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._engine = engine
        self._batch_size = batch_size
        self._pause = pause
        self._is_due = engine.dialect.name == "sqlite"
        self._newest: int | None = None
        self._looked_at = self._began = time.monotonic()

    def before_a_step(self) -> int:
        """Pause, if that is due; how many rows the step may claim."""
        if not self._is_due:
            return self._batch_size
        in_a_burst = self._is_burst()
        worked_s = self._looked_at - self._began
        self._pause(min(RESTS * worked_s, LONGEST_REST_S) if in_a_burst else GAP_S)
        self._began = time.monotonic()
        return max(1, self._batch_size // 4) if in_a_burst else self._batch_size

    def between_transactions(self) -> None:
        """Pause, if that is due."""
        if self._is_due:
            self._pause(GAP_S)

    def _is_burst(self) -> bool:
        """Whether so much came since the last look."""
        with read_session(self._engine) as session:
            newest = inbox.newest(session)
        now = time.monotonic()
        came = newest - (newest if self._newest is None else self._newest)
        is_burst = came > BURST_PER_S * (now - self._looked_at)
        self._newest, self._looked_at = newest, now
        return is_burst
