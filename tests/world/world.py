"""Both sides in one thread under one seed: every hop a step that can be held, delayed or dropped.

The simulator's own changes, outbox and dispatcher stand on one side, the receiver's own parsing,
inbox and worker on the other; only the network between them is played here. A worker's phases
are held as values between steps, so that several claims, fetches and applies are in flight at
once; a death is a value that is dropped, a zombie one that is taken up again late. While a read
is under way other steps run before it is answered.

What is checked at every step: the version that a record shows outside never goes down, and what
was removed outside is gone inside and never comes back. At the end, when faults have stopped:
both sides are equal, field by field.
"""

import random
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Engine, event, func, inspect, select

from external_crm.db import make_engine
from external_crm.db import read_session as read_outside
from external_crm.db import session_factory as outside_sessions
from external_crm.models import LIVE_TABLES, AuditEntry
from external_crm.rows import COLUMNS, ID_COLUMN, Key, Policy
from external_crm.rows import Kind as RowKind
from receiver import inbox
from receiver.answers import Fetched
from receiver.backoff import Schedule
from receiver.claims import Claim
from receiver.crm_api import Temporary
from receiver.mapping import to_row
from receiver.models import Hold, InboxTrigger, State
from receiver.records import CrmRecord
from receiver.settle import TOMBSTONES, WorkerOptions
from receiver.trigger import parse
from receiver.worker import Worker
from simulator.chance import Chance
from simulator.clock import ManualClock
from simulator.db import open_database, read_session, session_factory
from simulator.local_crm import changes
from simulator.local_crm.changes import Author
from simulator.local_crm.fields import FIELDS, FieldType
from simulator.local_crm.models import MODELS, NUMBER_COLUMN, Origin, Record
from simulator.triggers.backoff import RetryPolicy
from simulator.triggers.dispatcher import Dispatcher
from simulator.triggers.models import Delivery, DeliveryState
from simulator.triggers.outbox import ClaimedDelivery
from simulator.triggers.outcome import Outcome
from simulator.triggers.urls import Kind
from tests.local_crm import fill_boxes

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
RECHECK_S, LEASE_S = 30.0, 20.0
SCHEDULE = Schedule("world", 1.0, 15.0, RECHECK_S, 30.0, 0.1, LEASE_S)
# Long enough that no schedule runs out: lost means one attempt.
RETRIES = RetryPolicy("world", (7.0,) * 500, jitter=0.1)
AGENT = Author(Origin.AGENT, "ag1001")
KEPT = {"fence_counter", "external_crm_version", "receiver_version", "sqlite_sequence"}
KINDS = {RowKind(kind.value.lower()): kind for kind in Kind}
VERSION = {Kind.CUSTOMER: "comments", Kind.CASE: "description", Kind.TASK: "description"}
SHOWN = (
    "SELECT 'customer', account_id, comments FROM customers"
    " UNION ALL SELECT 'case', case_id, description FROM cases"
    " UNION ALL SELECT 'followup', followup_id, 0 FROM followups"
    " UNION ALL SELECT 'task', task_id, description FROM tasks"
)


class Violation(AssertionError):
    """A promise was broken; the message says which, where and under what seed."""


@dataclass(frozen=True)
class Mix:
    """How likely each fault is, at each opportunity; drawn anew for each seed."""

    lost_request: float
    lost_answer: float
    duplicate: float
    api_error: float
    sender_death: float
    worker_death: float
    worker_stall: float
    edit_during_read: float

    @classmethod
    def draw(cls, rng: random.Random) -> "Mix":
        """Each fault is absent, rare or frequent."""
        return cls(*(rng.choice((0.0, 0.05, 0.3)) for _ in range(8)))


