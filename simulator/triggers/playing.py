"""Plays the clock forward: through every moment at which something is due, and no other.

In: an instant to reach, or the wish to go on until nothing waits. Out: the clock there, and each
attempt made at its own instant. Killed here: the attempts so far are recorded; the next start
begins at the time of its settings.

The dispatcher is held meanwhile, so that no tick sends in between, and a running clock stands
still: an attempt begins and ends at the instant at which it was due.

    ClockRefused     the move leads backwards
    AlreadyPlaying   somebody else moves the clock at this moment
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from sqlalchemy import Engine

from simulator.clock import ControlledClock
from simulator.db import read_session
from simulator.events import Events, What
from simulator.triggers import outbox
from simulator.triggers.dispatcher import Dispatcher


class AlreadyPlaying(Exception):
    """Two moves at a time would make neither exact; the message says what to do."""


@dataclass(frozen=True)
class Played:
    """How far a move came. `complete` is False where the real time it was given was up."""

    now: datetime
    attempts: int
    complete: bool


class Player:
    """Moves the clock of one simulator; any thread may ask, one at a time is served."""

    def __init__(
        self, engine: Engine, clock: ControlledClock, dispatcher: Dispatcher, events: Events
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._dispatcher = dispatcher
        self._events = events
        self._playing = Lock()

    def freeze(self, at: datetime | None = None, *, ends_at: float) -> Played:
        """Stop the clock where it is, or at a later instant, as `move_to` goes there."""
        with self._alone():
            if at is not None:
                self._clock.check(at)
            self._clock.freeze()
            played = self._play_to(at or self._clock.now(), ends_at)
            self._note(What.CLOCK_FROZEN)
            return played

    def resume(self) -> datetime:
        """Let the clock run from where it stands; the instant."""
        with self._alone():
            self._note(What.CLOCK_RESUMED)  # at an instant that is still exact
            return self._clock.resume()

    def move_to(self, instant: datetime, *, ends_at: float, field: str = "at") -> Played:
        """Go to an instant, through all that becomes due on the way and at the instant itself.

        ends_at: the real time to stop at, by time.monotonic(). field: what the caller calls the
        instant.
        """
        with self._alone():
            self._clock.check(instant, field)  # before anything is sent
            with self._standing():
                return self._play_to(instant, ends_at)

    def advance(self, by: timedelta, *, ends_at: float, field: str = "by_s") -> Played:
        """Go forward by a span, as `move_to` does."""
        with self._alone(), self._standing():
            return self._play_to(self._clock.after(by, field), ends_at)

    def run_until_idle(self, *, ends_at: float) -> Played:
        """Go on from moment to moment until nothing waits any more.

        While deliveries are paused nothing can come of going on, so the clock stays.
        """
        with self._alone(), self._standing():
            attempts = 0
            while True:
                attempts += self._send_due(ends_at)
                if self._is_over(ends_at):
                    return self._played(attempts, complete=False)
                due = None if self._dispatcher.paused else self._next_due()
                if due is None:
                    return self._played(attempts, complete=True)
                self._clock.move_to(due)

    def _play_to(self, instant: datetime, ends_at: float) -> Played:
        attempts = 0
        while True:
            attempts += self._send_due(ends_at)
            if self._is_over(ends_at):
                return self._played(attempts, complete=False)
            due = self._next_due()
            if due is None or due > instant:
                self._clock.move_to(instant)
                return self._played(attempts, complete=True)
            self._clock.move_to(due)

    def _send_due(self, ends_at: float) -> int:
        """Send all that is due at this instant, what comes of it included; how many attempts."""
        attempts = 0
        while not self._is_over(ends_at) and (begun := self._dispatcher.run_once()):
            attempts += begun
        return attempts

    def _next_due(self) -> datetime | None:
        with read_session(self._engine) as session:
            return outbox.next_due(session, self._clock.now())

    def _is_over(self, ends_at: float) -> bool:
        return time.monotonic() >= ends_at or self._events.closed

    def _played(self, attempts: int, *, complete: bool) -> Played:
        self._note(What.CLOCK_MOVED)
        return Played(self._clock.now(), attempts, complete)

    def _note(self, what: What) -> None:
        self._events.note(what, "clock")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._playing.acquire(blocking=False):
            raise AlreadyPlaying(
                "The clock is being moved by another call. Wait for its answer; a receiver that "
                "is called meanwhile cannot move it."
            )
        try:
            with self._dispatcher.hold():
                yield
        finally:
            self._playing.release()

    @contextmanager
    def _standing(self) -> Iterator[None]:
        was_running = not self._clock.frozen
        self._clock.freeze()
        try:
            yield
        finally:
            if was_running:
                self._clock.resume()
