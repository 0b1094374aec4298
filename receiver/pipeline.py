"""Keeps a worker's hands full: one batch is read while the one before it is applied (hops 6 to 9).

In: a worker, the threads that read. Out: its steps, in an order that no rule forbids: each batch
has its own ticket, drawn before its first request, as if two workers took turns. Killed here: both
batches are under a lease that runs out.

Claims and applies stay in the thread that calls: on SQLite they would only wait for each other.
While a batch is applied nobody begins to read another record: to parse it would take turns with the
apply, for whose transaction others wait.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self, TypeVar

from receiver import ticking
from receiver.answers import Fetched
from receiver.courtesy import Courtesy
from receiver.worker import Worker

A = TypeVar("A")
B = TypeVar("B")


class Stopping(Exception):
    """The worker was asked to end in the midst of a batch, whose rows it gives back."""


class Pipeline:
    """Runs a worker, step by step; for one thread."""

    def __init__(
        self,
        worker: Worker,
        pausing: Callable[[], AbstractContextManager[None]] = nullcontext,
        courtesy: Courtesy | None = None,
    ) -> None:
        """pausing: while its context is entered, the worker's threads begin no read."""
        self._worker = worker
        self._pausing = pausing
        self._courtesy = courtesy
        self._reader = ThreadPoolExecutor(1, "batch")
        self._read: Fetched | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._reader.shutdown()

    def step(self) -> bool:
        """Read a batch while the one that was read before is applied; whether there was any.

        Raises what the worker raises, Stopping among it; neither batch is lost by that.
        """
        at_most = self._courtesy.before_a_step() if self._courtesy else None
        claim = self._worker.claim_due(at_most)
        reading = self._reader.submit(self._worker.read, claim) if claim else None
        before, self._read = self._read, None
        try:
            if before is not None:
                if self._courtesy and claim:
                    self._courtesy.between_transactions()
                with self._pausing():
                    self._worker.bring(before)
        finally:
            if reading is not None:
                self._read = reading.result()
        return claim is not None or before is not None

    def finish(self) -> None:
        """Apply what was read, and claim nothing more."""
        before, self._read = self._read, None
        if before is not None:
            self._worker.bring(before)


class ReadingThreads:
    """As the builtin `map`, in so many threads, until somebody wishes to stop."""

    def __init__(self, threads: int, is_stopped: Callable[[], bool]) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "fetch")
        self._is_stopped = is_stopped
        self._free = threading.Lock()

    def __call__(self, read: Callable[[A], B], what: Iterable[A]) -> list[B]:
        """The results, in the order of what was asked for.

        Raises what a call raises, and Stopping once it is wished; after the calls under way.
        """
        todo: SimpleQueue[tuple[int, A]] = SimpleQueue()
        for numbered in enumerate(what):
            todo.put(numbered)
        results: dict[int, B] = {}

        # Each thread takes one after the other: to hand each over costs as much as to parse it.
        def take_turns() -> None:
            while (taken := _next(todo)) is not None:
                if self._is_stopped():
                    raise Stopping("The worker was stopped before it had read the record.")
                with self._free:
                    pass
                number, one = taken
                try:
                    results[number] = read(one)
                except BaseException:
                    while _next(todo) is not None:
                        pass  # the batch is given back: what is read from here on is read in vain
                    raise

        threads = min(self._threads, todo.qsize())
        turns = [self._pool.submit(take_turns) for _ in range(threads)]
        wait(turns)  # all of them, so that none reads on when the batch is another worker's
        for turn in turns:
            turn.result()
        return [results[number] for number in range(len(results))]

    @contextmanager
    def pausing(self) -> Iterator[None]:
        """Meanwhile no call begins; those under way go on."""
        with self._free:
            yield

    def close(self) -> None:
        """End the threads; no call may be under way."""
        self._pool.shutdown()


def _next(todo: SimpleQueue[A]) -> A | None:
    try:
        return todo.get_nowait()
    except Empty:
        return None


def extending(every_s: float, extend: Callable[[], None]) -> AbstractContextManager[None]:
    """Extend a lease every so often while a batch is on the network."""
    return ticking.every(every_s, extend, "lease", "lease not extended", at_once=False)
