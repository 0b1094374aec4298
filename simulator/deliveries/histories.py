"""Pages of what has happened: logical events with their digest, and the journal of all calls.

In: an operator's request, the logs in memory. Out: a page, or a part of one that keeps it current,
the latest first. It changes nothing. Where a control token is set, it is asked for first.
"""

import re
from typing import Any

from flask import Blueprint, render_template, request, url_for

from simulator.deliveries.access import ask_for_token
from simulator.deliveries.reads import RECORD_PATHS
from simulator.events import What
from simulator.journal import ApiRequest
from simulator.objects import Kind
from simulator.services import services
from simulator.web.pagination import page_of

blueprint = Blueprint("histories", __name__, url_prefix="/deliveries")
blueprint.before_request(ask_for_token)
_DOORS = ("trigger", "crm_api")


@blueprint.get("/events")
def show_events() -> str:
    """Logical events; `?what=` narrows them down."""
    return _events("deliveries/events.html")


@blueprint.get("/events/live")
def show_live_events() -> str:
    """The changing part of the events."""
    return _events("deliveries/_events.html")


@blueprint.get("/journal")
def show_journal() -> str:
    """CRM API requests and triggers sent; `?door=` shows those of one way."""
    return _journal("deliveries/journal.html")


@blueprint.get("/journal/live")
def show_live_journal() -> str:
    """The changing part of the journal."""
    return _journal("deliveries/_journal.html")


def address_of(id: str) -> str | None:
    """The page of what an event is about: a delivery, a record, a fault."""
    delivery = re.fullmatch(r"delivery (\d+)(?: attempt \d+)?", id)
    if delivery:
        return url_for("deliveries.show", delivery_id=int(delivery[1]))
    kind, _, number = id.partition(" ")
    if kind == "fault":
        return url_for("instruments.show_faults")
    if kind in list(Kind) and number.isascii() and number.isdecimal():
        path = RECORD_PATHS[Kind(kind)]
        return url_for("agent_console.show_record", path=path, record_id=number)
    return None


def _events(template: str) -> str:
    given = request.args.get("what")
    chosen = What(given) if given in list(What) else None
    found = [event for event in services().events.listed() if chosen in (None, event.what)]
    return _page(
        template,
        found,
        {"what": chosen.value} if chosen else {},
        chosen=chosen,
        log=services().events,
        seed=services().chance.seed,
        whats=list(What),
    )


def _journal(template: str) -> str:
    given = request.args.get("door")
    chosen = given if given in _DOORS else None
    found = [
        entry
        for entry in services().journal.entries()
        if chosen in (None, "crm_api" if isinstance(entry.what, ApiRequest) else "trigger")
    ]
    return _page(template, found, {"door": chosen} if chosen else {}, chosen=chosen)


def _page(template: str, found: list[Any], arguments: dict[str, str], **about: Any) -> str:
    page = page_of(found[::-1])
    return render_template(template, page=page, arguments=arguments, address_of=address_of, **about)
