"""Pages of the outbox: all deliveries, one delivery with its attempts, and redelivery.

In: an operator's request. Out: a page; after a redelivery a redirect, and the dispatcher is
woken at commit. Killed before the commit: the delivery is as it was.
"""

from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import Select, select
from sqlalchemy.orm import selectinload
from werkzeug.wrappers import Response

from simulator.db import read_session
from simulator.local_crm import queries
from simulator.services import services
from simulator.triggers import outbox
from simulator.triggers.models import Delivery, DeliveryState
from simulator.triggers.urls import Kind
from simulator.web.pagination import load_page

blueprint = Blueprint("deliveries", __name__, url_prefix="/deliveries", template_folder="templates")
_RECORD_PATHS = {
    Kind.CUSTOMER: "customers",
    Kind.CASE: "cases",
    Kind.FOLLOWUP: "followups",
    Kind.TASK: "tasks",
}
_LARGEST_ID = 2**63 - 1  # SQLite knows no larger integer


@blueprint.get("")
def show_list() -> str:
    """Deliveries, newest first; `?state=`, `?kind=` and `?record_id=` narrow them down."""
    chosen = _chosen()
    with read_session(services().engine) as session:
        page = load_page(session, _newest_first(chosen))
    return render_template(
        "deliveries/list.html",
        page=page,
        chosen=chosen,
        states=list(DeliveryState),
        record_paths=_RECORD_PATHS,
    )


@blueprint.get("/<int:delivery_id>")
def show(delivery_id: int) -> str:
    """One delivery and its attempts."""
    with read_session(services().engine) as session:
        found = select(Delivery).options(selectinload(Delivery.attempts))
        delivery = session.scalar(found.where(Delivery.id == min(delivery_id, _LARGEST_ID)))
        if delivery is None:
            abort(404, f"There is no delivery {delivery_id}.")
        record = queries.get(session, delivery.kind, delivery.record_id)
        return render_template(
            "deliveries/delivery.html",
            delivery=delivery,
            record_is_there=record is not None,
            record_paths=_RECORD_PATHS,
            customer_path=_RECORD_PATHS[Kind.CUSTOMER],
        )


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


def _chosen() -> dict[str, str]:
    """The filters in the address that make sense; others count as not given."""
    known: dict[str, Any] = {"state": list(DeliveryState), "kind": list(Kind)}
    given = {name: request.args.get(name, "") for name in ("state", "kind", "record_id")}
    return {name: text for name, text in given.items() if text and text in known.get(name, [text])}


def _newest_first(chosen: dict[str, str]) -> Select[Any]:
    deliveries = select(Delivery).order_by(Delivery.id.desc())
    if "state" in chosen:
        deliveries = deliveries.where(Delivery.state == DeliveryState(chosen["state"]))
    if "kind" in chosen:
        deliveries = deliveries.where(Delivery.kind == Kind(chosen["kind"]))
    if "record_id" in chosen:
        deliveries = deliveries.where(Delivery.record_id == chosen["record_id"])
    return deliveries
