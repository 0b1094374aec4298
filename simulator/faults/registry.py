"""The faults that were added: which are in force, how often each was hit.

In: faults and calls. Out: what happens to a call. Any number of threads may ask; calls are
counted in the order in which they ask, so that with several callers at once the nth call is the
nth to arrive. What is drawn depends on the call alone. Killed here: all faults are gone.

    FaultNotFound     there is no fault of that number (any more)
    TooManyFaults     no more can be added
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

from simulator.chance import Chance
from simulator.clock import Clock
from simulator.events import Events, What
from simulator.faults import rules
from simulator.faults.models import Fault
from simulator.faults.rules import ApiCall, Call

MOST_IN_FORCE = 1000
_MOST_OVER = 100  # of those that are over, so many are listed


class FaultNotFound(Exception):
    """There is no such fault; the message is a sentence."""


class TooManyFaults(Exception):
    """No more faults fit in; the message is a sentence."""


@dataclass(frozen=True)
class Fired:
    """A fault that hits a call."""

    id: int
    fault: Fault
    call: Call


@dataclass(frozen=True)
class Listed:
    """A fault and how it stands."""

    id: int
    fault: Fault
    added_at: datetime
    ends_at: datetime | None
    counted: int  # calls it could have hit
    fired: int  # calls it has hit
    in_force: bool


@dataclass
class _Standing:
    id: int
    fault: Fault
    added_at: datetime
    ends_at: datetime | None
    counted: int = 0
    fired: int = 0
    by_record: Counter[str] = field(default_factory=Counter)
    by_identity: Counter[tuple[str, ...]] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)

    def is_over(self, now: datetime) -> bool:
        return rules.is_over(self.fault, self.counted, self.fired, now, self.ends_at)


class Registry:
    """All faults of one simulator."""

    def __init__(self, clock: Clock, chance: Chance, events: Events) -> None:
        self._clock = clock
        self._chance = chance
        self._events = events
        self._lock = Lock()
        self._standing: dict[int, _Standing] = {}
        self._last_id = 0
        self.on_cleared: Callable[[list[int]], None] = lambda ids: None

    def add(self, fault: Fault) -> Listed:
        """The fault, in force from now on. Raises TooManyFaults."""
        now = self._clock.now()
        ends_at = None if fault.for_s is None else now + timedelta(seconds=fault.for_s)
        with self._lock:
            over = self._forget_old(now)
            if len(self._standing) - over >= MOST_IN_FORCE:
                raise TooManyFaults(f"{MOST_IN_FORCE} faults are in force. Clear some first.")
            self._last_id += 1
            added = _Standing(self._last_id, fault, now, ends_at)
            self._standing[added.id] = added
        said = fault.model_dump(mode="json", exclude_defaults=True)
        self._events.note(What.FAULT_SET, f"fault {added.id}", at=now, fault=fault.fault, **said)
        return self._listed(added, now)

    def all(self) -> list[Listed]:
        """Every fault that was added and not cleared, in that order; the latest that are over."""
        now = self._clock.now()
        with self._lock:
            self._forget_old(now)
            return [self._listed(one, now) for one in self._standing.values()]

    def get(self, fault_id: int) -> Listed:
        """One fault. Raises FaultNotFound."""
        with self._lock:
            if fault_id not in self._standing:
                raise FaultNotFound(f"There is no fault {fault_id}. It may have been cleared.")
            return self._listed(self._standing[fault_id], self._clock.now())

    def clear(self, fault_id: int) -> None:
        """Take one fault away; what it holds is let go. Raises FaultNotFound."""
        self.get(fault_id)
        self._clear([fault_id])

    def clear_all(self) -> int:
        """Take all faults away; how many were in force."""
        in_force = sum(one.in_force for one in self.all())
        self._clear(list(self._standing))
        return in_force

    def reset(self) -> None:
        """No faults, and the next one is number 1 again, as after a start."""
        self.clear_all()
        with self._lock:
            self._last_id = 0

    def may_hold(self, fault_id: int) -> bool:
        """Whether what this fault holds back may be held on: it was not cleared or timed out."""
        with self._lock:
            one = self._standing.get(fault_id)
        return one is not None and (one.ends_at is None or self._clock.now() < one.ends_at)

    def on_call(
        self, call: Call, allowed: Callable[[int, Fault], bool] = lambda fault_id, fault: True
    ) -> Fired | None:
        """What hits the call: of the faults that do, the one that was added first, or None.

        allowed: asked last, with a fault's number: False, and this one does not hit the call.
        """
        if not self._standing:
            return None
        with self._lock:
            now = self._clock.now()
            hitting = [one for one in self._standing.values() if self._hits(one, call, now)]
            found = next((one for one in hitting if allowed(one.id, one.fault)), None)
            if found is None:
                return None
            found.fired += 1
            if found.fault.once_per_call or found.fault.times_per_record:
                found.hits[call.subject] += 1
        fired = Fired(found.id, found.fault, call)
        self._events.note(
            What.FAULT_FIRED,
            f"fault {found.id}",
            fault=found.fault.fault,
            call=" ".join(call.identity)[:200],
        )
        return fired

    def _hits(self, one: _Standing, call: Call, now: datetime) -> bool:
        """Whether this fault is to hit the call, which is counted."""
        fault = one.fault
        if one.is_over(now) or not rules.matches(fault, call):
            return False
        one.counted += 1
        number = one.counted
        if fault.per_record:
            one.by_record[call.about] += 1
            number = one.by_record[call.about]
        most = 1 if fault.once_per_call else fault.times_per_record
        if most is not None and one.hits[call.subject] >= most:
            return False
        return rules.selects(fault, number, lambda: self._drawn(one, call))

    def _drawn(self, one: _Standing, call: Call) -> float:
        number = 1
        if isinstance(call, ApiCall):  # the same may be asked again; an attempt has its number
            one.by_identity[call.identity] += 1
            number = one.by_identity[call.identity]
        return self._chance.of("fault", one.id, *call.identity, number).random()

    def _clear(self, fault_ids: list[int]) -> None:
        with self._lock:
            gone = [one for one in fault_ids if self._standing.pop(one, None)]
        for fault_id in gone:
            self._events.note(What.FAULT_CLEARED, f"fault {fault_id}")
        if gone:
            self.on_cleared(gone)

    def _forget_old(self, now: datetime) -> int:
        """How many of those that are over are kept."""
        over = [one.id for one in self._standing.values() if one.is_over(now)]
        for fault_id in over[:-_MOST_OVER]:
            del self._standing[fault_id]
        return min(len(over), _MOST_OVER)

    @staticmethod
    def _listed(one: _Standing, now: datetime) -> Listed:
        return Listed(
            id=one.id,
            fault=one.fault,
            added_at=one.added_at,
            ends_at=one.ends_at,
            counted=one.counted,
            fired=one.fired,
            in_force=not one.is_over(now),
        )
