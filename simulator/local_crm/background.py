"""Work that outlasts a request, one job after the other in a thread: imports, Delete All.

In: what is done to how many records, and a work that says how far it is. Out: a Job that pages can
look at while it runs. Killed here: the batches that were committed stay; what a Job said is
forgotten.

    JobStopped      the simulator is being stopped or emptied: raised in the work, at its next word
    JobRefused      raised in the work before anything was done; a sentence
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from enum import StrEnum
from threading import Event, Lock
from typing import Generic, TypeVar

from simulator.logs import Log
from simulator.triggers.urls import Kind

log = Log("simulator.background")
_KEPT = 20  # jobs to look at, the newest
R = TypeVar("R")  # what comes of a job


class JobStopped(Exception):
    """Nobody waits for the rest of it any more."""


class JobRefused(Exception):
    """Nothing can be done; the message says what to mend."""


class JobState(StrEnum):
    """How far a job is."""

    WAITING = "waiting"  # for the one before it
    RUNNING = "running"
    FINISHED = "finished"
    REFUSED = "refused"  # nothing was done
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass
class Job(Generic[R]):
    """One job. Written by its thread alone; a reader may be a batch behind."""

    number: int
    what: str  # the name of a file, or what is done
    kind: Kind
    total: int
    report: R
    done: int = 0
    state: JobState = JobState.WAITING
    problem: str = ""  # a sentence, where it did not finish

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.state not in (JobState.WAITING, JobState.RUNNING)


Tell = Callable[[int, int], None]  # done, of total. Raises JobStopped
Work = Callable[[Tell], R]


class Jobs(Generic[R]):
    """All jobs of a sort since the simulator was started. Threads may share it."""

    def __init__(self, thread_name: str, committed: str) -> None:
        """committed: what is said of those that a job was done with when it ended too early."""
        self._committed = committed
        self._lock = Lock()
        self._jobs: dict[int, Job[R]] = {}
        self._under_way: set[Future[None]] = set()
        self._stop = Event()
        self._last = 0
        # One at a time: SQLite has one writer, and agents want their turn too.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=thread_name)

    def begin(self, what: str, kind: Kind, total: int, work: Work[R], nothing_yet: R) -> Job[R]:
        """A job that begins when those before it are over. nothing_yet: its report until then."""
        with self._lock:
            self._last += 1
            job = self._jobs[self._last] = Job(self._last, what, kind, total, nothing_yet)
            self._jobs.pop(self._last - _KEPT, None)
            future = self._thread.submit(self._run, job, work, self._stop)
            self._under_way = {one for one in self._under_way if not one.done()} | {future}
        return job

    def find(self, number: int) -> Job[R] | None:
        """The job of that number."""
        return self._jobs.get(number)

    def newest_first(self) -> list[Job[R]]:
        """The jobs to look at."""
        with self._lock:
            return sorted(self._jobs.values(), key=lambda job: -job.number)

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

    def _run(self, job: Job[R], work: Work[R], stop: Event) -> None:
        def tell(done: int, total: int) -> None:
            job.done, job.total = done, total
            if stop.is_set():
                raise JobStopped

        try:
            tell(0, job.total)
            job.state = JobState.RUNNING
            job.report = work(tell)
            job.state = JobState.FINISHED
        except JobStopped:
            job.problem = f"It was stopped after {job.done:,} of {job.total:,}; {self._committed}."
            job.state = JobState.STOPPED
        except JobRefused as refused:
            job.problem = f"{refused} Nothing was done."
            job.state = JobState.REFUSED
        except Exception:
            log.exception("job failed", number=job.number, done=job.done)
            job.problem = (
                f"It failed after {job.done:,} of {job.total:,}; {self._committed}. "
                "The simulator's log has the details."
            )
            job.state = JobState.FAILED
