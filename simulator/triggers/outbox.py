"""The outbox of deliveries: enqueue (T1), claim what is due (T2), record what came of it (T3).

In: a session and `now`; steps never commit. Out: rows of `deliveries` and `attempts`.
Killed between claim and record: the lease runs out and the delivery is claimed again, so a
receiver may be called twice for one change (assumption trigger.may-repeat).
"""

from datetime import datetime

from sqlalchemy.orm import Session

from simulator.triggers.models import Delivery, DeliveryState, TriggerBox
from simulator.triggers.urls import Event, Kind, RecordIds, trigger_url

ENQUEUED = "simulator.triggers.enqueued"  # set in session.info: wake the dispatcher after commit


def enqueue(
    session: Session, kind: Kind, event: Event, ids: RecordIds, now: datetime
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
        url=trigger_url(box.url, ids),
        created_at=now,
        state=DeliveryState.WAITING,
        attempt_count=0,
        schedule_step=0,
        next_attempt_at=now,
    )
    session.add(delivery)
    session.flush()
    session.info[ENQUEUED] = True
    return delivery
