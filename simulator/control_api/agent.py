"""What agents do in the Agent Console: create, edit, delete. This door alone fires triggers."""

from flask import Response
from pydantic import BaseModel, Field

from simulator.agent_console import actions
from simulator.agent_console.actions import Done
from simulator.control_api.frame import control, refusal, reply
from simulator.control_api.kinds import OfKind, OneRecord, Values, as_problem, read_values
from simulator.control_api.problems import ProblemFound
from simulator.db import read_session
from simulator.local_crm.changes import Author, ChangeRefused
from simulator.local_crm.models import Agent, Origin
from simulator.services import services
from simulator.triggers.urls import Event, Kind

FIRST_AGENT = "ag1001"
_GONE = refusal("There is no such record (any more).")


class Acting(BaseModel):
    """Who acts."""

    agent: str = Field(FIRST_AGENT, max_length=64, description="The id of an agent.")


class ActionTaken(BaseModel):
    """An agent's action, and the delivery that came of it."""

    kind: Kind
    event: Event
    record_id: str
    delivery_id: int | None = Field(description="None where no trigger fired.")


@control.post("/agent/<kind>", responses={"201": ActionTaken})
def agent_creates(path: OfKind, query: Acting, body: Values) -> Response:
    """Create a record as an agent does; its parent's number is among the values."""
    kind = path.kind.kind
    values, author = read_values(kind, body.values), _author(query)
    try:
        with services().sessions.begin() as session:
            done = actions.create(session, kind, values, author, services().clock.now())
    except ChangeRefused as refused:
        raise as_problem(refused) from refused
    return reply(_taken(done), 201)


@control.patch("/agent/<kind>/<record_id>", responses={"200": ActionTaken, "404": _GONE})
def agent_edits(path: OneRecord, query: Acting, body: Values) -> Response:
    """Edit a record as an agent does; what is not given stays."""
    kind = path.kind.kind
    values, author = read_values(kind, body.values), _author(query)
    try:
        with services().sessions.begin() as session:
            now = services().clock.now()
            done = actions.edit(session, kind, path.record_id, values, author, now)
    except ChangeRefused as refused:
        raise as_problem(refused) from refused
    return reply(_taken(done))


@control.delete("/agent/<kind>/<record_id>", responses={"200": ActionTaken, "404": _GONE})
def agent_deletes(path: OneRecord, query: Acting) -> Response:
    """Delete a record, and what hangs on it, as an agent does."""
    author = _author(query)
    try:
        with services().sessions.begin() as session:
            now = services().clock.now()
            done = actions.delete(session, path.kind.kind, path.record_id, author, now)
    except ChangeRefused as refused:
        raise as_problem(refused) from refused
    return reply(_taken(done))


def _author(acting: Acting) -> Author:
    with read_session(services().engine) as session:
        if session.get(Agent, acting.agent) is None:
            raise ProblemFound(422, f"There is no agent {acting.agent}.", "agent")
    switch = services().settings.followup_edit_trigger
    return Author(Origin.AGENT, acting.agent, followup_edit_fires=switch)


def _taken(done: Done) -> ActionTaken:
    return ActionTaken(
        kind=done.kind, event=done.event, record_id=done.record_id, delivery_id=done.delivery_id
    )
