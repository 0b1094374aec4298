"""Bulk creation of customers, as Configuration Manager offers it: silent (trigger.agent-only).

In: a session, how many, a source of chance's seed, now. Out: believable customers with origin
bulk. The step does not commit; killed before the commit nothing happened.
"""

from datetime import datetime

from sqlalchemy.orm import Session

from simulator.local_crm.changes import Author
from simulator.local_crm.fake_data import FakeData
from simulator.local_crm.models import Origin
from simulator.triggers.urls import Kind

AUTHOR = Author(Origin.BULK, "bulk creation")


def source(customers: int, seed: int, now: datetime) -> FakeData:
    """Customers to come, the same for the same seed, for `bulk_create` chunk by chunk."""
    return FakeData(customers, seed, now, AUTHOR)


def bulk_create(session: Session, customers: FakeData) -> int:
    """How many customers were created: the next chunk of the source."""
    return customers.add_chunk(session, customers_only=True)[Kind.CUSTOMER]
