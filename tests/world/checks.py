"""What must hold after every apply, and at the end when faults have stopped.

After every apply:
- a row changes only by an answer of the batch, and its audit entries change with it, one each;
- the version that a row shows never goes down, and what is gone never comes back, except by an
  answer that was itself stale;
- what was removed outside, or marked as gone, is gone inside: no exception;
- a finished trigger's change is in the row (a stale answer, and what it covered, may show less
  until the settle read);
- only the owner of a lease released, retried or buried a row.
At the end both sides are equal, field by field, and every trigger is done.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from external_crm import audit
from external_crm.db import read_session
from external_crm.models import LIVE_TABLES, AuditEntry, SyncState
from external_crm.rows import COLUMNS, ID_COLUMN, Key, Kind
from external_crm.verdicts import RecordState
from receiver.answers import Fetched
from receiver.mapping import to_row
from receiver.models import InboxTrigger, State
from tests.world.truth import LOOKS_OUTSIDE, Look, Truth, as_crm_record

INBOX_ROWS = "SELECT id, ticket, state, due_at, attempts FROM inbox_triggers"
ENTRIES = "SELECT kind, record_id FROM audit_entries"


class Violation(AssertionError):
    """A promise was broken; the message says which and where."""


@dataclass
class Checks:
    """What was seen outside so far."""

    outside: Engine
    truth: Truth
    looks: dict[Key, Look] = field(default_factory=dict)
    floor: dict[Key, int] = field(default_factory=dict)  # the version a record shows, at least
    doubtful: set[Key] = field(default_factory=set)  # the last answer for it was a stale one
    announced: dict[int, tuple[Key, int]] = field(default_factory=dict)  # by inbox row
    entries: int = 0

    @contextmanager
    def around_apply(self, fetched: Fetched, stale: set[Key]) -> Iterator[bool]:
        """Checks what the apply inside the context did, died in it or not; yields whether others
        have claimed some of its rows meanwhile.
        """
        before = self._inbox(fetched)
        try:
            yield any(row.ticket not in (None, fetched.claim.ticket) for row in before.values())
        finally:
            after = self._inbox(fetched)
            self._check_lease(fetched, before, after)
            changed = self._check_rows(fetched, stale)
            self._check_entries(changed)
            self._check_finished(before, after)

    # --- after every apply ----------------------------------------------------------------------

    def _check_lease(self, fetched: Fetched, before: dict[int, Any], after: dict[int, Any]) -> None:
        for row_id, old in before.items():
            was_owned = old.ticket == fetched.claim.ticket and old.state == State.WAITING
            if was_owned or old == after[row_id] or after[row_id].state == State.DONE:
                continue
            raise Violation(
                f"Inbox row {row_id} was given back or buried by ticket {fetched.claim.ticket}, "
                f"but ticket {old.ticket} holds it."
            )

    def _check_rows(self, fetched: Fetched, stale: set[Key]) -> set[Key]:
        """Judge each row that shows something else than before; which they are."""
        before, self.looks = self.looks, self._looks_outside()
        changed = {
            key
            for key in before.keys() | self.looks.keys()
            if before.get(key) != self.looks.get(key)
        }
        for key in changed:
            look = self.looks.get(key)
            answer = fetched.answers.get(key)
            if answer is None or answer.error is not None:
                raise Violation(f"{key} changed although the batch did not read it.")
            if look is None and key in self.truth.alive:
                raise Violation(f"{key} was removed outside and lives inside.")
            lowest = 1 if key in stale else self.floor.get(key, 1)
            version = self.truth.first_version(key, look, lowest)
            if version is None:
                what = "came back" if before.get(key) is None else "went back"
                raise Violation(
                    f"{key} {what}: it showed {before.get(key)} at version "
                    f"{self.floor.get(key)} or later, now {look}."
                )
            self.floor[key] = version
        for key, answer in fetched.answers.items():
            if key in stale:
                self.doubtful.add(key)
            elif answer.error is None and _look_of(answer.row) == self.looks.get(key):
                self.doubtful.discard(key)
        return changed

    def _check_entries(self, changed: set[Key]) -> None:
        with read_only(self.outside) as connection:
            # No entry is ever removed, so those behind the known ones are new.
            query = f"{ENTRIES} ORDER BY id LIMIT 1000 OFFSET {self.entries}"
            new = [Key(Kind(kind), number) for kind, number in connection.exec_driver_sql(query)]
            self.entries += len(new)
        if sorted(new) != sorted(changed):
            raise Violation(f"Rows changed: {sorted(changed)}, audit entries: {sorted(new)}.")

    def _check_finished(self, before: dict[int, Any], after: dict[int, Any]) -> None:
        for row_id, row in after.items():
            if row.state != State.DONE or before[row_id].state == State.DONE:
                continue
            if row_id not in self.announced:
                continue  # a read that the worker owed itself, or a forged trigger
            key, version = self.announced[row_id]
            if key in self.doubtful:
                continue
            shown = self.truth.first_version(key, self.looks.get(key), version)
            if shown is None:
                raise Violation(
                    f"Trigger {row_id} is finished and announced version {version} of {key}, "
                    f"which shows {self.looks.get(key)}."
                )
            self.floor[key] = max(self.floor.get(key, 1), shown)

    def _inbox(self, fetched: Fetched) -> dict[int, Any]:
        ids = ", ".join(str(row.id) for row in fetched.claim.rows)
        with read_only(self.outside) as connection:
            found = connection.exec_driver_sql(f"{INBOX_ROWS} WHERE id IN ({ids})")
            return {row.id: row for row in found}

    def _looks_outside(self) -> dict[Key, Look]:
        with read_only(self.outside) as connection:
            return {
                Key(Kind(kind), number): (text, account)
                for kind, number, text, account in connection.exec_driver_sql(LOOKS_OUTSIDE)
            }

    # --- at the end -----------------------------------------------------------------------------

    def compare(self) -> None:
        """Field by field: every live record outside as it is inside, and nothing else."""
        expected = {key: to_row(as_crm_record(key, data)) for key, data in self.truth.alive.items()}
        found = self._rows_outside()
        if found.keys() != expected.keys():
            missing = sorted(map(str, expected.keys() - found.keys()))
            extra = sorted(map(str, found.keys() - expected.keys()))
            raise Violation(f"Missing outside: {missing}. Too much outside: {extra}.")
        for key, row in expected.items():
            for name in COLUMNS[key.kind]:
                if getattr(row, name) != found[key][name]:
                    raise Violation(
                        f"{key} shows {found[key][name]!r} as {name}, not {getattr(row, name)!r}."
                    )
            for parent in row.parents:
                ref = "customer_ref" if parent.kind is Kind.CUSTOMER else "case_ref"
                if found[key][ref] != parent.id:
                    raise Violation(f"{key} does not point at {parent}.")
        self._check_marks_and_chains()

    def _check_marks_and_chains(self) -> None:
        with read_session(self.outside) as session:
            for state in session.scalars(select(SyncState)):
                key = Key(Kind(state.kind), state.id)
                if (state.state == RecordState.LIVE) != (key in self.truth.alive):
                    raise Violation(f"{key} is marked {state.state}, but inside it is not so.")
            order = (AuditEntry.kind, AuditEntry.record_id, AuditEntry.number)
            chains: dict[Key, list[AuditEntry]] = {}
            for entry in session.scalars(select(AuditEntry).order_by(*order)):
                if entry.before == entry.after:
                    raise Violation(f"An audit entry of {entry.record_id} changes nothing.")
                chains.setdefault(Key(Kind(entry.kind), entry.record_id), []).append(entry)
            for chain in chains.values():
                if (wrong := audit.verify(chain)) is not None:
                    raise Violation(wrong)
            waiting = select(func.count()).where(InboxTrigger.state != State.DONE)
            if session.scalar(waiting):
                raise Violation("Not every trigger is done.")

    def _rows_outside(self) -> dict[Key, dict[str, Any]]:
        with read_only(self.outside) as connection:
            return {
                Key(kind, row._mapping[ID_COLUMN[kind]]): dict(row._mapping)
                for kind, table in LIVE_TABLES.items()
                for row in connection.execute(select(table))
            }


def read_only(engine: Engine) -> Connection:
    """A connection that blocks no writer; plain SQL on it costs a quarter of the ORM's."""
    return engine.connect().execution_options(read_only=True)


def _look_of(row: Any) -> Look:
    if row is None:
        return None
    edited = {Kind.CUSTOMER: "comments", Kind.CASE: "description", Kind.TASK: "description"}
    return getattr(row, edited.get(row.key.kind, ""), ""), row.account_id
