"""Both sides in one thread under one seed: every hop a step that can be held, delayed or dropped.

The simulator's own changes, outbox and dispatcher stand on one side, the receiver's own endpoint,
inbox and worker on the other; only the network between them is played. What a dispatcher or a
worker holds between two phases is a value here, so that several are in flight at once: a death
is a value that is dropped, or a failpoint that is reached; a zombie is a value that is taken up
again late. While a read is under way other steps run before it is answered.

tests/world/checks.py says what must hold.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretStr
from sqlalchemy import select

import receiver.failpoints
import simulator.failpoints
from external_crm.db import read_session as read_outside
from external_crm.db import session_factory as outside_sessions
from external_crm.rows import Key, Policy
from receiver import holds
from receiver.answers import Fetched
from receiver.app import create_app
from receiver.backoff import Schedule
from receiver.claims import Claim
from receiver.gate import Limits
from receiver.holds import TOMBSTONES
from receiver.models import Hold, InboxTrigger, State
from receiver.repair import DeadChoice, replay_dead
from receiver.settings import Settings
from receiver.settle import WorkerOptions
from receiver.worker import Worker
from simulator.chance import Chance
from simulator.clock import ManualClock
from simulator.db import read_session, session_factory
from simulator.triggers.backoff import RetryPolicy
from simulator.triggers.dispatcher import Dispatcher
from simulator.triggers.models import Delivery, DeliveryState
from simulator.triggers.outbox import ClaimedDelivery
from simulator.triggers.outcome import Outcome
from tests.local_crm import fill_boxes
from tests.world.agents import Agents
from tests.world.checks import Checks, Violation
from tests.world.databases import Databases
from tests.world.mix import Mix
from tests.world.network import BASE, STALE_S, Killed, Network
from tests.world.truth import Truth

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
RECHECK_S, SETTLE_S, LEASE_S = STALE_S + 10.0, STALE_S + 5.0, 20.0
SCHEDULE = Schedule("world", 1.0, 15.0, RECHECK_S, 30.0, 0.1, LEASE_S)
# Long enough that no schedule runs out: lost means one attempt.
RETRIES = RetryPolicy("world", (7.0,) * 500, jitter=0.1)
FAILPOINTS = {"T2": "sender_killed", "T3": "sender_killed", "T4": "web_killed"}
MANY_ROUNDS = 3000


@dataclass(eq=False)
class Hand:
    """A worker and what it holds between two phases."""

    worker: Worker
    held: Claim | Fetched | None = None
    stale: set[Key] = field(default_factory=set)  # which answers were
    asleep_until: int = 0  # which step
    is_reading: bool = False


@dataclass(eq=False)
class Call:
    """A delivery in a dispatcher's hands, before and after it was transmitted."""

    sender: Dispatcher
    claimed: ClaimedDelivery
    outcome: Outcome | None = None


