"""Connections to PostgreSQL on which nobody waits for ever.

In: how long. Out: connections of psycopg whose statements fail, as on a lost connection, where no
answer comes for so long. A server that is frozen, as on a machine that pauses or whose disk hangs,
is watched by nobody else: the kernel at its end still acknowledges what is sent, and the
statement_timeout is the server's own. Imported only where psycopg is installed.
"""

import time
from collections.abc import Generator
from typing import Any

import psycopg


class BoundedConnection(psycopg.Connection[Any]):
    """A connection on which every wait ends."""

    longest_wait_s: float | None = None  # None: as long as it takes

    def wait(self, gen: Generator[Any, Any, Any], *how: Any, **more: Any) -> Any:
        """What psycopg's own gives. Raises psycopg.OperationalError after `longest_wait_s`."""
        if self.longest_wait_s is not None:
            gen = self._bounded(gen, time.monotonic() + self.longest_wait_s)
        return super().wait(gen, *how, **more)

    def _bounded(self, gen: Generator[Any, Any, Any], deadline: float) -> Generator[Any, Any, Any]:
        try:
            wished = next(gen)
            while True:
                ready = yield wished
                # psycopg asks ten times a second, with nothing ready, whether somebody interrupts.
                if not ready and time.monotonic() > deadline:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(
                        f"the server gave no answer within {self.longest_wait_s:g} s"
                    )
                wished = gen.send(ready)
        except StopIteration as end:
            return end.value
