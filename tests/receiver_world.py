"""A small world around the receiver's worker: a clock to move, a Local CRM to read from.

The Local CRM here is a dictionary behind the real RecordSource interface; the real one over TLS
stands behind the tests in tests/e2e.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from external_crm.db import read_session, session_factory
from external_crm.models import LIVE_TABLES, AuditEntry, SyncState
from external_crm.rows import ID_COLUMN, Key, Kind, Policy
from receiver import inbox
from receiver.backoff import Schedule
from receiver.crm_api import CrmApiError
from receiver.models import InboxTrigger
from receiver.records import OBJECTS, CrmRecord
from receiver.settle import WorkerOptions
from receiver.trigger import Event, Trigger
from receiver.worker import Worker

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SCHEDULE = Schedule(
    "test",
    retry_first_s=1.0,
    retry_longest_s=60.0,
    recheck_after_s=30.0,
    probe_after_s=30.0,
    poll_s=0.1,
    lease_s=20.0,
)
CUSTOMER, CASE, FOLLOWUP, TASK = Kind.CUSTOMER, Kind.CASE, Kind.FOLLOWUP, Kind.TASK


@dataclass
class TestClock:
    """Stands still until a test moves it."""

    __test__ = False
    instant: datetime = START

    def now(self) -> datetime:
        return self.instant

    def advance(self, seconds: float) -> datetime:
        self.instant += timedelta(seconds=seconds)
        return self.instant


@dataclass
class LocalCrm:
    """Records by key, errors that reads of a key raise, and old answers that they get."""

    records: dict[Key, dict[str, str]] = field(default_factory=dict)
    errors: dict[Key, CrmApiError] = field(default_factory=dict)
    stale: dict[Key, dict[str, str] | None] = field(default_factory=dict)
    reads: list[Key] = field(default_factory=list)

    def put(self, kind: Kind, number: str, **fields: str) -> Key:
        """Create or change a record; fields by tag."""
        key = Key(kind, number)
        known = self.records.get(key, {OBJECTS[kind][1]: number})
        self.records[key] = {**known, **fields}
        return key

    def remove(self, *keys: Key) -> None:
        for key in keys:
            del self.records[key]

    def get(self, key: Key) -> CrmRecord | None:
        """As RecordSource has it."""
        self.reads.append(key)
        if key in self.errors:
            raise self.errors[key]
        fields = self.stale[key] if key in self.stale else self.records.get(key)
        return CrmRecord(key, dict(fields)) if fields is not None else None


@dataclass
class World:
    """One External CRM, one Local CRM, one clock, and as many workers as a test asks for."""

    engine: Engine
    crm: LocalCrm = field(default_factory=LocalCrm)
    clock: TestClock = field(default_factory=TestClock)
    policy: Policy = field(default_factory=Policy)

    def worker(self, **options: Any) -> Worker:
        chosen = WorkerOptions(schedule=SCHEDULE, policy=self.policy, **options)
        return Worker(self.engine, self.crm, self.clock, random.Random(7), chosen)

    def receive(
        self,
        key: Key,
        event: Event | None = Event.EDIT,
        account: str = "A1",
        case: str | None = None,
    ) -> int:
        """Store a trigger for a record, as the endpoint does; its row id."""
        account = key.id if key.kind is CUSTOMER else account
        case = key.id if key.kind is CASE else case
        trigger = Trigger(key.kind, event, key.id, account, case, None)
        with session_factory(self.engine).begin() as session:
            return inbox.store(session, trigger, self.clock.now())

    def run(self, worker: Worker | None = None) -> int:
        """Run until nothing is due now; how many rows were claimed."""
        worker = worker or self.worker()
        claimed = 0
        for _ in range(100):
            rows = worker.run_once()
            if rows == 0:
                return claimed
            claimed += rows
        raise AssertionError("The worker still finds something due after 100 batches.")

    def run_until_idle(self) -> None:
        """Run, moving the clock to what is due next, until nothing waits."""
        for _ in range(200):
            self.run()
            due = self.read(
                lambda s: s.scalars(
                    select(InboxTrigger.due_at)
                    .where(InboxTrigger.state == "waiting")
                    .order_by(InboxTrigger.due_at)
                ).first()
            )
            if due is None:
                return
            self.clock.instant = max(self.clock.instant, due)
        raise AssertionError("Something still waits after 200 rounds.")

    def read(self, query: Callable[[Session], Any]) -> Any:
        with read_session(self.engine) as session:
            return query(session)

    def row(self, key: Key) -> dict[str, Any] | None:
        """The live row outside, foreign keys included, or None."""
        return live_row(self.engine, key)

    def state(self, key: Key) -> SyncState | None:
        return self.read(lambda s: s.get(SyncState, (key.kind.value, key.id)))

    def inbox(self) -> list[InboxTrigger]:
        return self.read(lambda s: list(s.scalars(select(InboxTrigger).order_by(InboxTrigger.id))))

    def trigger(self, row_id: int) -> InboxTrigger:
        found = self.read(lambda s: s.get(InboxTrigger, row_id))
        assert found is not None
        return found

    def history(self, key: Key) -> list[AuditEntry]:
        return self.read(
            lambda s: list(
                s.scalars(
                    select(AuditEntry)
                    .where(AuditEntry.kind == key.kind.value, AuditEntry.record_id == key.id)
                    .order_by(AuditEntry.number)
                )
            )
        )


def live_row(engine: Engine, key: Key) -> dict[str, Any] | None:
    """The live row outside, foreign keys included, or None."""
    table = LIVE_TABLES[key.kind]
    with read_session(engine) as session:
        query = select(table).where(table.c[ID_COLUMN[key.kind]] == key.id)
        found = session.execute(query).one_or_none()
    return dict(found._mapping) if found is not None else None