class World:
    """One seed's world. `run` plays it, settles it and compares."""

    def __init__(self, seed: int, databases: "Databases") -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.mix = Mix.draw(self.rng)
        self.creating = self.rng.choice((0.15, 0.4))
        self.editing = self.rng.choice((0.3, 0.7))
        self.faulty = True
        self.fired: Counter[str] = Counter()
        self.clock = ManualClock(START)
        self.local, self.outside = databases.emptied()
        self.local_sessions = session_factory(self.local)
        self.outside_sessions = outside_sessions(self.outside)
        self.senders = [self._dispatcher() for _ in range(2)]
        self.sending: list[tuple[Dispatcher, ClaimedDelivery, Outcome | None]] = []
        self.workers = [self._worker() for _ in range(3)]
        self.working: dict[Worker, Claim | Fetched] = {}
        self.asleep: dict[Worker, int] = {}  # until which step
        self.steps = 0
        self.reading = 0  # how many reads are under way, one inside the other
        self.versions = 0
        self.shown: dict[Key, int] = {}
        self.removed: set[Key] = set()

    def run(self, steps: int = 150) -> None:
        """Play, let faults stop, settle, compare. Raises Violation."""
        with self.local_sessions.begin() as session:
            fill_boxes(session, "https://receiver.test/8x8/secret")
        for _ in range(steps):
            self.step()
        self.faulty = False
        self._settle()
        self._compare()

    def close(self) -> None:
        """Let go of the dispatchers' pools."""
        for sender in self.senders:
            sender.close()

    # --- steps ----------------------------------------------------------------------------------

    def step(self) -> None:
        """One random thing happens."""
        self.steps += 1
        steps = (self.act, self.begin_sending, self.go_on_sending, self.work, self.pass_time)
        self.rng.choices(steps, weights=(6, 5, 10, 16, 2))[0]()

    def act(self) -> None:
        """An agent creates, edits or deletes a record."""
        with self.local_sessions.begin() as session:
            alive = {kind: list(session.scalars(select(MODELS[kind]))) for kind in Kind}
            choice = self.rng.random()
            records = [(kind, record) for kind in Kind for record in alive[kind]]
            if choice < self.creating or len(records) < 3:
                self._create(session, alive)
                return
            # Often the same record again, so that reads of it overlap.
            kind, record = self.rng.choice(records[-2:] if self.rng.random() < 0.5 else records)
            number = str(getattr(record, NUMBER_COLUMN[kind]))
            if choice < self.creating + self.editing and kind in VERSION:
                values = {VERSION[kind]: self._next_version()}
                changes.edit(session, kind, number, values, AGENT, self.clock.now())
            else:
                changes.delete(session, kind, number, AGENT, self.clock.now())

    def begin_sending(self) -> None:
        """A dispatcher claims what is due (T2)."""
        sender = self.rng.choice(self.senders)
        claimed = sender.claim(self.rng.randint(1, 3))
        if claimed and self._fault("sender_death"):
            return
        self.sending += [(sender, delivery, None) for delivery in claimed]

    def go_on_sending(self) -> None:
        """One delivery moves on: it is transmitted (T4), or its outcome recorded (T3)."""
        if not self.sending:
            return
        sender, claimed, outcome = self.sending.pop(self.rng.randrange(len(self.sending)))
        if outcome is None:
            self.sending.append((sender, claimed, self._transmit(claimed)))
        elif not self._fault("sender_death"):
            sender.record(claimed, outcome)

    def work(self) -> None:
        """One worker does its next phase: claim (T5), fetch, or apply (T6); now and then it
        stops in between for so long that others overtake it.
        """
        awake = [w for w in self.workers if self.asleep.get(w, 0) <= self.steps]
        if not awake:
            return
        worker = self.rng.choice(awake)
        self._work(worker)
        if worker in self.working and self._fault("worker_stall"):
            self.asleep[worker] = self.steps + self.rng.randint(8, 40)

    def pass_time(self) -> None:
        """A while goes by; now and then so long that leases run out."""
        self.clock.advance(timedelta(seconds=self.rng.choice((0.2, 0.5, 1, 3, 8, 45))))

    def _work(self, worker: Worker) -> bool:
        held = self.working.pop(worker, None)
        if held is None:
            claim = worker.claim(self.clock.now())
            if claim is not None:
                self.fired["phases overlapped"] += bool(self.working or self.reading)
                self.working[worker] = claim
            return claim is not None
        if self._fault("worker_death"):
            return True
        if isinstance(held, Claim):
            busy = [w for w in self.workers if w is not worker]
            self.workers, all_workers = busy, self.workers  # it cannot work while it reads
            self.reading += 1
            try:
                fetched = worker.fetch(held)
            finally:
                self.reading -= 1
                self.workers = all_workers
            self.working[worker] = fetched
        else:
            worker.apply(held, self.clock.now())
            self._check_shown()
        return True

    # --- the network in between -----------------------------------------------------------------

    def get(self, key: Key) -> CrmRecord | None:
        """A read of the CRM API, as RecordSource has it."""
        if self._fault("api_error"):
            raise Temporary("The CRM API answered with HTTP 503.")
        if self.reading < 3 and self._fault("edit_during_read"):
            for _ in range(self.rng.randint(1, 3)):
                self.step()
        return self.read_now(key)

    def read_now(self, key: Key) -> CrmRecord | None:
        """The record as the Local CRM has it at this moment."""
        kind = KINDS[key.kind]
        with read_session(self.local) as session:
            record = session.get(MODELS[kind], key.id)
            return None if record is None else as_crm_record(key, kind, record)

    def _transmit(self, claimed: ClaimedDelivery) -> Outcome:
        failed = Outcome(None, "No complete answer came within 15 s.", "", 15_000.0)
        if self._fault("lost_request"):
            return failed
        self._receive(claimed.url)
        if self._fault("duplicate"):
            self._receive(claimed.url)
        return failed if self._fault("lost_answer") else Outcome(200, None, "Stored.", 5.0)

    def _receive(self, url: str) -> None:
        parts = urlsplit(url)
        box = parts.path.removeprefix("/8x8/secret/")
        trigger = parse(box, parts.query.encode())
        with self.outside_sessions.begin() as session:
            inbox.store(session, trigger, self.clock.now())

    def _fault(self, name: str) -> bool:
        if not self.faulty or self.rng.random() >= getattr(self.mix, name):
            return False
        self.fired[name.replace("_", " ")] += 1
        return True

    # --- the end --------------------------------------------------------------------------------

    def _settle(self) -> None:
        """No faults any more: everything due is done, then time moves to what is due next."""
        for _ in range(2000):
            if self.sending:
                self.go_on_sending()
                continue
            self.begin_sending()
            busy = [self._work(worker) for worker in self.workers]
            if self.sending or any(busy):
                continue
            self._play_operator()
            due = self._next_due()
            if due is None:
                return
            self.clock.advance(max(due - self.clock.now(), timedelta(milliseconds=1)))
        raise self._violation("It never comes to rest.")

    def _play_operator(self) -> None:
        with self.outside_sessions.begin() as session:
            if session.get(Hold, TOMBSTONES) is not None:
                inbox.allow_held(session, self.clock.now())
                inbox.resume(session, TOMBSTONES)

    def _next_due(self) -> datetime | None:
        with read_session(self.local) as session:
            waiting = Delivery.state == DeliveryState.WAITING
            at = func.max(Delivery.next_attempt_at, func.coalesce(Delivery.leased_until, ""))
            sent = session.scalars(select(Delivery).where(waiting).order_by(at)).first()
        with read_outside(self.outside) as session:
            waiting = InboxTrigger.state == State.WAITING
            received = session.scalar(select(func.min(InboxTrigger.due_at)).where(waiting))
        instants = [at for at in (sent and _free_at(sent), received) if at is not None]
        return min(instants, default=None)

    def _compare(self) -> None:
        """Field by field: every live record outside as it is inside, and nothing else."""
        with read_session(self.local) as session:
            inside = {
                Key(row_kind, str(getattr(record, NUMBER_COLUMN[kind]))): record
                for row_kind, kind in KINDS.items()
                for record in session.scalars(select(MODELS[kind]))
            }
            expected = {
                key: to_row(as_crm_record(key, KINDS[key.kind], record))
                for key, record in inside.items()
            }
        found = self._outside_rows()
        if found.keys() != expected.keys():
            missing = sorted(map(str, expected.keys() - found.keys()))
            extra = sorted(map(str, found.keys() - expected.keys()))
            raise self._violation(f"Missing outside: {missing}. Too much outside: {extra}.")
        for key, row in expected.items():
            for name in COLUMNS[key.kind]:
                if getattr(row, name) != found[key][name]:
                    raise self._violation(f"{key} shows {found[key][name]!r} as {name}.")
            for parent in row.parents:
                ref = "customer_ref" if parent.kind is RowKind.CUSTOMER else "case_ref"
                if found[key][ref] != parent.id:
                    raise self._violation(f"{key} does not point at {parent}.")
        self._check_audit()

    def _check_shown(self) -> None:
        rows = self._outside_versions()
        for key, version in rows.items():
            if key in self.removed:
                raise self._violation(f"{key} came back.")
            if version < self.shown.get(key, 0):
                raise self._violation(f"{key} went from {self.shown[key]} back to {version}.")
            self.shown[key] = version
        for key in self.shown.keys() - rows.keys() - self.removed:
            if self.read_now(key) is not None:
                raise self._violation(f"{key} was removed outside and lives inside.")
            self.removed.add(key)

    def _check_audit(self) -> None:
        """Every version that was ever shown has an entry, and none was shown twice in a row."""
        with read_outside(self.outside) as session:
            for entry in session.scalars(select(AuditEntry)):
                if entry.action == "changed" and entry.before == entry.after:
                    raise self._violation(f"An audit entry of {entry.record_id} changes nothing.")
            waiting = select(func.count()).where(InboxTrigger.state != State.DONE)
            if session.scalar(waiting):
                raise self._violation("Not every trigger is done.")

    def _outside_rows(self) -> dict[Key, dict[str, Any]]:
        with self.outside.execution_options(read_only=True).connect() as connection:
            return {
                Key(kind, row._mapping[ID_COLUMN[kind]]): dict(row._mapping)
                for kind, table in LIVE_TABLES.items()
                for row in connection.execute(select(table))
            }

    def _outside_versions(self) -> dict[Key, int]:
        with self.outside.execution_options(read_only=True).connect() as connection:
            return {
                Key(RowKind(kind), record_id): int(version)
                for kind, record_id, version in connection.exec_driver_sql(SHOWN)
            }

    # --- parts ----------------------------------------------------------------------------------

    def _create(self, session: Any, alive: dict[Kind, list[Record]]) -> None:
        kinds = [Kind.CUSTOMER, *([Kind.CASE, Kind.TASK] if alive[Kind.CUSTOMER] else [])]
        kinds += [Kind.FOLLOWUP] * 2 if alive[Kind.CASE] else []
        kind = self.rng.choice(kinds)
        values: dict[str, Any] = {"subject": f"Number {self.rng.randrange(1000)}"}
        if kind is Kind.CUSTOMER:
            values = {"firstname": "Ada", "lastname": f"No {self.rng.randrange(1000)}"}
        elif kind is Kind.FOLLOWUP:
            values["casenum"] = self.rng.choice(alive[Kind.CASE]).casenum
        else:
            values["accountnum"] = self.rng.choice(alive[Kind.CUSTOMER]).accountnum
        if kind in VERSION:
            values[VERSION[kind]] = self._next_version()
        changes.create(session, kind, values, AGENT, self.clock.now())

    def _next_version(self) -> str:
        self.versions += 1
        return str(self.versions)

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
        policy = Policy(recheck_after_s=RECHECK_S)
        options = WorkerOptions(SCHEDULE, batch_size=4, policy=policy)
        return Worker(self.outside, self, self.clock, self.rng, options)

    def _violation(self, what: str) -> Violation:
        replay = f"scripts/test tests/world --world-first {self.seed} --world-seeds 1"
        return Violation(f"Seed {self.seed}: {what} Replay: {replay}")


