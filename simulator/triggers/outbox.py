"""The outbox of deliveries: enqueue (T1), claim what is due (T2), record what came of it (T3).

In: a session and `now`; steps never commit. Out: rows of `deliveries` and `attempts`.
Killed between claim and record: the lease runs out and the delivery is claimed again, so a
receiver may be called twice for one change (assumption trigger.may-repeat).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from simulator.chance import Chance
from simulator.db import UtcDateTime
from simulator.events import What, note_at_commit
from simulator.triggers.backoff import RetryPolicy, next_attempt_at
from simulator.triggers.models import Attempt, Delivery, DeliveryState, TriggerBox
from simulator.triggers.outcome import Outcome
from simulator.triggers.urls import Event, Kind, RecordIds, trigger_url

ENQUEUED = "simulator.triggers.enqueued"  # in session.info: ids to wake the dispatcher for


def enqueue(
    session: Session,
    kind: Kind,
    event: Event,
    ids: RecordIds,
    now: datetime,
    continuation: str = "&",
    *,
    is_test: bool = False,
) -> Delivery | None:
    """A delivery due at once, or None where the box for this kind and event is empty."""
    box = session.get(TriggerBox, (kind, event))
    if box is None or not box.url:
        return None
    delivery = Delivery(
        kind=kind,
        event=event,
        record_id=ids.task_id or ids.followup_id or ids.case_id or ids.account_id,
        account_id=ids.account_id,
        case_id=ids.case_id,
        url=trigger_url(box.url, ids, continuation),
        is_test=is_test,
        created_at=now,
        state=DeliveryState.WAITING,
        attempt_count=0,
        schedule_step=0,
        next_attempt_at=now,
    )
    session.add(delivery)
    session.flush()
    _note_due(session, delivery, What.DELIVERY_ENQUEUED, now)
    return delivery


@dataclass(frozen=True)
class ClaimedDelivery:
    """What a claimer holds while it calls the URL; `owner` and `leased_until` prove the lease."""

    id: int
    kind: Kind
    event: Event
    record_id: str
    url: str
    owner: str
    claimed_at: datetime
    leased_until: datetime
    attempt: int = 1  # the number of the attempt that it was claimed for


def claim_due(
    session: Session, now: datetime, limit: int, lease_s: float, owner: str
) -> list[ClaimedDelivery]:
    """Up to `limit` deliveries that are due and not leased, now leased to `owner` for lease_s.

    Those that have waited longest come first; nothing promises an order of arrival.
    """
    due = session.scalars(
        select(Delivery)
        .where(
            Delivery.state == DeliveryState.WAITING,
            Delivery.next_attempt_at <= now,
            or_(Delivery.leased_until.is_(None), Delivery.leased_until <= now),
        )
        .order_by(Delivery.next_attempt_at, Delivery.id)
        .limit(limit)
    )
    return [_lease(delivery, owner, now, now + timedelta(seconds=lease_s)) for delivery in due]


def next_due(session: Session, after: datetime) -> datetime | None:
    """The next instant at which something may become due, or a lease run out; None if nothing
    will. What is due already and was not claimed does not count.
    """
    waiting = Delivery.state == DeliveryState.WAITING
    due, freed = session.execute(
        select(
            select(func.min(Delivery.next_attempt_at, type_=UtcDateTime))
            .where(waiting, Delivery.next_attempt_at > after)
            .scalar_subquery(),
            select(func.min(Delivery.leased_until, type_=UtcDateTime))
            .where(waiting, Delivery.leased_until > after)
            .scalar_subquery(),
        )
    ).one()
    return min((instant for instant in (due, freed) if instant is not None), default=None)


def record(
    session: Session,
    claimed: ClaimedDelivery,
    outcome: Outcome,
    policy: RetryPolicy,
    chance: Chance,
    now: datetime,
) -> Delivery | None:
    """The delivery with one attempt more, or None if it is not there any more.

    now: when the attempt ended. A success counts whoever finds it. A failure reschedules or
    exhausts only while the claimer's lease stands: one who comes back after his lease ran out
    must not disturb the attempt that replaced his.
    """
    delivery = session.get(Delivery, claimed.id)
    if delivery is None:
        return None
    _add_attempt(session, delivery, outcome, claimed.claimed_at, now)
    if outcome.delivered:
        _settle(delivery, DeliveryState.DELIVERED, None)
    elif _is_leased_to(claimed, delivery):
        delivery.schedule_step += 1
        jitter = chance.of("retry", delivery.id, delivery.attempt_count)
        retry_at = (
            next_attempt_at(delivery.schedule_step, now, policy, jitter) if outcome.retry else None
        )
        state = DeliveryState.EXHAUSTED if retry_at is None else DeliveryState.WAITING
        _settle(delivery, state, retry_at)
    session.flush()
    _note_attempt(session, delivery, outcome, now)
    return delivery


def put_back(session: Session, claimed: ClaimedDelivery, due_at: datetime) -> None:
    """Give up the lease without an attempt; the delivery is due at `due_at`."""
    delivery = session.get(Delivery, claimed.id)
    if delivery is not None and _is_leased_to(claimed, delivery):
        _settle(delivery, DeliveryState.WAITING, due_at)


def release(session: Session, delivery_ids: Sequence[int], now: datetime) -> None:
    """Make deliveries due now, of those that wait for a later instant and belong to nobody."""
    session.execute(
        update(Delivery)
        .where(
            Delivery.id.in_(delivery_ids),
            Delivery.state == DeliveryState.WAITING,
            Delivery.lease_owner.is_(None),
            Delivery.next_attempt_at > now,
        )
        .values(next_attempt_at=now)
    )


def redeliver(session: Session, delivery_id: int, now: datetime) -> bool:
    """Put a delivered or exhausted delivery back, due now, at the start of its schedule.

    False, and nothing changes, if it still waits by itself or is not there.
    """
    delivery = session.get(Delivery, delivery_id)
    if delivery is None or delivery.state is DeliveryState.WAITING:
        return False
    delivery.schedule_step = 0
    _settle(delivery, DeliveryState.WAITING, now)
    session.flush()
    _note_due(session, delivery, What.DELIVERY_REDELIVERED, now)
    return True


def _is_leased_to(claimed: ClaimedDelivery, delivery: Delivery) -> bool:
    return (delivery.lease_owner, delivery.leased_until) == (claimed.owner, claimed.leased_until)


def _lease(
    delivery: Delivery, owner: str, now: datetime, leased_until: datetime
) -> ClaimedDelivery:
    delivery.lease_owner, delivery.leased_until = owner, leased_until
    return ClaimedDelivery(
        id=delivery.id,
        kind=delivery.kind,
        event=delivery.event,
        record_id=delivery.record_id,
        url=delivery.url,
        owner=owner,
        claimed_at=now,
        leased_until=leased_until,
        attempt=delivery.attempt_count + 1,
    )


def _add_attempt(
    session: Session, delivery: Delivery, outcome: Outcome, started_at: datetime, now: datetime
) -> None:
    delivery.attempt_count += 1
    session.add(
        Attempt(
            delivery_id=delivery.id,
            number=delivery.attempt_count,
            started_at=started_at,
            finished_at=now,
            status=outcome.status,
            error=outcome.error,
            reply_excerpt=outcome.reply_excerpt,
            method=outcome.method,
            fault=outcome.fault,
            duration_ms=outcome.duration_ms,
        )
    )


def _settle(delivery: Delivery, state: DeliveryState, next_at: datetime | None) -> None:
    delivery.state = state
    delivery.next_attempt_at = next_at
    delivery.lease_owner = delivery.leased_until = None


def _note_due(session: Session, delivery: Delivery, what: What, now: datetime) -> None:
    session.info.setdefault(ENQUEUED, []).append(delivery.id)
    note_at_commit(
        session,
        what,
        f"delivery {delivery.id}",
        at=now,
        trigger=f"{delivery.kind} {delivery.event}",
        record_id=delivery.record_id,
    )


def _note_attempt(session: Session, delivery: Delivery, outcome: Outcome, now: datetime) -> None:
    """What came of it, without the sentence: that names ports."""
    next_at = delivery.next_attempt_at
    note_at_commit(
        session,
        What.ATTEMPT_ENDED,
        f"delivery {delivery.id} attempt {delivery.attempt_count}",
        at=now,
        status=outcome.status,
        delivered=outcome.delivered,
        state=delivery.state,
        next_attempt_at=None if next_at is None else next_at.isoformat(timespec="microseconds"),
    )
