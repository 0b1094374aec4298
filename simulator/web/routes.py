"""The start page: what this is, and the path of a change from page to page.

In: nothing. Out: a page with the counts along the path. It changes nothing.
"""

from flask import Blueprint, render_template
from sqlalchemy import func, select

from simulator.db import read_session
from simulator.local_crm.models import MODELS
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
            kind: session.scalar(select(func.count()).select_from(model))
            for kind, model in MODELS.items()
        }
        states = dict.fromkeys(DeliveryState, 0)
        counted = select(Delivery.state, func.count()).group_by(Delivery.state)
        states.update((state, count) for state, count in session.execute(counted))
        filled = session.scalar(
            select(func.count()).select_from(TriggerBox).where(TriggerBox.url != "")
        )
    return render_template(
        "web/start.html", records=records, states=states, filled=filled, boxes=len(BOXES)
    )
