"""What an agent does to records, and which deliveries came of it (T1, hop 1).

In: a session, the change, the author, now. Out: the record's number and its delivery, if one
was put into the outbox. Steps do not commit; killed before the commit nothing happened.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from simulator.local_crm import changes
from simulator.local_crm.changes import Author
from simulator.local_crm.models import NUMBER_COLUMN
from simulator.triggers.models import Delivery
from simulator.triggers.urls import Event, Kind


@dataclass(frozen=True)
class Done:
    """An action that was taken."""

    kind: Kind
    event: Event
    record_id: str
    delivery_id: int | None  # None: no trigger fired


def create(
    session: Session, kind: Kind, values: Mapping[str, Any], author: Author, now: datetime
) -> Done:
    """A new record. Raises ChangeRefused."""
    latest = _latest_delivery(session)
    record = changes.create(session, kind, values, author, now)
    record_id = str(getattr(record, NUMBER_COLUMN[kind]))
    return Done(kind, Event.CREATE, record_id, _delivery_after(session, latest))


def edit(
    session: Session,
    kind: Kind,
    record_id: str,
    values: Mapping[str, Any],
    author: Author,
    now: datetime,
) -> Done:
    """A record with new values. Raises ChangeRefused."""
    latest = _latest_delivery(session)
    changes.edit(session, kind, record_id, values, author, now)
    return Done(kind, Event.EDIT, record_id, _delivery_after(session, latest))


def delete(session: Session, kind: Kind, record_id: str, author: Author, now: datetime) -> Done:
    """A record and all that hangs on it removed. Raises RecordNotFound."""
    latest = _latest_delivery(session)
    changes.delete(session, kind, record_id, author, now)
    return Done(kind, Event.DELETE, record_id, _delivery_after(session, latest))


def _latest_delivery(session: Session) -> int:
    return session.scalar(select(func.max(Delivery.id))) or 0


def _delivery_after(session: Session, latest: int) -> int | None:
    # The session holds the write lock, so what is newer is this very action's.
    return session.scalar(select(func.max(Delivery.id)).where(Delivery.id > latest))
