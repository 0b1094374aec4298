"""The line after an action: what was done, which trigger fired, and where its delivery stands.

In: what `actions` says was done, kept in the browser's cookie until the next page. Out: lines with
their deliveries as they are when the page is made: seconds later they may be delivered already.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from flask import session, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session

from simulator.agent_console.acting import is_silent
from simulator.agent_console.actions import Done
from simulator.agent_console.screens import OF_KIND
from simulator.db import read_session
from simulator.local_crm.many import Deleted
from simulator.services import services
from simulator.triggers.models import Delivery
from simulator.triggers.urls import Event, Kind

_KEY = "notices"  # in the cookie
_DONE = {Event.CREATE: "created", Event.EDIT: "saved", Event.DELETE: "deleted"}


@dataclass(frozen=True)
class Line:
    """One line, ready for the page."""

    text: str
    category: str  # as Bootstrap names alerts
    deliveries: Sequence[Delivery] = ()
    all_deliveries: str = ""  # address of the list, where not all are linked
    box_to_fill: bool = False  # whether a link to CRM Triggers helps


def note(done: Done, *, again: bool = False) -> None:
    """Say on the next page what was done; again: it was done before, by the same form."""
    what = f"{OF_KIND[done.kind].noun.capitalize()} {done.record_id} was {_DONE[done.event]}"
    what += " already: the form was sent twice." if again else "."
    numbers = [] if done.delivery_id is None else [done.delivery_id]
    silence = ""
    if is_silent(done.kind, done.event):
        silence = f"{done.kind} {done.event} fires none."
    entry = _entry(what, done.kind, done.event, numbers, len(numbers), silence)
    session[_KEY] = [*session.get(_KEY, []), entry]


def note_deleted(done: Deleted, *, switch: str) -> None:
    """Say on the next page what was deleted; switch: the setting that lets it fire."""
    session[_KEY] = [*session.get(_KEY, []), _of_deletion(done, switch)]


def line_of_deletion(done: Deleted, *, switch: str) -> Line:
    """The same for the page that is being made."""
    return _line(_of_deletion(done, switch))


def take(db: Session | None = None) -> list[Line]:
    """The lines to show now; they are not shown again.

    db: where the page reads deliveries too: it must not say two things of one.
    """
    kept: list[dict[str, Any]] = session.pop(_KEY, [])
    return [_line(each, db) for each in kept]


def _of_deletion(done: Deleted, switch: str) -> dict[str, Any]:
    screen = OF_KIND[done.kind]
    noun = screen.noun if done.count == 1 else screen.plural.lower()
    verb = "was" if done.count == 1 else "were"
    silence = "" if getattr(services().settings, switch) else f"The switch {switch} is off."
    what = f"{done.count:,} {noun} {verb} deleted."
    return _entry(what, done.kind, Event.DELETE, list(done.deliveries), done.fired, silence)


def _entry(
    what: str, kind: Kind, event: Event, numbers: list[int], count: int, silence: str
) -> dict[str, Any]:
    """A line as the cookie keeps it. count: of all deliveries; numbers: of those to link to."""
    entry = {"what": what, "kind": kind, "event": event, "deliveries": numbers, "count": count}
    return entry | {"silence": silence}


def _line(kept: dict[str, Any], db: Session | None = None) -> Line:
    what, trigger = kept["what"], f"{kept['kind']} {kept['event']}"
    if kept["deliveries"]:
        with nullcontext(db) if db else read_session(services().engine) as read:
            found = select(Delivery).where(Delivery.id.in_(kept["deliveries"]))
            deliveries = read.scalars(found.order_by(Delivery.id)).all()
        count = kept["count"]
        fired = (
            f"Its trigger {trigger} fired:"
            if count == 1
            else f"{count:,} triggers {trigger} fired:"
        )
        listed = url_for("deliveries.show_list", kind=kept["kind"], event=kept["event"])
        more = listed if count > len(deliveries) else ""
        return Line(f"{what} {fired}", "success", deliveries, more)
    if kept["silence"]:
        return Line(f"{what} No trigger fired: {kept['silence']}", "info")
    line = f"{what} No trigger fired: no URL is set for {trigger} in"
    return Line(line, "warning", box_to_fill=True)
