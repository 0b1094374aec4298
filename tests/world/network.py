"""The two networks: triggers to the receiver's endpoint, reads to the CRM API, and their faults.

In: the mix, the truth, the receiver's own application. Out: what the sender sees of a call, and
what a read brings. What really went on in between is kept for the checks.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit

from flask import Flask
from sqlalchemy import Engine

from external_crm.rows import Key
from external_crm.rows import Kind as RowKind
from receiver.crm_api import BadAnswer, Refused, Temporary
from receiver.records import CrmRecord
from simulator.clock import ManualClock
from simulator.triggers.outcome import Outcome
from simulator.triggers.urls import BOXES, RecordIds, trigger_url
from tests.world.checks import Checks, read_only
from tests.world.truth import KINDS, Truth

BASE = "https://receiver.test/8x8/a-secret-of-24-characters"
STALE_S = 20.0  # a stale answer is younger than this

NO_ANSWER = Outcome(None, "No complete answer came within 15 s.", "", 15_000.0)


class Killed(BaseException):
    """A process ended here; whatever it held in its hands is lost."""


@dataclass
class Network:
    """Everything between the two sides."""

    app: Flask
    outside: Engine
    truth: Truth
    checks: Checks
    clock: ManualClock
    rng: random.Random
    fault: Callable[[str], bool]
    step: Callable[[], None]  # something else happens meanwhile
    late: list[tuple[str, int]] = field(default_factory=list)  # requests still under way
    stale: list[set[Key]] = field(
        default_factory=list
    )  # of each fetch under way, the innermost last
    reading: list[Key] = field(default_factory=list)
    lists: int = 0

    # --- triggers -------------------------------------------------------------------------------

    def transmit(self, url: str, delivery: int) -> Outcome:
        """Call a trigger URL; what the sender sees of it."""
        if self.fault("lost_request"):
            return NO_ANSWER
        if self.fault("late_request"):
            self.late.append((url, delivery))
            return NO_ANSWER
        outcome = self._receive(url, delivery)
        if self.fault("duplicate"):
            self._receive(url, delivery)
        return NO_ANSWER if self.fault("lost_answer") else outcome

    def deliver_late(self) -> None:
        """A request that its sender has given up arrives."""
        url, delivery = self.late.pop(self.rng.randrange(len(self.late)))
        self._receive(url, delivery)

    def forge(self) -> None:
        """Somebody else calls a trigger URL: any box, any record, or one that never was."""
        keys = list(self.truth.versions)
        key = self.rng.choice(keys) if keys and self.rng.random() < 0.8 else None
        number = str(self.rng.randrange(90_000_000, 90_000_005))
        accounts = [k.id for k in keys if k.kind is RowKind.CUSTOMER] or [number]
        kind = key.kind if key else self.rng.choice(list(RowKind))
        own = key.id if key else number
        account = own if kind is RowKind.CUSTOMER else self.rng.choice(accounts)
        cases = [k.id for k in keys if k.kind is RowKind.CASE] or [number]
        case = {RowKind.CASE: own, RowKind.FOLLOWUP: self.rng.choice(cases)}.get(kind)
        ids = RecordIds(
            account,
            case,
            own if kind is RowKind.FOLLOWUP else None,
            own if kind is RowKind.TASK else None,
        )
        events = [event for box_kind, event in BOXES if box_kind is KINDS[kind]]
        box = f"{kind.value}/{self.rng.choice(events).value.lower()}"
        self._receive(trigger_url(f"{BASE}/{box}", ids), delivery=None)

    def _receive(self, url: str, delivery: int | None) -> Outcome:
        """The receiver's web process handles one request (T4), or dies of it."""
        parts = urlsplit(url)
        last = self._last_row()
        try:
            answer = self.app.test_client().get(f"{parts.path}?{parts.query}")
        except Killed:
            status, error = None, "The connection was closed without an answer."
        else:
            status, error = answer.status_code, None if answer.status_code == 200 else answer.text
        row_id = self._last_row()
        if delivery is not None and row_id > last:
            self.checks.announced[row_id] = self.truth.announced[delivery]
        return Outcome(status, error, "", 5.0)

    def _last_row(self) -> int:
        with read_only(self.outside) as connection:
            found = connection.exec_driver_sql("SELECT MAX(id) FROM inbox_triggers").scalar()
        return int(found or 0)

    # --- reads ----------------------------------------------------------------------------------

    def get(self, key: Key) -> CrmRecord | None:
        """A read of the CRM API, as RecordSource has it."""
        self._may_fail()
        answer = self._look_up(key)
        if self._is_changed_meanwhile(key):
            answer = self._look_up(key)
        return answer

    def children(self, kind: RowKind, parent: Key) -> list[CrmRecord]:
        """A list of the CRM API by parent, as RecordSource has it."""
        self._may_fail()
        self._is_changed_meanwhile(parent)
        column = "casenum" if parent.kind is RowKind.CASE else "accountnum"
        found = []
        for key, versions in list(self.truth.versions.items()):
            if key.kind is not kind or not any(
                v.data is not None and v.data[column] == parent.id for v in versions
            ):
                continue
            record = self._look_up(key)
            if record is None or record.fields[column.upper()] != parent.id:
                self.stale[-1].discard(key)  # it is not in this list, however old that is
            elif not self.fault("capped_list"):
                found.append(record)
        self.lists += 1
        return found

    def _may_fail(self) -> None:
        if self.fault("api_down"):
            raise Temporary("The CRM API answered with HTTP 503.")
        if self.fault("bad_reply"):
            raise BadAnswer("The reply ends in the middle.", "<WAPI><REPLY>")
        if self.fault("refused"):
            raise Refused("The CRM API answered with HTTP 403.")

    def _is_changed_meanwhile(self, key: Key) -> bool:
        """Let other things happen during a read; whether before its answer is made, or else while
        that is on its way back.
        """
        if len(self.reading) >= 2 or not self.fault("change_during_read"):
            return False
        self.reading.append(key)
        for _ in range(self.rng.randint(1, 3)):
            self.step()
        self.reading.pop()
        return self.rng.random() < 0.5

    def _look_up(self, key: Key) -> CrmRecord | None:
        now = self.truth.read(key)
        if not self.fault("stale_read"):
            self.stale[-1].discard(key)
            return now
        age = timedelta(seconds=self.rng.uniform(0, STALE_S))
        then = self.truth.read(key, self.clock.now() - age)
        (self.stale[-1].add if then != now else self.stale[-1].discard)(key)
        return then