class World:
    """One seed's world. `run` plays it, settles it and compares."""

    def __init__(self, seed: int, databases: Databases, mix: Mix | None = None) -> None:
        """mix: a chosen one; by default the seed's own."""
        self.seed = seed
        self.rng = random.Random(seed)
        self.mix = mix or Mix.draw(self.rng)
        self.faulty = True
        self.fired: Counter[str] = Counter()
        self.clock = ManualClock(START)
        self.steps = 0
        databases.restore()
        self.local, self.outside = databases.local, databases.outside
        self.local_sessions = session_factory(self.local)
        self.outside_sessions = outside_sessions(self.outside)
        self.truth = Truth(self.local)
        self.checks = Checks(self.outside, self.truth)
        self.agents = Agents(self.local_sessions, self.truth, self.clock, self.rng, self.mix)
        self.network = Network(
            create_app(
                Settings(secret=SecretStr(BASE.rsplit("/", 1)[1])), self.outside, self.clock
            ),
            self.outside,
            self.truth,
            self.checks,
            self.clock,
            self.rng,
            self._fault,
            self.step,
        )
        self.senders = [self._dispatcher() for _ in range(2)]
        self.calls: list[Call] = []
        self.hands = [Hand(self._worker()) for _ in range(3)]

    def run(self) -> None:
        """Play, let faults stop, settle, compare. Raises Violation."""
        reach = simulator.failpoints.reach, receiver.failpoints.reach
        simulator.failpoints.reach = receiver.failpoints.reach = self._reach
        try:
            with self.local_sessions.begin() as session:
                fill_boxes(session, BASE)
            for _ in range(self.mix.steps):
                self.step()
            self.faulty = False
            self._settle()
            self.checks.compare()
        finally:
            simulator.failpoints.reach, receiver.failpoints.reach = reach

    def close(self) -> None:
        """Let go of the dispatchers' pools."""
        for sender in self.senders:
            sender.close()

    # --- steps ----------------------------------------------------------------------------------

    def step(self) -> None:
        """One random thing happens, of those that can."""
        self.steps += 1
        idle = [hand for hand in self.hands if hand.asleep_until <= self.steps]
        idle = [hand for hand in idle if not hand.is_reading]
        steps: list[tuple[int, Any]] = [(6, self._act), (2, self._pass_time)]
        steps += [(5, self._begin_calls)]
        steps += [(10, self._go_on_calling)] if self.calls else []
        steps += [(16, lambda: self._work(self.rng.choice(idle)))] if idle else []
        steps += [(3, self.network.deliver_late)] if self.network.late else []
        weights, actions = zip(*steps, strict=True)
        self.rng.choices(actions, weights)[0]()

    def _act(self) -> None:
        done = self.agents.act()
        if done:
            self.fired[done] += 1
        if self._fault("forged_trigger"):
            self.network.forge()

    def _pass_time(self) -> None:
        """A while goes by; now and then so long that leases run out."""
        self.clock.advance(timedelta(seconds=self.rng.choice((0.2, 0.5, 1, 3, 8, 45))))

    def _begin_calls(self) -> None:
        """A dispatcher claims what is due (T2)."""
        sender = self.rng.choice(self.senders)
        try:
            claimed = sender.claim(self.rng.randint(1, 3))
        except Killed:
            self._sender_died(sender)
            return
        self.calls += [Call(sender, delivery) for delivery in claimed]

    def _go_on_calling(self) -> None:
        """One delivery moves on: it is transmitted (T4), or its outcome recorded (T3)."""
        call = self.calls.pop(self.rng.randrange(len(self.calls)))
        same = (call.claimed.kind, call.claimed.record_id)
        if call.outcome is None:
            older = [c for c in self.calls if c.claimed.id < call.claimed.id and c.outcome is None]
            self.fired["triggers reordered"] += any(
                (c.claimed.kind, c.claimed.record_id) == same for c in older
            )
            call.outcome = self.network.transmit(call.claimed.url, call.claimed.id)
            self.calls.append(call)
            return
        self.fired["zombie senders"] += call.claimed.leased_until <= self.clock.now()
        try:
            call.sender.record(call.claimed, call.outcome)
        except Killed:
            self._sender_died(call.sender)

    def _sender_died(self, sender: Dispatcher) -> None:
        self.calls = [call for call in self.calls if call.sender is not sender]

    def _work(self, hand: Hand) -> bool:
        """One worker does its next phase: claim (T5), fetch, or apply (T6); now and then it
        stops in between for so long that others overtake it. Whether there was anything to do.
        """
        held, hand.held = hand.held, None
        try:
            if held is None:
                hand.held = self._claim(hand)
            elif self._fault("worker_killed"):
                pass
            elif isinstance(held, Claim):
                hand.held = self._fetch(hand, held)
            else:
                self._apply(hand, held)
        except Killed:
            hand.held = None
        if hand.held is not None and self._fault("worker_stalled"):
            hand.asleep_until = self.steps + self.rng.randint(8, 40)
        return held is not None or hand.held is not None

    def _claim(self, hand: Hand) -> Claim | None:
        claim = hand.worker.claim(self.clock.now())
        if claim is not None:
            others = [claim_of(h.held) for h in self.hands if h.held is not None]
            self.fired["claims overlapped"] += bool(others or self.network.reading)
            keys = {row.key for row in claim.rows}
            overlapping = any(row.key in keys for other in others for row in other.rows)
            self.fired["one record in two claims"] += overlapping
        return claim

    def _fetch(self, hand: Hand, claim: Claim) -> Fetched:
        stale: set[Key] = set()
        self.network.stale.append(stale)
        hand.is_reading = True
        try:
            fetched = hand.worker.fetch(claim)
        finally:
            hand.is_reading = False
            self.network.stale.pop()
        hand.stale = stale
        self.fired["lists by parent"] = self.network.lists
        self.fired["stale answers that differ"] += bool(stale)
        return fetched

    def _apply(self, hand: Hand, fetched: Fetched) -> None:
        with self.checks.around_apply(fetched, hand.stale) as was_overtaken:
            self.fired["zombie workers"] += was_overtaken
            hand.worker.apply(fetched, self.clock.now())

    # --- faults ---------------------------------------------------------------------------------

    def _fault(self, name: str) -> bool:
        if not self.faulty or self.rng.random() >= getattr(self.mix, name):
            return False
        self.fired[name.replace("_", " ")] += 1
        return True

    def _reach(self, point: str) -> None:
        """A failpoint: the process that passes it may die there."""
        name = FAILPOINTS.get(point[:2], "worker_killed")
        # A batch passes several; it should come to its end now and then.
        if self.rng.random() < 0.4 and self._fault(name):
            self.fired[f"killed at {point}"] += 1
            raise Killed

    # --- the end --------------------------------------------------------------------------------

    def _settle(self) -> None:
        """No faults any more: everything due is done, then time moves to what is due next."""
        for _ in range(MANY_ROUNDS):
            holding = [hand for hand in self.hands if hand.held is not None]
            if self.network.late:
                self.network.deliver_late()
            elif self.calls:
                self._go_on_calling()
            elif holding:
                self._work(self.rng.choice(holding))
            elif (due := self._next_due()) is None:
                return
            else:
                self.clock.advance(max(due - self.clock.now(), timedelta()))
                self._begin_calls()
                if not self._work(self.rng.choice(self.hands)):
                    self.clock.advance(timedelta(seconds=0.5))  # the budget fills up
        raise Violation("It never comes to rest.")

    def _next_due(self) -> datetime | None:
        """The next instant at which there is something to do; None when all is done."""
        with read_session(self.local) as session:
            sent = session.execute(
                select(Delivery.next_attempt_at, Delivery.leased_until).where(
                    Delivery.state == DeliveryState.WAITING
                )
            ).all()
        with read_outside(self.outside) as session:
            query = select(InboxTrigger.state, InboxTrigger.due_at)
            received = session.execute(query.where(InboxTrigger.state != State.DONE)).all()
            stopped = {hold.name: hold for hold in session.scalars(select(Hold))}
        if TOMBSTONES in stopped or any(state == State.DEAD for state, _ in received):
            self._play_operator()
            return self.clock.now()
        instants = [max(due, leased or due) for due, leased in sent]
        if received:
            # While the API is down or refuses us, what is due waits for the next probe.
            due = min(due for _, due in received)
            instants.append(max([due, *(hold.until for hold in stopped.values() if hold.until)]))
        return min(instants, default=None)

    def _play_operator(self) -> None:
        """Once faults have stopped, tombstones are right, and dead triggers worth a replay."""
        now = self.clock.now()
        with self.outside_sessions.begin() as session:
            if session.get(Hold, TOMBSTONES) is not None:
                self.fired["tombstones stopped"] += 1
                holds.allow_held(session, now)
                holds.resume(session, TOMBSTONES)
            self.fired["dead triggers replayed"] += replay_dead(session, DeadChoice(), now)

    # --- parts ----------------------------------------------------------------------------------

    def _dispatcher(self) -> Dispatcher:
        return Dispatcher(
            self.local_sessions,
            self.clock,
            lambda url: Outcome(None, f"{url} is transmitted by the world alone.", "", 0.0),
            RETRIES,
            Chance(str(self.seed)),
            lease_s=LEASE_S,
            concurrency=1,
        )

    def _worker(self) -> Worker:
        options = WorkerOptions(
            SCHEDULE,
            batch_size=self.mix.batch_size,
            max_attempts=self.mix.max_attempts,
            list_from=self.mix.list_from,
            limits=Limits(calls_per_s=self.mix.calls_per_s),
            settle_after_s=SETTLE_S if self.mix.stale_read else 0.0,
            policy=Policy(RECHECK_S, self.mix.tombstone_limit),
        )
        return Worker(self.outside, self.network, self.clock, self.rng, options)


def claim_of(held: Claim | Fetched) -> Claim:
    """The claim behind what a worker holds."""
    return held if isinstance(held, Claim) else held.claim
