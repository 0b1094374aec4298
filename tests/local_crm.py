"""Short ways to act on a Local CRM in tests that are not about the pages."""

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from simulator.local_crm import changes
from simulator.local_crm.changes import Author
from simulator.local_crm.models import NUMBER_COLUMN, Origin
from simulator.services import Services
from simulator.triggers.models import Attempt, Delivery, TriggerBox
from simulator.triggers.urls import BOXES, Kind

AGENT = Author(Origin.AGENT, "ag1001")
CUSTOMER = {"firstname": "Zoë", "lastname": "O'Brien"}


def fill_boxes(session: Session, base: str) -> None:
    """All twelve boxes: base/customer/create and so on."""
    for kind, event in BOXES:
        url = f"{base}/{kind.lower()}/{event.lower()}"
        session.merge(TriggerBox(kind=kind, event=event, url=url))


def create(
    session: Session, kind: Kind, now: datetime, author: Author = AGENT, **values: Any
) -> str:
    """A new record's number; what is not given is filled in."""
    given = {**(CUSTOMER if kind is Kind.CUSTOMER else {"subject": "Help"}), **values}
    record = changes.create(session, kind, given, author, now)
    return str(getattr(record, NUMBER_COLUMN[kind]))


def one_delivery(services: Services, base: str) -> int:
    """Boxes filled, one customer created by an agent: the id of the delivery that is now due."""
    with services.sessions.begin() as session:
        fill_boxes(session, base)
        create(session, Kind.CUSTOMER, services.clock.now())
        return session.scalars(select(Delivery.id).order_by(Delivery.id.desc())).first() or 0


def delivery(services: Services, delivery_id: int) -> Delivery:
    """The delivery as it is now."""
    with services.sessions() as session:
        return session.get_one(Delivery, delivery_id)


def attempts(services: Services) -> list[Attempt]:
    """All attempts, the first first."""
    with services.sessions() as session:
        return list(session.scalars(select(Attempt).order_by(Attempt.id)))
