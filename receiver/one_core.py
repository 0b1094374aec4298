"""Keeps the threads of a process on one core, each process on another.

In: the threads that run Python. Out: the same threads, bound to one core of those that this process
may use. Only one of them runs at any moment, the one that holds the interpreter's lock; to hand it
to a thread on another core costs more than to answer a trigger does (`scripts/bench ingest`).
Threads that run no Python, granian's own among them, stay where the system puts them.

Web processes get the even cores, workers the odd ones, one after the other. Where a system has no
such thing (macOS) or forbids it, nothing happens.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

WEB, WORKER = 0, 1


class OneCore:
    """A WSGI application all of whose threads run on one core."""

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app
        self._cores = _one_of(_cores(), _number_among_siblings(), WEB)
        self._bound = threading.local()

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """What the application answers."""
        if not hasattr(self._bound, "to"):
            self._bound.to = self._cores
            _bind(self._cores)
        return self._app(environ, start_response)


@contextmanager
def worker_on_one_core(slot: str | None) -> Iterator[None]:
    """The calling thread, and what it starts meanwhile, on one core.

    slot: what the supervisor calls this worker: `work-1` and so on.
    """
    before = _cores()
    number = (slot or "").rpartition("-")[2]
    _bind(_one_of(before, int(number) if number.isdecimal() else os.getpid(), WORKER))
    try:
        yield
    finally:
        _bind(before)


def _one_of(cores: list[int], number: int, role: int) -> list[int]:
    """One core, or all there are where there is no choice; never the same for both roles."""
    own = cores[role::2]
    return [own[number % len(own)]] if own and len(cores) > 1 else cores


def _number_among_siblings() -> int:
    """Counted by the process that started this one. Process ids would not do: threads have them
    too, so that those of two web processes are any two numbers.
    """
    counted = multiprocessing.current_process()._identity
    return counted[-1] if counted else os.getpid()


def _cores() -> list[int]:
    ask: Callable[[int], set[int]] = getattr(os, "sched_getaffinity", lambda _: set())
    return sorted(ask(0))


def _bind(cores: list[int]) -> None:
    """The calling thread."""
    if cores:
        with suppress(OSError):
            os.sched_setaffinity(0, cores)
