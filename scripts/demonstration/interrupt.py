"""Ctrl-C and SIGTERM as a flag that the demo looks at between two steps.

In: signals. Out: `Interrupted`, raised only where `check` or `pause` is called. A signal that
raised by itself could hit between starting a process and noting it, and leave it behind.
"""

import signal
import time
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """Somebody asked the demo to end."""


class Interrupt:
    """Whether somebody asked the demo to end."""

    def __init__(self) -> None:
        # A plain flag: setting a threading.Event in a handler can deadlock with the waiting thread.
        self.requested = False

    def install(self) -> None:
        """From now on a signal only sets the flag, however often it comes."""
        for number in _SIGNALS:
            signal.signal(number, self._request)

    def check(self) -> None:
        """Raise Interrupted if somebody asked for the end."""
        if self.requested:
            raise Interrupted

    def pause(self, seconds: float) -> None:
        """Let time pass; raises Interrupted soon after a signal."""
        until = time.monotonic() + seconds
        while True:
            self.check()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.05))

    def _request(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
