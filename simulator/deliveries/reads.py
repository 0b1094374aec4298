"""What the pages of deliveries read: which deliveries, and when each is tried next.

In: a session, filters from an address, now. Out: selects, rows and words. It changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from simulator.triggers.models import Delivery, DeliveryState
from simulator.triggers.urls import Event, Kind

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

    def newest_first(self) -> Select[Any]:
        """The deliveries as a select."""
        conditions = [
            getattr(Delivery, name) == value
            for name in ("state", "kind", "event", "record_id")
            if (value := getattr(self, name)) is not None
        ]
        return select(Delivery).where(*conditions).order_by(Delivery.id.desc())


def count_states(session: Session) -> dict[DeliveryState, int]:
    """How many deliveries stand where."""
    counted = select(Delivery.state, func.count()).group_by(Delivery.state)
    found = {row[0]: row[1] for row in session.execute(counted)}
    return {state: found.get(state, 0) for state in DeliveryState}


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


def _known(choices: Any, text: str | None) -> Any:
    """The member of an enumeration that a text names, or None."""
    return choices(text) if text in list(choices) else None
