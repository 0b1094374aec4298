"""Brings due deliveries to their receivers: claim (T2), send, record (T3), each a call of its own.

In: sessions, a clock, something that sends, a retry policy, chance. Out: attempts and new states.
Killed between claim and send, or between send and record: the lease runs out, the delivery is
claimed again and the receiver may be called twice (assumption trigger.may-repeat).

No transaction is open while a call is on the network. At most `concurrency` calls are under
way, and only as many deliveries are claimed as can be sent at once: no lease runs out in a queue.

Whoever plays the clock forward holds the dispatcher meanwhile (`hold`): ticks and wake-ups begin
nothing, so that each attempt has the instant at which it was due.
"""

import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from threading import Condition, Lock

from sqlalchemy.orm import Session, sessionmaker

from simulator import failpoints
from simulator.chance import Chance
from simulator.clock import Clock
from simulator.faults.registry import Fired, Registry
from simulator.faults.rules import TriggerCall
from simulator.logs import Log
from simulator.triggers import outbox
from simulator.triggers.backoff import RetryPolicy
from simulator.triggers.faulty import reaches_receiver, send_under
from simulator.triggers.holding import HeldBack
from simulator.triggers.journalled import Journalled
from simulator.triggers.outbox import ClaimedDelivery
from simulator.triggers.outcome import Outcome

log = Log("simulator.triggers")
_numbers = itertools.count(1)


