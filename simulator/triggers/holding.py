"""Deliveries that a fault holds back until others were sent, or until their record changed.

In: a claimed delivery and its fault, and what happens meanwhile. Out: the delivery back in the
outbox, due at the latest after the fault's delay, and due at once when what it waits for has
happened. Killed here: nothing is lost, it is sent when its delay is over.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock

from sqlalchemy.orm import Session, sessionmaker

from simulator.clock import Clock
from simulator.faults.models import DelayPastNextEdit, Fault, Reorder
from simulator.faults.registry import Fired
from simulator.logs import Log
from simulator.triggers import outbox
from simulator.triggers.outbox import ClaimedDelivery

log = Log("simulator.triggers")


@dataclass
class _Held:
    claimed: ClaimedDelivery
    fired: Fired
    overtaken_by: int = 0  # others that were sent meanwhile


class HeldBack:
    """What is held back; any thread may ask. Its lock outlasts the commit, so that nothing can
    happen between a delivery's way back into the outbox and its being known here.
    """

    def __init__(self, sessions: sessionmaker[Session], clock: Clock) -> None:
        self._sessions = sessions
        self._clock = clock
        self._held: dict[int, _Held] = {}
        self._lock = Lock()

    def may_hold(self, fault_id: int, fault: Fault) -> bool:
        """Whether a fault may hold one more: were all held back, nothing would overtake them."""
        with self._lock:
            return not isinstance(fault, Reorder) or all(
                held.fired.id != fault_id for held in self._held.values()
            )

    def hold(self, claimed: ClaimedDelivery, fired: Fired | None) -> bool:
        """Put the delivery back if its fault is one that holds back; whether it is."""
        if fired is None or not isinstance(fired.fault, Reorder | DelayPastNextEdit):
            return False
        due_at = self._clock.now() + timedelta(seconds=fired.fault.delay_s)
        with self._lock:
            with self._sessions.begin() as session:
                outbox.put_back(session, claimed, due_at)
            self._held[claimed.id] = _Held(claimed, fired)
        log.info("hold back", delivery=claimed.id, fault=fired.fault.fault, due_at=str(due_at))
        return True

    def forget(self) -> None:
        """Hold nothing back: the deliveries are not those any more."""
        with self._lock:
            self._held.clear()

    def reasons(self) -> list[str]:
        """For each delivery that is held back, by which fault."""
        with self._lock:
            return [
                f"{held.fired.fault.fault} (number {held.fired.id}) holds back delivery {number}"
                for number, held in self._held.items()
            ]

    def after_sending(self, delivery_id: int) -> bool:
        """A delivery reached its receiver: whether that let others go."""

        def overtaken(held: _Held) -> bool:
            held.overtaken_by += 1
            fault = held.fired.fault
            return isinstance(fault, Reorder) and held.overtaken_by >= fault.count

        with self._lock:
            self._held.pop(delivery_id, None)  # its delay was over first
            return self._let_go(overtaken)

    def after_change(self, record: str) -> bool:
        """A change of "Customer 10000000" was committed: whether that let deliveries go."""

        def waited_for(held: _Held) -> bool:
            about = f"{held.claimed.kind} {held.claimed.record_id}"
            return isinstance(held.fired.fault, DelayPastNextEdit) and about == record

        with self._lock:
            return self._let_go(waited_for)

    def after_clearing(self, fault_ids: list[int]) -> bool:
        """Faults were cleared: whether that let deliveries go."""
        with self._lock:
            return self._let_go(lambda held: held.fired.id in fault_ids)

    def _let_go(self, free: Callable[[_Held], bool]) -> bool:
        ids = [delivery_id for delivery_id, held in self._held.items() if free(held)]
        if ids:
            with self._sessions.begin() as session:
                outbox.release(session, ids, self._clock.now())
            log.info("let go", deliveries=ids)
        for delivery_id in ids:
            del self._held[delivery_id]
        return bool(ids)
