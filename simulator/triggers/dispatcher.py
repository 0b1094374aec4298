"""Brings due deliveries to their receivers: claim (T2), send, record (T3), each a call of its own.

In: sessions, a clock, something that sends, a retry policy. Out: attempts and new states.
Killed between claim and send, or between send and record: the lease runs out, the delivery is
claimed again and the receiver may be called twice (assumption trigger.may-repeat).

No transaction is open while a call is on the network. At most `concurrency` calls are under
way, and only as many deliveries are claimed as can be sent at once: no lease runs out in a queue.
"""

import itertools
import os
import random
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock

import structlog
from sqlalchemy.orm import Session, sessionmaker

from simulator.clock import Clock
from simulator.faults.registry import Fired, Registry
from simulator.faults.rules import TriggerCall
from simulator.triggers import outbox
from simulator.triggers.backoff import RetryPolicy
from simulator.triggers.faulty import reaches_receiver, send_under
from simulator.triggers.holding import HeldBack
from simulator.triggers.outbox import ClaimedDelivery
from simulator.triggers.outcome import Outcome
from simulator.triggers.urls import Kind

log = structlog.get_logger("simulator.triggers")
_numbers = itertools.count(1)


class Dispatcher:
    """Claims, sends and records; several may work on one database."""

    def __init__(
        self,
        sessions: sessionmaker[Session],
        clock: Clock,
        send: Callable[[str], Outcome],
        policy: RetryPolicy,
        rng: random.Random,
        *,
        lease_s: float,
        concurrency: int,
        faults: Registry | None = None,
        timeout_s: float = 15.0,
    ) -> None:
        """timeout_s: the deadline of `send`, for calls that are lost on purpose."""
        self._sessions = sessions
        self._clock = clock
        self._send = send
        self._policy = policy
        self._rng = rng
        self._lease_s = lease_s
        self._concurrency = concurrency
        self._owner = f"dispatcher-{os.getpid()}-{next(_numbers)}"
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="send-trigger")
        self._faults = faults
        self._timeout_s = timeout_s
        self._held = HeldBack(sessions, clock)
        self._under_way = 0
        self._lock = Lock()
        self.on_slot_free: Callable[[], None] = lambda: None

    def claim(self, limit: int) -> list[ClaimedDelivery]:
        """Up to `limit` due deliveries, leased to this dispatcher."""
        with self._sessions.begin() as session:
            claimed = outbox.claim_due(
                session, self._clock.now(), limit, self._lease_s, self._owner
            )
        if claimed:
            log.debug("claim_due", deliveries=[delivery.id for delivery in claimed])
        return claimed

    def send(self, claimed: ClaimedDelivery, fired: Fired | None = None) -> Outcome:
        """What came of calling the delivery's URL once, or as often as the fault wants it."""
        outcome = send_under(fired, lambda: self._send(claimed.url), self._timeout_s)
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
            delivery = outbox.record(session, claimed, outcome, self._policy, self._rng, now)
        if delivery is not None:
            log.info(
                "record",
                delivery=delivery.id,
                state=str(delivery.state),
                attempts=delivery.attempt_count,
                next_attempt_at=delivery.next_attempt_at and delivery.next_attempt_at.isoformat(),
            )

    def begin_due(self) -> list[Future[None]]:
        """Start as many due deliveries as there are free slots; one future for each.

        When one of them is done, `on_slot_free` is called: whoever ticks may look again.
        """
        going: list[tuple[ClaimedDelivery, Fired | None]] = []
        with self._lock:
            while free := self._concurrency - self._under_way - len(going):
                claimed = self.claim(free)
                begun = len(going)
                for delivery in claimed:  # in this order and not the threads': always the same
                    fired = self._fault_of(delivery)
                    if not self._held.hold(delivery, fired):
                        going.append((delivery, fired))
                if len(going) - begun == len(claimed):  # else more may be due for these slots
                    break
            self._under_way += len(going)
        return [self._pool.submit(self._deliver, *one) for one in going]

    def run_once(self) -> int:
        """Send what is due, at most `concurrency`, and wait until all is recorded; how many."""
        begun = self.begin_due()
        wait(begun)
        for future in begun:
            future.result()
        return len(begun)

    def record_changed(self, kind: Kind, record_id: str) -> None:
        """Let go what was held back until this record would change; call it after the commit."""
        if self._held.after_change(kind, record_id):
            self.on_slot_free()

    def faults_cleared(self, fault_ids: list[int]) -> None:
        """Let go what these faults held back."""
        if self._held.after_clearing(fault_ids):
            self.on_slot_free()

    def close(self) -> None:
        """Wait for the calls under way; close the sender first to cut them off."""
        self._pool.shutdown(wait=True)

    def _fault_of(self, claimed: ClaimedDelivery) -> Fired | None:
        call = TriggerCall(
            claimed.kind, claimed.event, claimed.record_id, claimed.id, claimed.attempt
        )
        return self._faults.on_call(call, self._held.may_hold) if self._faults else None

    def _deliver(self, claimed: ClaimedDelivery, fired: Fired | None) -> None:
        try:
            self.record(claimed, self.send(claimed, fired))
            if reaches_receiver(fired):
                self._held.after_sending(claimed.id)
        except Exception:
            # The lease runs out and the delivery is claimed again: nothing to mend here.
            log.exception("delivery not recorded", delivery=claimed.id)
            raise
        finally:
            with self._lock:
                self._under_way -= 1
            self.on_slot_free()
