"""What to fetch: pure, from claimed rows to reads, one per record (hop 6).

In: a claim. Out: reads, each with the rows that asked for it. Coalescing stays inside one claim
(rule 6).
"""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from external_crm.rows import SETTLE, TRIGGER, Cause, Key, Kind, Row
from receiver.claims import Claimed, Family


@dataclass(frozen=True)
class Fetch:
    """One read of one record: for the rows that ask for it, or on behalf of a child's rows."""

    key: Key
    cause: Cause
    rows: tuple[Claimed, ...] = ()
    on_behalf_of: tuple[Claimed, ...] = ()

    @property
    def is_touch(self) -> bool:
        """Whether anything but the record's own settle read asks for it (rule 11)."""
        asking = self.rows + self.on_behalf_of
        return any(row.key != self.key or row.cause != SETTLE for row in asking)


def plan(rows: Iterable[Claimed]) -> tuple[Fetch, ...]:
    """One fetch per record, in the order of the first row that asks for it."""
    by_key: dict[Key, list[Claimed]] = {}
    for row in rows:
        by_key.setdefault(row.key, []).append(row)
    return tuple(Fetch(key, _cause(asking), tuple(asking)) for key, asking in by_key.items())


def affordable(
    rows: Sequence[Claimed], known: Set[Key], calls: int | None
) -> tuple[tuple[Claimed, ...], int]:
    """As many of the rows, from the first on, as so many calls can read, and what they cost.

    A record costs one call, and one each for the parents it is known to hang on that nobody has
    seen. The first row is taken in any case: it may cost more than a budget ever holds.
    """
    needed: set[Key] = set()
    for number, row in enumerate(rows):
        more = needed | {row.key} | (set(row.hinted_parents) - known)
        if number and calls is not None and len(more) > calls:
            return tuple(rows[:number]), len(needed)
        needed = more
    return tuple(rows), len(needed)


def at_no_cost(
    others: Iterable[Claimed], claimed: Sequence[Claimed], known: Set[Key]
) -> tuple[Claimed, ...]:
    """Those of further rows that need no read but what the claimed ones need."""
    read = set(known).union(row.key for row in claimed)
    read.update(parent for row in claimed for parent in row.hinted_parents)
    return tuple(row for row in others if read.issuperset((row.key, *row.hinted_parents)))


def families(rows: Iterable[Claimed], list_from: int) -> tuple[Family, ...]:
    """Where one list by parent may save so many reads or more (rule 10); 0: nowhere."""
    members: dict[tuple[Kind, Key], set[Key]] = {}
    for row in rows:
        if row.hinted_parents:
            parent = row.hinted_parents[-1]  # the case of a follow-up, else the customer
            members.setdefault((row.key.kind, parent), set()).add(row.key)
    return tuple(
        Family(kind, parent, frozenset(keys))
        for (kind, parent), keys in members.items()
        if 0 < list_from <= len(keys)
    )


def missing_parents(
    answered: Iterable[tuple[Fetch, Row | None]], known: Set[Key], fetched: Set[Key]
) -> tuple[Fetch, ...]:
    """Fetches for the parents that nobody has seen yet: those of the fetched record (rule 9);
    where that is gone, those that its triggers named, which nothing else may ever name.
    """
    wanted: dict[Key, Fetch] = {}
    for fetch, row in answered:
        asking = fetch.rows + fetch.on_behalf_of
        for parent in row.parents if row is not None else hinted_parents(fetch):
            if parent in known or parent in fetched:
                continue
            before = wanted.get(parent)
            others = before.on_behalf_of if before else ()
            cause = before.cause if before else fetch.cause
            wanted[parent] = Fetch(parent, cause, on_behalf_of=others + asking)
    return tuple(wanted.values())


def hinted_parents(fetch: Fetch) -> tuple[Key, ...]:
    """The parents as the rows that ask for this record name them."""
    return tuple(dict.fromkeys(parent for row in fetch.rows for parent in row.hinted_parents))


def _cause(rows: list[Claimed]) -> Cause:
    """The newest trigger among the rows, or the newest row where none is a trigger."""
    newest = max(rows, key=lambda row: (row.cause == TRIGGER, row.id))
    return Cause(newest.cause, newest.id)
