"""A page of a list, at a cost that does not grow with the table.

In: a session, a kind, conditions and an order from `search`, and where the page begins. Out: a
Stretch: up to PAGE_SIZE records, and the places where the pages before and after it begin.

A page begins after a place, not at a number: OFFSET would read all that it leaves out, and a
record that is created or deleted meanwhile would move what follows. There are two ways:

- If one condition alone leaves no more than FEW records, as its index tells, these are read,
  tested against the others and sorted, and it is known how many there are.
- Else the index of the order is walked from the place on and each record tested. After LOOK_AT
  records the page ends, full or not, and the next one goes on from there.

The order of creation is that of SQLite's row ids, which every index ends with. So each index
also has its records in the order of creation, and numbers may grow longer.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, cast

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    and_,
    func,
    literal,
    literal_column,
    or_,
    select,
)
from sqlalchemy.orm import Session

from simulator.db import count_to_most
from simulator.local_crm.models import MODELS, NUMBER_COLUMN, Record
from simulator.local_crm.search import Condition, Order
from simulator.local_crm.verdicts import ascii_lower
from simulator.triggers.urls import Kind

PAGE_SIZE = 50
FEW = 500
LOOK_AT = 2_000


class Place(NamedTuple):  # thousands are made for a page: a dataclass takes three times as long
    """Where a record stands in an order; it is a place also when the record is gone."""

    position: int  # the row id
    key: str = ""  # what the order sorts by; nothing in the order of creation


@dataclass(frozen=True)
class Start:
    """After `place`, or before it if `backwards`; without one at the beginning, or the end."""

    place: Place | None = None
    backwards: bool = False


@dataclass(frozen=True)
class Stretch:
    """Some records of a list, in its order."""

    records: Sequence[Record]
    before: Place | None  # the page before this one ends here; None: this is the first
    after: Place | None  # the next page begins here; None: this is the last
    total: int | None = None  # None: not counted; more than `db.MOST_COUNTED`: that many at least
    cut_short: bool = False  # LOOK_AT was reached: there may be more on the next page


def read(
    session: Session, kind: Kind, conditions: Sequence[Condition], order: Order, start: Start
) -> Stretch:
    """The page that begins at `start`; where nothing is left there, the nearest one."""
    few = _few(session, kind, conditions)
    places = None if few is None else _sorted_places(session, kind, few, conditions, order)
    total = _count(session, kind, conditions) if places is None else len(places)
    candidates = (
        _walk(session, kind, conditions, order, start)
        if places is None
        else ((place, True) for place in _from_start(places, order, start))
    )
    with closing(candidates):
        found, last, more, tired = _take(candidates)
    goes_on = places is None and bool(conditions)  # from a page that ended at LOOK_AT, perhaps
    nothing_left = not found and not goes_on
    if start.place is not None and not more and (start.backwards or nothing_left):
        return read(session, kind, conditions, order, Start(None, not start.backwards))
    ahead = found[-1] if more and not tired else last if tired else None
    behind = None if start.place is None else found[0] if found else start.place
    first, final = (ahead, behind) if start.backwards else (behind, ahead)
    shown = found[::-1] if start.backwards else found
    return Stretch(_records(session, kind, shown), first, final, total, tired)


def newest(kind: Kind, column: str, value: str) -> Select[Any]:
    """The records of a kind whose column equals a value, newest first; the column has an index."""
    model = MODELS[kind]
    of_value = select(model).where(model.__table__.c[column] == value)
    return of_value.order_by(_position(kind).desc())


def count_all(session: Session, kind: Kind) -> int:
    """All records of a kind. It reads them all: for a question, not for a list."""
    return session.scalar(select(func.count()).select_from(MODELS[kind])) or 0


def newest_position(session: Session, kind: Kind) -> int:
    """The position of the newest record; 0 where there is none."""
    return session.scalar(select(func.max(_position(kind))).select_from(MODELS[kind])) or 0


def oldest_numbers(session: Session, kind: Kind, up_to: int, most: int) -> list[str]:
    """The numbers of the oldest records, none beyond a position."""
    position = _position(kind)
    number = MODELS[kind].__table__.c[NUMBER_COLUMN[kind]]
    rows = select(number).where(position <= up_to).order_by(position).limit(most)
    return list(session.scalars(rows))


def _take(candidates: Iterator[tuple[Place, bool]]) -> tuple[list[Place], Place | None, bool, bool]:
    """A page of those that fit, the last one looked at, whether there are more that are known,
    and whether LOOK_AT was reached before that was known.
    """
    found: list[Place] = []
    last = None
    for place, fits in islice(candidates, LOOK_AT):
        if fits and len(found) == PAGE_SIZE:
            return found, last, True, False
        last = place
        if fits:
            found.append(place)
    tired = next(candidates, None) is not None
    return found, last, tired, tired


def _few(session: Session, kind: Kind, conditions: Sequence[Condition]) -> set[int] | None:
    """The positions of what the most selective condition leaves, or None if that is not few."""
    position = _position(kind)
    smallest: set[int] | None = None
    for condition in conditions:
        met: set[int] = set()
        for clause in condition.clauses:
            some = _rows(kind, position).where(clause).limit(FEW + 1)
            met.update(session.connection().scalars(some))
            if len(met) > FEW:
                break
        if len(met) <= FEW and (smallest is None or len(met) < len(smallest)):
            smallest = met
    return smallest


def _sorted_places(
    session: Session, kind: Kind, few: set[int], conditions: Sequence[Condition], order: Order
) -> list[Place]:
    position = _position(kind)
    rows = session.execute(
        _rows(kind, position, _key(order)).where(position.in_(few), *map(_any_of, conditions))
    )
    places = [Place(*row) for row in rows]
    return sorted(places, key=lambda place: _rank(place, order), reverse=order.descending)


def _from_start(places: Sequence[Place], order: Order, start: Start) -> Iterator[Place]:
    upwards = order.descending == start.backwards
    for place in reversed(places) if start.backwards else places:
        if start.place is not None:
            here, there = _rank(place, order), _rank(start.place, order)
            if (here <= there) if upwards else (here >= there):
                continue
        yield place


def _rank(place: Place, order: Order) -> tuple[str, int]:
    return (ascii_lower(place.key) if order.ignores_case else place.key), place.position


def _walk(
    session: Session,
    kind: Kind,
    conditions: Sequence[Condition],
    order: Order,
    start: Start,
) -> Generator[tuple[Place, bool], None, None]:
    """Place after place in the order, and whether the record there meets all conditions."""
    position, key, place = _position(kind), order.key, start.place
    upwards = order.descending == start.backwards
    along = [c for c in conditions if _lies_along(c, order)][:1]
    fits = and_(literal(True), *(_any_of(c) for c in conditions if c not in along))
    candidates = _rows(kind, position, _key(order), fits).where(*map(_any_of, along))

    def beyond(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
        found: ColumnElement[bool] = column > value if upwards else column < value
        return found

    in_order = [column for column in (key, position) if column is not None]
    if place is None:
        parts = [(candidates, in_order)]
    elif key is None:
        parts = [(candidates.where(beyond(position, place.position)), in_order)]
    else:  # one range each: SQLite does not use the row id of an index within a row value
        # Of equal keys the position is the order; by an expression SQLite would sort them anew.
        parts = [
            (candidates.where(key == place.key, beyond(position, place.position)), [position]),
            (candidates.where(beyond(key, place.key)), in_order),
        ]
    for part, columns in parts:
        ordered = part.order_by(*(c.asc() if upwards else c.desc() for c in columns))
        # Not by the session: it would fetch all rows before it gives the first.
        with session.connection().execute(ordered.limit(LOOK_AT + 1)) as rows:
            yield from ((Place(row[0], row[1]), bool(row[2])) for row in rows)


def _lies_along(condition: Condition, order: Order) -> bool:
    """Whether an index has what meets the condition together and in the order."""
    in_creation_order = order.key is None and condition.is_equality
    return len(condition.clauses) == 1 and (in_creation_order or condition.on == order.field)


def _count(session: Session, kind: Kind, conditions: Sequence[Condition]) -> int | None:
    """All records, or those that meet a single clause; counting more may mean reading all."""
    clauses = [clause for condition in conditions for clause in condition.clauses]
    if len(clauses) > 1:
        return None
    return count_to_most(session, _rows(kind, _position(kind)).where(*clauses))


def _records(session: Session, kind: Kind, places: Sequence[Place]) -> list[Record]:
    position = _position(kind)
    wanted = position.in_([place.position for place in places])
    found: dict[int, Any] = {
        row[0]: row[1] for row in session.execute(select(position, MODELS[kind]).where(wanted))
    }
    return [found[place.position] for place in places]


def _rows(kind: Kind, *columns: ColumnElement[Any]) -> Select[Any]:
    return select(*columns).select_from(MODELS[kind])


def _position(kind: Kind) -> ColumnElement[int]:
    return cast(
        "ColumnElement[int]", literal_column(f"{MODELS[kind].__tablename__}.rowid", Integer)
    )


def _key(order: Order) -> ColumnElement[str]:
    return literal("") if order.key is None else order.key


def _any_of(condition: Condition) -> ColumnElement[bool]:
    return or_(*condition.clauses)
