"""Loads that outlast a request: a CSV import, a bulk creation, one after the other in a thread.

In: what is loaded and a work that says how far it is. Out: a Load that pages can look at while it
runs. Killed here: the batches that were committed stay; what a Load said is forgotten.

    LoadStopped     the simulator is being stopped or emptied: raised in the work, at its next word
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Event, Lock

from simulator.local_crm.csv_import import ImportRefused, Report
from simulator.logs import Log
from simulator.triggers.urls import Kind

log = Log("simulator.loads")
_KEPT = 20  # loads to look at, the newest


class LoadStopped(Exception):
    """Nobody waits for the rest of it any more."""


class LoadState(StrEnum):
    """How far a load is."""

    WAITING = "waiting"  # for the one before it
    RUNNING = "running"
    FINISHED = "finished"
    REFUSED = "refused"  # nothing was loaded
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass
class Load:
    """One load. Written by its thread alone; a reader may be a batch behind."""

    number: int
    what: str  # the name of the file, or what is created
    kind: Kind
    total: int
    done: int = 0
    state: LoadState = LoadState.WAITING
    report: Report = field(default_factory=Report)
    problem: str = ""  # a sentence, where it did not finish

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.state not in (LoadState.WAITING, LoadState.RUNNING)


Tell = Callable[[int, int], None]  # done, of total. Raises LoadStopped
Work = Callable[[Tell], Report]


class Loads:
    """All loads since the simulator was started. Threads may share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._loads: dict[int, Load] = {}
        self._under_way: set[Future[None]] = set()
        self._stop = Event()
        self._last = 0
        # One at a time: SQLite has one writer, and agents want their turn too.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="load")

    def begin(self, what: str, kind: Kind, total: int, work: Work) -> Load:
        """A load that begins when those before it are over."""
        with self._lock:
            self._last += 1
            load = self._loads[self._last] = Load(self._last, what, kind, total)
            self._loads.pop(self._last - _KEPT, None)
            future = self._thread.submit(self._run, load, work, self._stop)
            self._under_way = {one for one in self._under_way if not one.done()} | {future}
        return load

    def find(self, number: int) -> Load | None:
        """The load of that number."""
        return self._loads.get(number)

    def newest_first(self) -> list[Load]:
        """The loads to look at."""
        with self._lock:
            return sorted(self._loads.values(), key=lambda load: -load.number)

    def wait(self) -> None:
        """Return when none is under way."""
        with self._lock:
            under_way = set(self._under_way)
        wait(under_way)

    def stop(self) -> None:
        """End what is under way after its present batch; what waits never begins."""
        with self._lock:
            self._stop.set()
            self._stop = Event()  # for those to come

    def close(self) -> None:
        """Stop for good and wait for the thread."""
        self.stop()
        self._thread.shutdown(cancel_futures=True)

    def _run(self, load: Load, work: Work, stop: Event) -> None:
        def tell(done: int, total: int) -> None:
            load.done, load.total = done, total
            if stop.is_set():
                raise LoadStopped

        try:
            tell(0, load.total)
            load.state = LoadState.RUNNING
            load.report = work(tell)
            load.state = LoadState.FINISHED
        except LoadStopped:
            load.problem = f"It was stopped after {load.done:,} of {load.total:,}; those stay."
            load.state = LoadState.STOPPED
        except ImportRefused as refused:
            load.problem = f"{refused} Nothing was loaded."
            load.state = LoadState.REFUSED
        except Exception:
            log.exception("load failed", number=load.number, done=load.done)
            load.problem = (
                f"It failed after {load.done:,} of {load.total:,}; those stay. "
                "The simulator's log has the details."
            )
            load.state = LoadState.FAILED
