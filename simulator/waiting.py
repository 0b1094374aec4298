"""Waits until something has come about, and says why not.

In: what to wait for, and for how long in real time. Out: a verdict: met, or the reasons why not,
the deliveries that stand in the way among them. Killed here: whoever waits asks again.

Nothing is polled: every event wakes those who wait, and they look again.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from simulator.db import read_session
from simulator.journal import ApiRequest
from simulator.local_crm.models import Origin, RecordVersion
from simulator.services import Services
from simulator.triggers.models import Attempt, Delivery, DeliveryState, TriggerBox
from simulator.triggers.urls import Kind

_TOLD = 20  # deliveries in one verdict


@dataclass(frozen=True)
class Standing:
    """How a delivery stands that has not been delivered."""

    id: int
    trigger: str  # "Customer Create"
    record_id: str
    state: DeliveryState
    attempts: int
    under_way: bool
    next_attempt_at: datetime | None
    last_status: int | None
    last_error: str | None


@dataclass(frozen=True)
class Verdict:
    """Whether it has come about; if not, why, in sentences."""

    met: bool
    reasons: tuple[str, ...] = ()
    deliveries: tuple[Standing, ...] = ()
    faults: tuple[str, ...] = ()


class Wish(Protocol):
    """What can be waited for."""

    def is_met(self, session: Session, services: Services) -> bool:
        """Whether it has come about; cheap, because it is asked at every event."""

    def concerns(self) -> ColumnElement[bool]:
        """Which deliveries may stand in the way."""

    def why_not(self, session: Session, services: Services) -> list[str]:
        """What else is to say, in sentences."""


@dataclass(frozen=True)
class Idle:
    """No delivery waits to be sent or is under way."""

    def is_met(self, session: Session, services: Services) -> bool:
        """See Wish."""
        return session.scalar(select(Delivery.id).where(self.concerns()).limit(1)) is None

    def concerns(self) -> ColumnElement[bool]:
        """See Wish."""
        return Delivery.state == DeliveryState.WAITING

    def why_not(self, session: Session, services: Services) -> list[str]:
        """See Wish."""
        return []


@dataclass(frozen=True)
class Delivered:
    """One delivery was answered with 200, or every delivery of a record, of which there is one."""

    delivery_id: int | None = None
    kind: Kind | None = None
    record_id: str = ""

    def is_met(self, session: Session, services: Services) -> bool:
        """See Wish."""
        states = set(session.scalars(select(Delivery.state).where(self._mine())))
        return states == {DeliveryState.DELIVERED}

    def concerns(self) -> ColumnElement[bool]:
        """See Wish."""
        return and_(self._mine(), Delivery.state != DeliveryState.DELIVERED)

    def why_not(self, session: Session, services: Services) -> list[str]:
        """See Wish."""
        if session.scalar(select(Delivery.id).where(self._mine()).limit(1)) is not None:
            return []
        if self.kind is None:
            return [f"There is no delivery {self.delivery_id}."]
        return [_why_nothing_fired(session, self.kind, self.record_id)]

    def _mine(self) -> ColumnElement[bool]:
        if self.delivery_id is not None:
            return Delivery.id == self.delivery_id
        return and_(Delivery.kind == self.kind, Delivery.record_id == self.record_id)


@dataclass(frozen=True)
class Fetched:
    """Somebody has read a record over the CRM API as it is now, or found that it is gone."""

    kind: Kind
    record_id: str

    def is_met(self, session: Session, services: Services) -> bool:
        """See Wish."""
        return services.fetches.is_fetched(f"{self.kind} {self.record_id}")

    def concerns(self) -> ColumnElement[bool]:
        """See Wish."""
        return Delivered(kind=self.kind, record_id=self.record_id).concerns()

    def why_not(self, session: Session, services: Services) -> list[str]:
        """See Wish."""
        latest = _latest_version(session, self.kind, self.record_id)
        what = f"{self.kind} {self.record_id}"
        if latest is None:
            return [f"There is no {what}, and there never was."]
        reasons = [
            f"Nobody has read {what} over the CRM API since its version {latest.version} "
            f"({latest.event} by {latest.origin}, {_shown(latest.changed_at)})."
        ]
        fired = Delivered(kind=self.kind, record_id=self.record_id)
        reasons += fired.why_not(session, services)
        return [*reasons, _about_last_request(services)]


def wait(services: Services, wish: Wish, timeout_s: float) -> Verdict:
    """Met as soon as it is, else at the deadline why not. It ends early when the simulator stops.

    timeout_s: of real time, whatever the simulator's clock does; 0 looks once.
    """
    ends_at = time.monotonic() + timeout_s
    more = True
    while True:
        news = services.events.news  # before looking: what comes meanwhile is looked at as well
        with read_session(services.engine) as session:
            if wish.is_met(session, services):
                return Verdict(met=True)
            if not more:
                return _why_not(session, services, wish)
        more = services.events.wait_for_news(news, ends_at)


def _why_not(session: Session, services: Services, wish: Wish) -> Verdict:
    found = session.scalars(
        select(Delivery).where(wish.concerns()).order_by(Delivery.id).limit(_TOLD)
    ).all()
    total = session.scalar(select(func.count()).select_from(Delivery).where(wish.concerns())) or 0
    now = services.clock.now()
    standings = tuple(_standing(session, delivery, now) for delivery in found)
    reasons = [_about(standing, now) for standing in standings]
    if total > len(found):
        reasons.append(f"And {total - len(found)} more deliveries.")
    reasons += wish.why_not(session, services)
    waiting = [one for one in standings if one.state is DeliveryState.WAITING]
    if waiting and services.dispatcher.paused:
        reasons.append("Deliveries are paused. Resume them.")
    if services.clock.frozen and any((one.next_attempt_at or now) > now for one in waiting):
        reasons.append(f"The clock stands still at {_shown(now)}. Advance it, or let it run.")
    faults = tuple(services.faults_in_force())
    reasons += [f"A fault is in force: {fault}." for fault in faults]
    if services.events.closed:
        reasons.append("The simulator stops.")
    return Verdict(False, tuple(reasons), standings, faults)


def _standing(session: Session, delivery: Delivery, now: datetime) -> Standing:
    last = session.scalar(
        select(Attempt)
        .where(Attempt.delivery_id == delivery.id)
        .order_by(Attempt.number.desc())
        .limit(1)
    )
    return Standing(
        delivery.id,
        f"{delivery.kind} {delivery.event}",
        delivery.record_id,
        delivery.state,
        delivery.attempt_count,
        delivery.leased_until is not None and delivery.leased_until > now,
        delivery.next_attempt_at,
        last.status if last else None,
        last.error if last else None,
    )


def _about(one: Standing, now: datetime) -> str:
    begin = f"Delivery {one.id} ({one.trigger} of {one.record_id})"
    last = f" The last one failed: {one.last_error}" if one.last_error else ""
    attempt = f"attempt {one.attempts + 1}"
    if one.state is DeliveryState.EXHAUSTED:
        return f"{begin} is exhausted after {one.attempts} attempts. Redeliver it.{last}"
    if one.under_way:
        return f"{begin}: {attempt} is under way.{last}"
    if one.next_attempt_at is None or one.next_attempt_at <= now:
        return f"{begin} is due: {attempt} is to be sent now.{last}"
    seconds = (one.next_attempt_at - now).total_seconds()
    return (
        f"{begin} waits for {attempt} at {_shown(one.next_attempt_at)}, in {seconds:.0f} s.{last}"
    )


def _why_nothing_fired(session: Session, kind: Kind, record_id: str) -> str:
    latest = _latest_version(session, kind, record_id)
    if latest is None:
        return f"There is no {kind} {record_id}, and there never was."
    begin = f"No trigger has fired for {kind} {record_id}"
    if latest.origin is not Origin.AGENT:
        return f"{begin}: its last change came by {latest.origin}, and only agents' changes fire."
    box = session.get(TriggerBox, (kind, latest.event))
    if box is None or not box.url:
        return f"{begin}: the box {kind} {latest.event} of CRM Triggers has no URL."
    return f"{begin}: {kind} {latest.event} fires nothing, or its box was empty at the time."


def _about_last_request(services: Services) -> str:
    requests = (one for one in reversed(services.journal.entries()) if _is_request(one.what))
    last = next(requests, None)
    if last is None or not isinstance(last.what, ApiRequest):
        return "No CRM API request has come yet."
    what, error = last.what, last.what.error
    said = f"the answer was error {what.error_code}: {error}" if error else "it was answered."
    begin = f"The last CRM API request was {what.action or '?'} {what.object or '?'}"
    return f"{begin}, {_shown(last.at)}: {said if last.ended else 'it is not answered yet.'}"


def _is_request(what: object) -> bool:
    return isinstance(what, ApiRequest)


def _latest_version(session: Session, kind: Kind, record_id: str) -> RecordVersion | None:
    mine: Sequence[ColumnElement[bool]] = (
        RecordVersion.kind == kind,
        RecordVersion.record_id == record_id,
    )
    return session.scalar(
        select(RecordVersion).where(*mine).order_by(RecordVersion.version.desc()).limit(1)
    )


def _shown(instant: datetime) -> str:
    return instant.isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC")
