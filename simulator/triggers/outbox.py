"""The outbox of deliveries: enqueue (T1), claim what is due (T2), record what came of it (T3).

In: a session and `now`; steps never commit. Out: rows of `deliveries` and `attempts`.
Killed between claim and record: the lease runs out and the delivery is claimed again, so a
receiver may be called twice for one change (assumption trigger.may-repeat).
"""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

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
    _note_enqueued(session, delivery)
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
    leased_until: datetime


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
    leased_until = now + timedelta(seconds=lease_s)
    return [_lease(delivery, owner, leased_until) for delivery in due]


def record(
    session: Session,
    claimed: ClaimedDelivery,
    outcome: Outcome,
    policy: RetryPolicy,
    rng: random.Random,
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
    _add_attempt(session, delivery, outcome, now)
    if outcome.delivered:
        _settle(delivery, DeliveryState.DELIVERED, None)
    elif (delivery.lease_owner, delivery.leased_until) == (claimed.owner, claimed.leased_until):
        delivery.schedule_step += 1
        retry_at = next_attempt_at(delivery.schedule_step, now, policy, rng)
        state = DeliveryState.EXHAUSTED if retry_at is None else DeliveryState.WAITING
        _settle(delivery, state, retry_at)
    session.flush()
    return delivery


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
    _note_enqueued(session, delivery)
    return True


def _lease(delivery: Delivery, owner: str, leased_until: datetime) -> ClaimedDelivery:
    delivery.lease_owner, delivery.leased_until = owner, leased_until
    return ClaimedDelivery(
        id=delivery.id,
        kind=delivery.kind,
        event=delivery.event,
        record_id=delivery.record_id,
        url=delivery.url,
        owner=owner,
        leased_until=leased_until,
    )


def _add_attempt(session: Session, delivery: Delivery, outcome: Outcome, now: datetime) -> None:
    delivery.attempt_count += 1
    session.add(
        Attempt(
            delivery_id=delivery.id,
            number=delivery.attempt_count,
            started_at=now - timedelta(milliseconds=outcome.duration_ms),
            finished_at=now,
            status=outcome.status,
            error=outcome.error,
            reply_excerpt=outcome.reply_excerpt,
            duration_ms=outcome.duration_ms,
        )
    )


def _settle(delivery: Delivery, state: DeliveryState, next_at: datetime | None) -> None:
    delivery.state = state
    delivery.next_attempt_at = next_at
    delivery.lease_owner = delivery.leased_until = None


def _note_enqueued(session: Session, delivery: Delivery) -> None:
    session.info.setdefault(ENQUEUED, []).append(delivery.id)
