"""The twelve boxes of Integration > CRM Triggers (trigger.boxes).

In: a session, and for a save the URLs by kind and event. Out: the URLs as saved. Steps do not
commit; killed before the commit the boxes are as they were.
"""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from simulator.events import What, note_at_commit
from simulator.triggers.models import TriggerBox
from simulator.triggers.urls import BOXES, Event, Kind, RecordIds

Urls = dict[tuple[Kind, Event], str]


def read_boxes(session: Session) -> Urls:
    """The URL in each box; empty where there is none."""
    saved = {(box.kind, box.event): box.url for box in session.scalars(select(TriggerBox))}
    return {box: saved.get(box, "") for box in BOXES}


def save_boxes(session: Session, urls: Mapping[tuple[Kind, Event], str]) -> None:
    """Put these URLs into their boxes; an empty one empties its box."""
    for (kind, event), url in urls.items():
        session.merge(TriggerBox(kind=kind, event=event, url=url))
    # Which boxes, not the URLs: they name ports, and may hold secrets.
    filled = ", ".join(f"{kind} {event}" for (kind, event), url in urls.items() if url)
    note_at_commit(session, What.BOXES_SAVED, "boxes", filled=filled or "none")


EXAMPLE_IDS: dict[Kind, RecordIds] = {
    Kind.CUSTOMER: RecordIds("aaa"),
    Kind.CASE: RecordIds("aaa", case_id="ccc"),
    Kind.FOLLOWUP: RecordIds("aaa", case_id="ccc", followup_id="fff"),
    Kind.TASK: RecordIds("aaa", task_id="ttt"),
}
