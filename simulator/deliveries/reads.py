"""What the pages of deliveries read: which deliveries, and when each is tried next.

In: a session, filters and a place from an address, now. Out: rows and words. It changes nothing.

What a page costs does not grow with the outbox. It begins after a delivery's number, since OFFSET
would read all that it leaves out; and an index has the deliveries of one state, kind and event
together in the order of their numbers, so that the newest of several such are the newest of each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from simulator.db import count_to_most
from simulator.triggers.models import Delivery, DeliveryState
from simulator.triggers.urls import Event, Kind

PER_PAGE = 50
_LARGEST_ID = 2**63 - 1  # SQLite knows no larger integer
RECORD_PATHS = {
    Kind.CUSTOMER: "customers",
    Kind.CASE: "cases",
    Kind.FOLLOWUP: "followups",
    Kind.TASK: "tasks",
}


@dataclass(frozen=True)
class Filters:
    """Which deliveries to show; what is None does not matter."""

    state: DeliveryState | None = None
    kind: Kind | None = None
    event: Event | None = None
    record_id: str | None = None

    @classmethod
    def from_address(cls, given: Mapping[str, str]) -> "Filters":
        """The filters in an address; one that makes no sense counts as not given."""
        return cls(
            _known(DeliveryState, given.get("state")),
            _known(Kind, given.get("kind")),
            _known(Event, given.get("event")),
            given.get("record_id", "").strip() or None,
        )

    def in_address(self, **changed: str | None) -> dict[str, str]:
        """As they stand in an address, some of them changed."""
        found: dict[str, str | None] = {
            "state": self.state,
            "kind": self.kind,
            "event": self.event,
            "record_id": self.record_id,
        }
        found.update(changed)
        return {name: str(value) for name, value in found.items() if value is not None}

    def selects(self) -> list[Select[Any]]:
        """The numbers of the deliveries, as selects that an index answers in their order."""
        own = {"state": self.state, "kind": self.kind, "event": self.event}
        if self.record_id is not None:
            given = [getattr(Delivery, name) == value for name, value in own.items() if value]
            kinds = [self.kind] if self.kind else list(Kind)
            of_record = select(Delivery.id).where(Delivery.record_id == self.record_id, *given)
            return [of_record.where(Delivery.kind == kind) for kind in kinds]
        if not any(own.values()):
            return [select(Delivery.id)]
        return [
            select(Delivery.id).where(
                Delivery.state == state, Delivery.kind == kind, Delivery.event == event
            )
            for state in ([self.state] if self.state else DeliveryState)
            for kind in ([self.kind] if self.kind else Kind)
            for event in ([self.event] if self.event else Event)
        ]


@dataclass(frozen=True)
class Stretch:
    """A page of deliveries, the newest first, and the addresses of pages, filters included."""

    rows: Sequence[Delivery]
    here: dict[str, str]
    last: dict[str, str]
    newer: dict[str, str] | None  # None: this is the first page
    older: dict[str, str] | None  # None: this is the last page


def read_page(session: Session, filters: Filters, given: Mapping[str, str]) -> Stretch:
    """The page that an address asks for: `before` or `after` a delivery's number, or `from=end`.
    Where nothing is left there it is the nearest one.
    """
    before, after = _number(given.get("before")), _number(given.get("after"))
    backwards = before is None and (after is not None or given.get("from") == "end")
    place = after if backwards else before
    numbers = _next_numbers(session, filters, place, backwards)
    some, more = numbers[:PER_PAGE], len(numbers) > PER_PAGE
    if place is not None and (not some or (backwards and not more)):
        return read_page(session, filters, {} if backwards else {"from": "end"})
    shown = select(Delivery).where(Delivery.id.in_(some)).order_by(Delivery.id.desc())
    rows = session.scalars(shown).all()
    at_end, at_beginning = (backwards and place is None), (not backwards and place is None)
    has_newer = more if backwards else not at_beginning
    has_older = not at_end if backwards else more
    same, last = filters.in_address(), filters.in_address(**{"from": "end"})
    here = last if at_end else same
    if place is not None:
        here = same | {"after" if backwards else "before": str(place)}
    return Stretch(
        rows,
        here,
        last,
        same | {"after": str(rows[0].id)} if rows and has_newer else None,
        same | {"before": str(rows[-1].id)} if rows and has_older else None,
    )


def count_states(session: Session) -> dict[str, int]:
    """How many deliveries there are, and stand where; see `count_to_most`."""
    return {"all": count_to_most(session, select(Delivery.id))} | {
        state: count_to_most(session, select(Delivery.id).where(Delivery.state == state))
        for state in DeliveryState
    }


def when_next(delivery: Delivery, now: datetime) -> str:
    """When it is tried next, in words: `now`, `in 4 min 20 s`, or nothing."""
    if delivery.next_attempt_at is None:
        return ""
    if delivery.leased_until is not None and delivery.leased_until > now:
        return "under way"
    wait_s = (delivery.next_attempt_at - now).total_seconds()
    return "now" if wait_s <= 0 else f"in {span(wait_s)}"


def span(seconds: float) -> str:
    """A span of time in its two largest units: `1 d 4 h`, `4 min 20 s`, `3 s`."""
    left = max(1, round(seconds))
    parts: list[str] = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def _next_numbers(
    session: Session, filters: Filters, place: int | None, backwards: bool
) -> list[int]:
    """The numbers of a page and of one delivery more, from the place on."""
    number = Delivery.id
    found: list[int] = []
    beyond = [] if place is None else [number > place if backwards else number < place]
    for each in filters.selects():
        ordered = each.where(*beyond).order_by(number.asc() if backwards else number.desc())
        found += session.scalars(ordered.limit(PER_PAGE + 1))
    return sorted(found, reverse=not backwards)[: PER_PAGE + 1]


def _number(text: str | None) -> int | None:
    """A delivery's number in an address; None for what is none."""
    is_number = text and text.isascii() and text.isdecimal() and len(text) < 20
    return min(int(text or 0), _LARGEST_ID) if is_number else None


def _known(choices: Any, text: str | None) -> Any:
    """The member of an enumeration that a text names, or None."""
    return choices(text) if text in list(choices) else None
