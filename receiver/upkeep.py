"""What a worker does beside its batches: alarms, and forgetting what is old.

In: the database and now. Out: messages sent, fewer rows. It runs in a thread of its own, so that
neither a slow webhook nor a command that hangs makes a trigger wait; every worker does it, and
the rows say who does what. Killed here: the next tick goes on, a message may be said twice.
"""

from contextlib import AbstractContextManager

import structlog
from sqlalchemy import Engine

from external_crm.db import read_session, session_factory
from receiver import alarm, counts, retention, ticking
from receiver.alarm import Bounds, Message
from receiver.clock import Clock
from receiver.messenger import Messenger, NotTaken
from receiver.retention import Ages

log = structlog.get_logger()

EVERY_S = 5.0
_STEPS = 20  # of pruning at a time: two thousand rows a second keep up with any inbox


class Upkeep:
    """One worker's share of it."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        messenger: Messenger,
        bounds: Bounds,
        ages: Ages,
    ) -> None:
        self._engine = engine
        self._sessions = session_factory(engine)
        self._clock = clock
        self._messenger = messenger
        self._bounds = bounds
        self._ages = ages

    def run_once(self) -> None:
        """All that is due now."""
        self._look_for_alarms()
        while self._say_one():
            pass
        for prune in retention.EACH:
            self._forget(prune)
        self._merge_counts()

    def _look_for_alarms(self) -> None:
        now = self._clock.now()
        with read_session(self._engine) as session:
            found = alarm.look(session, now, self._bounds)
            if alarm.is_noted(session, found):
                return
        with self._sessions.begin() as session:
            alarm.note(session, found, now)

    def _say_one(self) -> bool:
        """Whether there was anything to say."""
        now = self._clock.now()
        with read_session(self._engine) as session:
            if not alarm.has_due(session, now):
                return False
        with self._sessions.begin() as session:
            message = alarm.claim(session, now)
        if message is None:
            return False
        try:
            self._messenger.tell(message)
        except NotTaken as error:
            log.warning("alarm not taken", name=message.name, reason=str(error))
            return True
        _log(message)
        with self._sessions.begin() as session:
            alarm.strike_off(session, message, self._clock.now())
        return True

    def _forget(self, prune: retention.Prune) -> None:
        """A small step after the other; what is left over is the next tick's."""
        removed = 0
        for _ in range(_STEPS):
            with self._sessions.begin() as session:
                rows = prune(session, self._clock.now(), self._ages)
            removed += rows
            if rows < retention.STEP:
                break
        if removed:
            log.info("forgotten", what=prune.__name__.removeprefix("prune_"), rows=removed)

    def _merge_counts(self) -> None:
        with read_session(self._engine) as session:
            if not counts.has_many_slots(session):
                return
        with self._sessions.begin() as session:
            counts.merge(session)


def _log(message: Message) -> None:
    if message.over_at is None:
        log.error("alarm", name=message.name, reason=message.sentence)
    else:
        log.info("all clear", name=message.name, since=message.since.isoformat())


def going_on(upkeep: Upkeep) -> AbstractContextManager[None]:
    """Run it every so often while this is entered; what is being sent is not waited for."""
    return ticking.every(EVERY_S, upkeep.run_once, "upkeep", "no upkeep", waits_s=1.0)
