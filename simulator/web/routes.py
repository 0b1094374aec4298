"""The start page: what this is, and the path of a change from page to page.

In: nothing. Out: a page with the counts along the path, none of them of a whole long table.
It changes nothing.
"""

from flask import Blueprint, render_template
from sqlalchemy import func, select

from simulator.db import count_to_most, read_session
from simulator.local_crm.models import MODELS, NUMBER_COLUMN
from simulator.services import services
from simulator.triggers.models import Delivery, DeliveryState, TriggerBox
from simulator.triggers.urls import BOXES

blueprint = Blueprint(
    "web", __name__, template_folder="templates", static_folder="static", static_url_path="/static"
)


@blueprint.get("/")
def start() -> str:
    """What this is and where to begin."""
    with read_session(services().engine) as session:
        records = {
            kind: count_to_most(session, select(MODELS[kind].__table__.c[number]))
            for kind, number in NUMBER_COLUMN.items()
        }
        states = {
            state: count_to_most(session, select(Delivery.id).where(Delivery.state == state))
            for state in DeliveryState
        }
        filled = session.scalar(
            select(func.count()).select_from(TriggerBox).where(TriggerBox.url != "")
        )
    return render_template(
        "web/start.html", records=records, states=states, filled=filled, boxes=len(BOXES)
    )
