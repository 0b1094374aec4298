"""Ticks and wake-ups: none is lost, and the work never runs twice at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from queue import Queue
from threading import Event, Lock

from simulator.triggers.scheduler import Scheduler
from tests.tls_receiver import PATIENCE_S

NEVER_S = 3600.0  # no tick comes by itself in these tests


class Work:
    """Work that says when it begins and waits for leave to end."""

    def __init__(self) -> None:
        self.begun: Queue[int] = Queue()
        self.may_end = Event()
        self.runs = 0
        self.alone = True
        self._busy = Lock()

    def __call__(self) -> None:
        self.alone &= self._busy.acquire(blocking=False)
        self.runs += 1
        self.begun.put(self.runs)
        assert self.may_end.wait(PATIENCE_S)
        self._busy.release()


@contextmanager
def ticking(work: Work) -> Iterator[Scheduler]:
    scheduler = Scheduler(work, NEVER_S)
    scheduler.start()
    try:
        yield scheduler
    finally:
        work.may_end.set()
        scheduler.stop()


def test_the_first_run_comes_at_once() -> None:
    work = Work()
    work.may_end.set()
    with ticking(work):
        assert work.begun.get(timeout=PATIENCE_S) == 1


def test_a_wake_up_during_a_run_is_not_lost() -> None:
    work = Work()
    with ticking(work) as scheduler:
        work.begun.get(timeout=PATIENCE_S)
        for _ in range(3):
            scheduler.wake()
        work.may_end.set()
        assert work.begun.get(timeout=PATIENCE_S) == 2  # once more for all three
    assert (work.runs, work.alone) == (2, True)


def test_a_wake_up_between_runs_runs_at_once() -> None:
    work = Work()
    work.may_end.set()
    with ticking(work) as scheduler:
        for run in range(1, 20):
            assert work.begun.get(timeout=PATIENCE_S) == run
            scheduler.wake()
    assert work.alone


def test_work_that_fails_is_run_again() -> None:
    begun: Queue[int] = Queue()

    def fail() -> None:
        begun.put(1)
        raise OSError("the database is locked")

    scheduler = Scheduler(fail, NEVER_S)
    scheduler.start()
    begun.get(timeout=PATIENCE_S)
    scheduler.wake()
    begun.get(timeout=PATIENCE_S)
    scheduler.stop()


def test_before_start_and_after_stop_a_wake_up_does_nothing() -> None:
    work = Work()
    scheduler = Scheduler(work, NEVER_S)
    scheduler.wake()
    scheduler.stop()
    scheduler.start()
    work.may_end.set()
    scheduler.stop()
    runs = work.runs
    scheduler.wake()
    assert work.runs == runs
