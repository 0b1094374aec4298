"""What the agents know to exist in the Local CRM, so that they never work on a record that is gone.

In: the records at the start, then every create and delete of an agent. Out: records to choose
from, in an order that depends on nothing but what came in.
"""

import sqlite3
from random import Random

KINDS = ("customer", "case", "followup", "task")
PARENT_KIND = {"case": "customer", "followup": "case", "task": "customer"}
_CHILD_KINDS = {"customer": ("case", "task"), "case": ("followup",)}
_RECENT = 12


class Known:
    """Live records by kind: id -> id of the parent, '' for a customer."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
        self._touched: dict[str, list[str]] = {kind: [] for kind in KINDS}

    def add(self, kind: str, record_id: str, parent_id: str = "") -> None:
        """A record that exists from now on."""
        self.records[kind][record_id] = parent_id

    def touch(self, kind: str, record_id: str) -> None:
        """Somebody worked on this record just now."""
        self._touched[kind] = [*self._touched[kind], record_id][-_RECENT:]

    def remove(self, kind: str, record_id: str) -> None:
        """A record that is gone, and all that goes with it."""
        for child_kind in _CHILD_KINDS.get(kind, ()):
            children = self.records[child_kind].items()
            for child in [child for child, parent in children if parent == record_id]:
                self.remove(child_kind, child)
        self.records[kind].pop(record_id, None)

    def choose(self, kind: str, rng: Random, recent: float) -> str | None:
        """Some record, or None if there is none.

        recent: how often, 0 to 1, it is one that was worked on lately.
        """
        touched = [one for one in self._touched[kind] if one in self.records[kind]]
        if touched and rng.random() < recent:
            return rng.choice(touched)
        return rng.choice(list(self.records[kind])) if self.records[kind] else None


def read_known(local: sqlite3.Connection) -> Known:
    """What the Local CRM holds, read from its tables."""
    known = Known()
    for kind, query in (
        ("customer", "SELECT accountnum, '' FROM customers ORDER BY accountnum"),
        ("case", "SELECT casenum, accountnum FROM cases ORDER BY casenum"),
        ("followup", "SELECT followupnum, casenum FROM followups ORDER BY followupnum"),
        ("task", "SELECT tasknum, accountnum FROM tasks ORDER BY tasknum"),
    ):
        for record_id, parent_id in local.execute(query):
            known.add(kind, record_id, parent_id)
    return known
