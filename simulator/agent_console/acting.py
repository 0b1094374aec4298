"""Who acts in this browser, and the switch to another agent.

In: the request's cookie. Out: the agent's id, and the Author of what is changed.
"""

from flask import abort, flash, redirect, request, session

from simulator.db import read_session
from simulator.local_crm.changes import Author
from simulator.local_crm.models import Agent, Origin
from simulator.services import services
from simulator.triggers.urls import Event, Kind
from simulator.web.answers import Page, way_back

_FIRST_AGENT = "ag1001"


def agent_id() -> str:
    """The agent who acts."""
    return str(session.get("agent_id", _FIRST_AGENT))


def author() -> Author:
    """As changes have it."""
    switch = services().settings.followup_edit_trigger
    return Author(Origin.AGENT, agent_id(), followup_edit_fires=switch)


def act_as() -> Page:
    """Choose the agent who acts from now on in this browser."""
    chosen = request.form.get("agent_id", "")
    with read_session(services().engine) as db:
        if db.get(Agent, chosen) is None:
            abort(400, f"There is no agent {chosen or '(empty)'}. Choose one from the list.")
    session["agent_id"] = chosen
    flash(f"You act as agent {chosen} now.", "success")
    return redirect(way_back("/agent/customers"))


def is_silent(kind: Kind, event: Event) -> bool:
    """Whether an event has no trigger whatever its box says (trigger.followup-edit-silent)."""
    edit_of_followup = (kind, event) == (Kind.FOLLOWUP, Event.EDIT)
    return edit_of_followup and not services().settings.followup_edit_trigger
