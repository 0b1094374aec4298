"""What happens inside 8x8: agents create, edit, move and delete records, and triggers fire.

In: a seed's randomness, the Local CRM's sessions. Out: records, versions and deliveries, written
by the simulator's own code.
"""

import random
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from external_crm.rows import Key
from external_crm.rows import Kind as RowKind
from simulator.clock import ManualClock
from simulator.local_crm import changes
from simulator.local_crm.models import MODELS
from simulator.triggers.urls import Kind
from tests.local_crm import AGENT
from tests.world.mix import Mix
from tests.world.truth import EDITED, KINDS, Truth


@dataclass
class Agents:
    """Everybody who changes records in the Agent Console."""

    sessions: sessionmaker[Session]
    truth: Truth
    clock: ManualClock
    rng: random.Random
    mix: Mix
    typed: int = 0  # how many different texts were typed so far

    def act(self) -> str | None:
        """One agent does one thing; what is worth counting about it."""
        alive = self.truth.alive
        choice = self.rng.random()
        few = len(alive) < min(3, self.mix.most_records)
        if few or (choice < self.mix.creating and len(alive) < self.mix.most_records):
            return self._commit(self._create)
        keys = list(alive)
        # Often the same record again, so that reads of it overlap.
        key = self.rng.choice(keys[-2:] if self.rng.random() < self.mix.favourites else keys)
        choice -= self.mix.creating
        if choice < self.mix.editing and key.kind in EDITED:
            return self._commit(self._edit, key)
        if choice < self.mix.editing + self.mix.moving and self._may_move(key):
            return self._commit(self._move, key)
        return self._commit(self._delete, key)

    def _commit(self, action: Any, *arguments: Any) -> str | None:
        with self.sessions.begin() as session:
            done = action(session, *arguments)
        self.truth.catch_up(self.clock.now())
        return str(done) if done else None

    def _create(self, session: Session) -> None:
        customers, cases = self._alive(RowKind.CUSTOMER), self._alive(RowKind.CASE)
        kinds = [Kind.CUSTOMER, *([Kind.CASE, Kind.TASK] if customers else [])]
        kinds += [Kind.FOLLOWUP] * 2 if cases else []
        kind = self.rng.choice(kinds)
        values: dict[str, Any] = {"subject": f"Number {self.rng.randrange(1000)}"}
        if kind is Kind.CUSTOMER:
            values = {"firstname": "Ada", "lastname": f"No {self.rng.randrange(1000)}"}
        elif kind is Kind.FOLLOWUP:
            values["casenum"] = self.rng.choice(cases).id
        else:
            values["accountnum"] = self.rng.choice(customers).id
        for row_kind, name in EDITED.items():
            if KINDS[row_kind] is kind:
                values[name] = self._new_text()
        changes.create(session, kind, values, AGENT, self.clock.now())

    def _edit(self, session: Session, key: Key) -> str | None:
        name = EDITED[key.kind]
        earlier = [v.data[name] for v in self.truth.versions[key][:-1] if v.data is not None]
        reverts = bool(earlier) and self.rng.random() < self.mix.reverting
        values = {name: earlier[-1] if reverts else self._new_text()}
        changes.edit(session, KINDS[key.kind], key.id, values, AGENT, self.clock.now())
        return "edit taken back" if reverts else None

    def _may_move(self, key: Key) -> bool:
        """A task, or a case on which nothing hangs that would move without a trigger."""
        others = [c for c in self._alive(RowKind.CUSTOMER) if c.id != self._owner(key)]
        if key.kind is RowKind.CASE:
            followups = self._alive(RowKind.FOLLOWUP)
            is_free = all(self.truth.alive[child]["casenum"] != key.id for child in followups)
            return bool(others) and is_free
        return key.kind is RowKind.TASK and bool(others)

    def _move(self, session: Session, key: Key) -> str:
        """Agents cannot do this; the receiver believes the record whoever did it (rule 9)."""
        kind, owner = KINDS[key.kind], self._owner(key)
        others = [c.id for c in self._alive(RowKind.CUSTOMER) if c.id != owner]
        session.get_one(MODELS[kind], key.id).accountnum = self.rng.choice(others)
        changes.edit(session, kind, key.id, {}, AGENT, self.clock.now())
        return "record moved"

    def _delete(self, session: Session, key: Key) -> str | None:
        changes.delete(session, KINDS[key.kind], key.id, AGENT, self.clock.now())
        is_parent = key.kind in (RowKind.CUSTOMER, RowKind.CASE)
        return "parent deleted" if is_parent else None

    def _owner(self, key: Key) -> str:
        return str(self.truth.alive[key]["accountnum"])

    def _alive(self, kind: RowKind) -> list[Key]:
        return [key for key in self.truth.alive if key.kind is kind]

    def _new_text(self) -> str:
        self.typed += 1
        return str(self.typed)