class Dispatcher:
    """Claims, sends and records; several may work on one database."""

    def __init__(
        self,
        sessions: sessionmaker[Session],
        clock: Clock,
        send: Callable[[str], Outcome],
        policy: RetryPolicy,
        chance: Chance,
        *,
        lease_s: float,
        concurrency: int,
        journalled: Journalled | None = None,
        faults: Registry | None = None,
        timeout_s: float = 15.0,
    ) -> None:
        """timeout_s: the deadline of `send`, for calls that are lost on purpose."""
        self._sessions = sessions
        self._clock = clock
        self._send = send
        self.policy = policy
        self._chance = chance
        self.lease_s = lease_s
        self._concurrency = concurrency
        self.journalled = journalled
        self._owner = f"dispatcher-{os.getpid()}-{next(_numbers)}"
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="send-trigger")
        self._faults = faults
        self.timeout_s = timeout_s
        self._held_back = HeldBack(sessions, clock)
        self._under_way = 0
        self._paused = self._held = self._stopping = False
        self._state = Condition()  # guards the four above
        self._holder = Lock()
        self.on_slot_free: Callable[[], None] = lambda: None

    def claim(self, limit: int) -> list[ClaimedDelivery]:
        """Up to `limit` due deliveries, leased to this dispatcher."""
        with self._sessions.begin() as session:
            claimed = outbox.claim_due(session, self._clock.now(), limit, self.lease_s, self._owner)
            if claimed:
                failpoints.reach("T2-before")
        if claimed:
            failpoints.reach("T2-after")
            log.debug("claim_due", deliveries=[delivery.id for delivery in claimed])
        return claimed

    def send(self, claimed: ClaimedDelivery, fired: Fired | None = None) -> Outcome:
        """What came of calling the delivery's URL once, or as often as the fault wants it."""
        call = partial(self._call, claimed)
        outcome = send_under(fired, call, self.timeout_s, lambda: self._stopping)
        log.info(
            "send",
            delivery=claimed.id,
            trigger=f"{claimed.kind} {claimed.event}",
            record_id=claimed.record_id,
            status=outcome.status,
            error=outcome.error,
            duration_ms=outcome.duration_ms,
        )
        return outcome

    def record(self, claimed: ClaimedDelivery, outcome: Outcome) -> None:
        """Write the attempt down and settle what happens next."""
        now = self._clock.now()
        with self._sessions.begin() as session:
            delivery = outbox.record(session, claimed, outcome, self.policy, self._chance, now)
            failpoints.reach("T3-before")
        failpoints.reach("T3-after")
        if delivery is not None:
            log.info(
                "record",
                delivery=delivery.id,
                state=str(delivery.state),
                attempts=delivery.attempt_count,
                next_attempt_at=delivery.next_attempt_at and delivery.next_attempt_at.isoformat(),
            )

    @property
    def paused(self) -> bool:
        """Whether nothing is sent until `resume`."""
        with self._state:
            return self._paused

    def pause(self) -> None:
        """Send nothing from now on; what is under way goes on, and time does too."""
        with self._state:
            self._paused = True

    def resume(self) -> None:
        """Send again, what became due in the meantime first."""
        with self._state:
            self._paused = False
        self.on_slot_free()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Let nobody but `run_once` begin anything; entered when nothing is under way, and by one
        holder at a time.
        """
        with self._holder:
            try:
                with self._state:
                    self._held = True
                    self._state.wait_for(lambda: not self._under_way)
                yield
            finally:
                with self._state:
                    self._held = False
                self.on_slot_free()

    def begin_due(self) -> list[Future[None]]:
        """Start as many due deliveries as there are free slots; one future for each.

        When one of them is done, `on_slot_free` is called: whoever ticks may look again.
        """
        with self._state:
            return [] if self._held else self._begin()

    def run_once(self) -> int:
        """Send what is due, at most `concurrency`, and wait until all is recorded; how many.

        While the dispatcher is held this is for the holder alone.
        """
        with self._state:
            begun = self._begin()
        wait(begun)
        for future in begun:
            future.result()
        return len(begun)

    def record_changed(self, record: str) -> None:
        """Let go what was held back until this record, "Customer 10000000", would change; to be
        called after the commit.
        """
        if self._held_back.after_change(record):
            self.on_slot_free()

    def faults_cleared(self, fault_ids: list[int]) -> None:
        """Let go what these faults held back."""
        if self._held_back.after_clearing(fault_ids):
            self.on_slot_free()

    def held_back(self) -> list[str]:
        """For each delivery that a fault holds back, by which one."""
        return self._held_back.reasons()

    def forget_held_back(self) -> None:
        """Know of no delivery that is held back: the database was replaced."""
        self._held_back.forget()

    def stop(self) -> None:
        """Begin nothing any more; what is under way goes on."""
        with self._state:
            self._stopping = True

    def close(self) -> None:
        """Wait for the calls under way; close the sender first to cut them off."""
        self._pool.shutdown(wait=True)

    def _call(self, claimed: ClaimedDelivery) -> Outcome:
        if self.journalled is None:
            return self._send(claimed.url)
        return self.journalled.call(claimed, self._send)

    def _begin(self) -> list[Future[None]]:
        if self._paused or self._stopping:
            return []
        going: list[tuple[ClaimedDelivery, Fired | None]] = []
        while free := self._concurrency - self._under_way - len(going):
            claimed = self.claim(free)
            # In the order of the claim and not of the threads: always the same.
            begun = [one for one in map(self._with_fault, claimed) if one is not None]
            going += begun
            if len(begun) == len(claimed):  # else there are slots left, and more may be due
                break
        self._under_way += len(going)
        return [self._pool.submit(self._deliver, *one) for one in going]

    def _with_fault(self, claimed: ClaimedDelivery) -> tuple[ClaimedDelivery, Fired | None] | None:
        """The delivery and the fault that hits it; None where it is held back."""
        call = TriggerCall(
            claimed.kind, claimed.event, claimed.record_id, claimed.id, claimed.attempt
        )
        fired = self._faults.on_call(call, self._held_back.may_hold) if self._faults else None
        return None if self._held_back.hold(claimed, fired) else (claimed, fired)

    def _deliver(self, claimed: ClaimedDelivery, fired: Fired | None) -> None:
        try:
            self.record(claimed, self.send(claimed, fired))
            if reaches_receiver(fired):
                self._held_back.after_sending(claimed.id)
        except Exception:
            # The lease runs out and the delivery is claimed again: nothing to mend here.
            log.exception("delivery not recorded", delivery=claimed.id)
            raise
        finally:
            with self._state:
                self._under_way -= 1
                self._state.notify_all()
            self.on_slot_free()
