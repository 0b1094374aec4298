"""Pages of the outbox: all deliveries, one delivery with its attempts, redelivery, test triggers.

In: an operator's request. Out: a page, a part of one that keeps it current, or a redirect; what
makes a delivery due wakes the dispatcher at commit. Killed before the commit: all is as it was.
"""

from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import selectinload
from werkzeug.wrappers import Response

from simulator.db import read_session
from simulator.deliveries.access import may_control
from simulator.deliveries.forms import AdvanceForm
from simulator.deliveries.instruments import standing
from simulator.deliveries.reads import (
    RECORD_PATHS,
    Filters,
    count_states,
    read_page,
    when_next,
)
from simulator.deliveries.test_trigger import (
    Box,
    NoSuchRecord,
    TestTriggerForm,
    box_key,
    enqueue_test,
    filled_boxes,
)
from simulator.local_crm import queries
from simulator.services import services
from simulator.triggers import outbox
from simulator.triggers.models import Delivery
from simulator.triggers.urls import Event, Kind

blueprint = Blueprint("deliveries", __name__, url_prefix="/deliveries", template_folder="templates")
_LARGEST_ID = 2**63 - 1  # SQLite knows no larger integer
Page = str | tuple[str, int] | Response


@blueprint.get("")
def show_list() -> str:
    """Deliveries, newest first; `?state=`, `?kind=`, `?event=`, `?record_id=` narrow them down."""
    panel = standing() | {"form": AdvanceForm()} if may_control() else {}
    return _list("deliveries/list.html", may_control=may_control(), **panel)


@blueprint.get("/live")
def show_live() -> str:
    """The changing part of the list."""
    return _list("deliveries/_list.html")


@blueprint.get("/<int:delivery_id>")
def show(delivery_id: int) -> str:
    """One delivery and its attempts."""
    return _delivery("deliveries/delivery.html", delivery_id)


@blueprint.get("/<int:delivery_id>/live")
def show_live_delivery(delivery_id: int) -> str:
    """The changing part of a delivery's page."""
    return _delivery("deliveries/_delivery.html", delivery_id)


@blueprint.post("/<int:delivery_id>/redeliver")
def redeliver(delivery_id: int) -> Response:
    """Send a delivery again, from the start of its retry schedule."""
    wanted = min(delivery_id, _LARGEST_ID)
    with services().sessions.begin() as session:
        if session.get(Delivery, wanted) is None:
            abort(404, f"There is no delivery {delivery_id}.")
        is_due = outbox.redeliver(session, wanted, services().clock.now())
    if is_due:
        flash(f"Delivery {delivery_id} is due again now.", "success")
    else:
        flash(f"Delivery {delivery_id} still waits for its next attempt by itself.", "info")
    return redirect(url_for(".show", delivery_id=delivery_id))


@blueprint.get("/test")
def show_test() -> Page:
    """Choose a box and a record; `?kind=` and `?record_id=` fill the form."""
    form = _test_form(None)
    form.record_id.data = request.args.get("record_id", "")
    form.box.data = f"{request.args.get('kind', '').lower()}_edit"
    return render_template("deliveries/test.html", form=form)


@blueprint.post("/test")
def send_test() -> Page:
    """Call a box's URL for a record that exists."""
    form = _test_form(request.form)
    if not form.validate():
        return render_template("deliveries/test.html", form=form), 422
    boxes = {box_key((kind, event)): (kind, event) for kind in Kind for event in Event}
    box, record_id = boxes[str(form.box.data)], str(form.record_id.data)
    settings, now = services().settings, services().clock.now()
    try:
        with services().sessions.begin() as session:
            made = enqueue_test(session, box, record_id, now, settings.trigger_query_continuation)
    except NoSuchRecord as error:
        form.record_id.errors = [str(error)]
        return render_template("deliveries/test.html", form=form), 422
    if made is None:
        form.box.errors = ["This box has no URL any more."]
        return render_template("deliveries/test.html", form=form), 422
    flash(f"Delivery {made.id} is due now.", "success")
    return redirect(url_for(".show", delivery_id=made.id))


def _list(template: str, **panel: Any) -> str:
    chosen = Filters.from_address(request.args)
    with read_session(services().engine) as session:
        page = read_page(session, chosen, request.args)
        counts = count_states(session)
    return render_template(
        template,
        page=page,
        counts=counts,
        chosen=chosen,
        kinds=list(Kind),
        events=list(Event),
        record_paths=RECORD_PATHS,
        when_next=when_next,
        **{"now": services().clock.now()} | panel,
    )


def _delivery(template: str, delivery_id: int) -> str:
    with read_session(services().engine) as session:
        found = select(Delivery).options(selectinload(Delivery.attempts))
        delivery = session.scalar(found.where(Delivery.id == min(delivery_id, _LARGEST_ID)))
        if delivery is None:
            abort(404, f"There is no delivery {delivery_id}.")
        record = queries.get(session, delivery.kind, delivery.record_id)
        return render_template(
            template,
            delivery=delivery,
            record_is_there=record is not None,
            record_paths=RECORD_PATHS,
            customer_path=RECORD_PATHS[Kind.CUSTOMER],
            method=services().settings.trigger_method,
            when_next=when_next,
            now=services().clock.now(),
        )


def _test_form(posted: Any) -> TestTriggerForm:
    with read_session(services().engine) as session:
        boxes = filled_boxes(session)
    form = TestTriggerForm(formdata=posted)
    form.box.choices = [(box_key(box), _box_label(box)) for box in boxes]
    return form


def _box_label(box: Box) -> str:
    kind, event = box
    return f"{kind.value} {event.value}"
