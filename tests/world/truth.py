"""What was true and when: every version of every record of the Local CRM, kept beside it.

In: the rows that the simulator's own code committed. Out: the record as it is, or as it was at an
instant, and what a version looks like outside, reduced to one text (its "look").
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from external_crm.rows import Key
from external_crm.rows import Kind as RowKind
from receiver.records import CrmRecord
from simulator.db import read_connection
from simulator.local_crm.fields import FIELDS, FieldType
from simulator.triggers.urls import Kind

KINDS = {RowKind(kind.value.lower()): kind for kind in Kind}
ROW_KINDS = {kind: row_kind for row_kind, kind in KINDS.items()}
EDITED = {RowKind.CUSTOMER: "comments", RowKind.CASE: "description", RowKind.TASK: "description"}
# The same looks, of the live rows outside.
LOOKS_OUTSIDE = (
    "SELECT 'customer', account_id, comments, account_id FROM customers"
    " UNION ALL SELECT 'case', case_id, description, account_id FROM cases"
    " UNION ALL SELECT 'followup', followup_id, '', account_id FROM followups"
    " UNION ALL SELECT 'task', task_id, description, account_id FROM tasks"
)

Look = tuple[str, str] | None  # the field that agents edit, and the customer; None: gone


@dataclass(frozen=True)
class Version:
    """A record from an instant on; data is None where it was deleted."""

    at: datetime
    data: dict[str, Any] | None
    look: Look


@dataclass
class Truth:
    """All versions, and which of them each delivery announces."""

    local: Engine
    versions: dict[Key, list[Version]] = field(default_factory=dict)
    announced: dict[int, tuple[Key, int]] = field(default_factory=dict)  # by delivery id
    alive: dict[Key, dict[str, Any]] = field(default_factory=dict)
    _last_version: int = 0
    _last_delivery: int = 0

    def catch_up(self, now: datetime) -> None:
        """Take in what was committed since the last call."""
        with read_connection(self.local) as connection:
            new = connection.exec_driver_sql(
                "SELECT id, kind, record_id, data FROM record_versions WHERE id > ? ORDER BY id",
                (self._last_version,),
            )
            for self._last_version, kind, number, text in new:
                key = Key(ROW_KINDS[Kind[kind]], number)
                data = json.loads(text) if text else None
                look = None if data is None else _look(key, data)
                self.versions.setdefault(key, []).append(Version(now, data, look))
                if data is None:
                    self.alive.pop(key, None)
                else:
                    self.alive[key] = data
            fired = connection.exec_driver_sql(
                "SELECT id, kind, record_id FROM deliveries WHERE id > ? ORDER BY id",
                (self._last_delivery,),
            )
            for self._last_delivery, kind, number in fired:
                key = Key(ROW_KINDS[Kind[kind]], number)
                self.announced[self._last_delivery] = (key, len(self.versions[key]))

    def read(self, key: Key, as_of: datetime | None = None) -> CrmRecord | None:
        """The record as it is, or as it was at an instant, as its reply on the wire would read."""
        known = self.versions.get(key, [])
        seen = [version for version in known if as_of is None or version.at <= as_of]
        data = seen[-1].data if seen else None
        return None if data is None else as_crm_record(key, data)

    def first_version(self, key: Key, look: Look, at_least: int) -> int | None:
        """The first version, counted from 1, not below `at_least`, that looks like this."""
        for number, version in enumerate(self.versions.get(key, []), start=1):
            if number >= at_least and version.look == look:
                return number
        return None


def as_crm_record(key: Key, data: dict[str, Any]) -> CrmRecord:
    """Columns of the Local CRM as the CRM API sends them; e2e tests use the real one."""
    values = {}
    for item in FIELDS[KINDS[key.kind]]:
        value = data[item.name]
        if item.type is FieldType.INSTANT:
            layout = "%m%d%Y%H%M" if item.tag == "DUEDATE" else "%m%d%Y"
            value = datetime.fromisoformat(value).strftime(layout) if value else ""
        values[item.tag.upper()] = str(value)
    return CrmRecord(key, values)


def _look(key: Key, data: dict[str, Any]) -> Look:
    return data.get(EDITED.get(key.kind, ""), ""), data["accountnum"]
