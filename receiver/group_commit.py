"""Many requests in one commit: the first that waits commits for all that wait (hop 5).

In: values from many threads. Out: each thread returns once a commit holds its value, or raises
StoreUnavailable. Killed here: nobody was told that the value is stored.

A commit with full durability costs the same for one value as for a hundred. Whoever comes while
nobody commits leads: it writes all values that wait, its own among them, and hands the lead to
the first that came meanwhile. No thread of its own runs, and a lone request waits for nobody.

    StoreUnavailable(reason)    not stored, or at least nobody knows; call again
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

WOKEN_AT_ONCE = 4

T = TypeVar("T")
R = TypeVar("R")


class StoreUnavailable(Exception):
    """The value may not be stored; whoever sent it must send it again, which is harmless."""


class _Waiting(Generic[T]):
    """A value on its way. `wakes` is released once, when it is committed, failed, or to lead.

    A bare lock for each, since one condition for all would wake all of them to let one through.
    """

    __slots__ = ("asleep", "done", "failure", "has_left", "is_woken", "leads", "value", "wakes")

    def __init__(self, value: T) -> None:
        self.value = value
        self.done = False
        self.leads = False
        self.has_left = False  # told that it may not be stored, while its commit ran
        self.is_woken = False
        self.failure: Exception | None = None
        self.asleep: deque[_Waiting[T]] = deque()  # those of its group who are yet to be woken
        self.wakes = threading.Lock()
        self.wakes.acquire()


class GroupCommit(Generic[T, R]):
    """Leader and follower around `write`.

    write: stores and commits what the function it is given returns, or raises StoreUnavailable;
    whoever came meanwhile is in it when it is called once more. afterwards: gets what `write`
    returned, when nobody waits for it any more.
    """

    def __init__(
        self,
        write: Callable[[Callable[[], list[T]]], R],
        afterwards: Callable[[R], None] = lambda _: None,
        *,
        patience_s: float = 4.0,
        longest_queue: int = 1000,
        largest_group: int = 200,
    ) -> None:
        self._write = write
        self._afterwards = afterwards
        self._patience_s = patience_s
        self._longest_queue = longest_queue
        self._largest_group = largest_group
        self._lock = threading.Lock()
        self._queue: deque[_Waiting[T]] = deque()
        self._led_since: float | None = None  # when the commit that runs now began

    @property
    def waiting(self) -> int:
        """How many wait for the commit after the one that runs."""
        return len(self._queue)

    def store(self, value: T) -> None:
        """Return when `value` is committed. Raises StoreUnavailable, within about `patience_s`."""
        waiting = _Waiting(value)
        with self._lock:
            now = time.monotonic()
            if self._led_since is None:
                self._led_since = now
                waiting.leads = True
            elif now - self._led_since > self._patience_s:
                raise StoreUnavailable("The commit before this one does not end.")
            elif len(self._queue) >= self._longest_queue:
                raise StoreUnavailable("Too many triggers wait for the store.")
            self._queue.append(waiting)
        if not waiting.leads and not waiting.wakes.acquire(timeout=self._patience_s):
            self._give_up(waiting)
        self._wake(waiting.asleep, 1)
        if waiting.leads:
            self._lead()
        if waiting.failure is not None:
            if waiting.leads and not isinstance(waiting.failure, StoreUnavailable):
                raise waiting.failure  # a mistake in `write`, told once
            raise StoreUnavailable(str(waiting.failure)) from waiting.failure

    def _give_up(self, waiting: _Waiting[T]) -> None:
        """Raise StoreUnavailable, unless at this very moment its turn came."""
        with self._lock:
            if waiting.is_woken or waiting.leads:
                return
            if waiting.done:
                waiting.asleep.remove(waiting)
                return
            if waiting in self._queue:
                self._queue.remove(waiting)
            waiting.has_left = True  # a leader may hold it and yet commit it
        raise StoreUnavailable("The store does not answer in time.")

    def _wake(self, asleep: deque[_Waiting[T]], at_most: int) -> None:
        """Wake some of a group that is done; each of them wakes another one.

        All at once would keep the interpreter's lock from the next leader for as long as they
        take, one after the other, to answer.
        """
        if not asleep:
            return
        with self._lock:
            chosen = [asleep.popleft() for _ in range(min(at_most, len(asleep)))]
            for waiting in chosen:
                waiting.is_woken = True
        for waiting in chosen:
            waiting.wakes.release()

    def _lead(self) -> None:
        """Commit for all that wait, the leader first among them; then hand over."""
        group: list[_Waiting[T]] = []

        def gather() -> list[T]:
            with self._lock:
                while self._queue and len(group) < self._largest_group:
                    group.append(self._queue.popleft())
            return [waiting.value for waiting in group]

        gather()  # itself, though `write` should fail before it asks
        failure: Exception | None = StoreUnavailable("The commit was broken off.")
        try:
            written = self._write(gather)
            failure = None
        except Exception as error:
            failure = error
        finally:
            with self._lock:
                next_leader = self._queue[0] if self._queue else None
                self._led_since = None if next_leader is None else time.monotonic()
                if next_leader is not None:
                    next_leader.leads = True
                asleep = deque(one for one in group[1:] if not one.has_left)
                for waiting in group:
                    waiting.failure, waiting.done, waiting.asleep = failure, True, asleep
            if next_leader is not None:
                next_leader.wakes.release()  # first: its commit runs while these answer
            self._wake(asleep, WOKEN_AT_ONCE)
        if failure is None:
            self._afterwards(written)