class Databases:
    """One database a side, emptied for each seed: a fresh engine would compile everything anew."""

    def __init__(self, folder: Path, outside: Path) -> None:
        """outside: a migrated External CRM of our own."""
        self.local = open_database(folder / "local.db")
        self.outside = make_engine(f"sqlite:///{outside}")
        for engine in (self.local, self.outside):
            # Durability is not what these tests are about.
            event.listen(engine, "connect", lambda c, _r: c.execute("PRAGMA synchronous=OFF"))
            engine.dispose()  # what was opened before has the old setting

    def emptied(self) -> tuple[Engine, Engine]:
        """Both engines, on databases without a row but those that migrations made."""
        for engine in (self.local, self.outside):
            with engine.begin() as connection:
                connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
                for table in inspect(connection).get_table_names():
                    if table not in KEPT:
                        connection.exec_driver_sql(f"DELETE FROM {table}")
        return self.local, self.outside

    def close(self) -> None:
        """Close all connections."""
        self.local.dispose()
        self.outside.dispose()


def as_crm_record(key: Key, kind: Kind, record: Record) -> CrmRecord:
    """A record of the Local CRM as its reply on the wire would read; e2e tests use the real one."""
    values = {}
    for field in FIELDS[kind]:
        value = getattr(record, field.name)
        if field.type is FieldType.INSTANT:
            layout = "%m%d%Y%H%M" if field.tag == "DUEDATE" else "%m%d%Y"
            value = value.strftime(layout) if value else ""
        values[field.tag.upper()] = str(value)
    return CrmRecord(key, values)


def _free_at(delivery: Delivery) -> datetime:
    """When a waiting delivery can be claimed: due, and its lease run out."""
    due = delivery.next_attempt_at or START
    return max(due, delivery.leased_until or due)


def merged(counters: list[Counter[str]]) -> Counter[str]:
    """All counts together."""
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)
    return total
