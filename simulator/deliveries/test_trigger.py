"""A test trigger: the URL of a box called for a record that exists, without a change.

In: a session, a box, a record's number, now. Out: a delivery like any other, marked as a test.
Steps do not commit; killed before the commit nothing happened.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session
from wtforms import Form, SelectField, StringField
from wtforms.validators import DataRequired

from simulator.local_crm import queries
from simulator.triggers import outbox
from simulator.triggers.models import Delivery, TriggerBox
from simulator.triggers.urls import BOXES, Event, Kind

Box = tuple[Kind, Event]


class TestTriggerForm(Form):
    """Which box, and for which record."""

    __test__ = False  # not a test case

    box = SelectField("Box", validate_choice=True)
    record_id = StringField(
        "Record",
        filters=[lambda text: text and text.strip()],
        validators=[DataRequired("Type the number of a record.")],
    )


class NoSuchRecord(Exception):
    """There is no record of that kind with that number; the message is a sentence."""


def filled_boxes(session: Session) -> Sequence[Box]:
    """The boxes that have a URL, in the order of the tab."""
    boxes = session.scalars(select(TriggerBox).where(TriggerBox.url != ""))
    filled = {(box.kind, box.event) for box in boxes}
    return [box for box in BOXES if box in filled]


def enqueue_test(
    session: Session, box: Box, record_id: str, now: datetime, continuation: str
) -> Delivery | None:
    """A delivery due at once, or None where the box is empty. Raises NoSuchRecord."""
    kind, event = box
    record = queries.get(session, kind, record_id)
    if record is None:
        raise NoSuchRecord(f"There is no {kind} {record_id}. Type the number of one that exists.")
    return outbox.enqueue(session, kind, event, record.ids, now, continuation, is_test=True)


def box_key(box: Box) -> str:
    """The box as a form's value, e.g. customer_create."""
    kind, event = box
    return f"{kind.lower()}_{event.lower()}"
