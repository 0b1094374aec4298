"""Writers of one process take turns, first come, first served.

In: an engine whose write transactions exclude each other. Out: the same, each transaction beginning
when those that asked before it are over. Killed here: nothing is held but memory.

SQLite lets who waits for its one writer's place ask again and again, at longer and longer
intervals: beside a job that writes batch after batch others may wait for seconds in vain, and
get `database is locked`. The turn is for fairness alone. Who has waited too long for it tries
without one, and SQLite decides; so a turn that was lost could delay, but never corrupt or block.
"""

from collections import deque
from threading import Lock
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import Connection

PATIENCE_S = 30.0
_HELD = "simulator.turns.held"  # in the info of a connection that has its turn


class Turns:
    """A lock that is handed over in the order in which it was asked for."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._taken = False
        self._queue: deque[Lock] = deque()

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        with self._guard:
            return len(self._queue)

    def take(self, timeout_s: float) -> bool:
        """Wait for one's turn; whether it came in time."""
        with self._guard:
            if not self._taken:
                self._taken = True
                return True
            mine = Lock()
            mine.acquire()
            self._queue.append(mine)
        if mine.acquire(timeout=timeout_s):
            return True
        with self._guard:
            if mine not in self._queue:  # it was handed over at the last moment
                return True
            self._queue.remove(mine)
            return False

    def give(self) -> None:
        """Hand it over to who has waited longest."""
        with self._guard:
            if self._queue:
                self._queue.popleft().release()
            else:
                self._taken = False


def take_turns(engine: Engine) -> Turns:
    """From now on the engine's write transactions begin in turn."""
    turns = Turns()

    def begin(connection: Connection) -> None:
        if not connection.get_execution_options().get("read_only", False):
            connection.info[_HELD] = turns.take(PATIENCE_S)

    def end(connection: Connection) -> None:
        # Before the commit is done: the next one waits for that moment in SQLite.
        if not connection.invalidated and connection.info.pop(_HELD, False):
            turns.give()

    def put_back(_: Any, record: Any, *__: Any) -> None:
        if record.info.pop(_HELD, False):
            turns.give()

    event.listen(engine, "begin", begin)
    for how in ("commit", "rollback"):
        event.listen(engine, how, end)
    for how in ("checkin", "invalidate"):  # one that was never ended, or never began
        event.listen(engine, how, put_back)
    return turns
