"""The log of logical events over the control API, and its digest."""

from datetime import datetime

from flask import Response
from pydantic import BaseModel, Field

from simulator.control_api.frame import control, reply
from simulator.events import Plain, What
from simulator.services import services


class EventsWanted(BaseModel):
    """Which events to list; all without filters."""

    what: What | None = Field(None, description="What happened.")
    id: str | None = Field(None, description="About what, e.g. `Customer 10000000`.")
    limit: int = Field(1000, ge=1, le=20_000, description="The latest of them, at most.")


class DigestOut(BaseModel):
    """All that ever happened, in one number."""

    digest: str = Field(description="Equal for equal seeds, calls and a frozen clock.")
    count: int = Field(description="How many events there were.")
    chaos_seed: str = Field(description="Give it with --chaos-seed to have the same chance again.")


class EventOut(BaseModel):
    """Something that happened: no port, no duration, no order of arrival."""

    at: datetime
    what: What
    id: str
    about: dict[str, Plain]


class EventsOut(DigestOut):
    """Events by logical time, then by id."""

    events: list[EventOut]


@control.get("/events", responses={"200": EventsOut})
def list_events(query: EventsWanted) -> Response:
    """The latest logical events (at most 20,000), by logical time and id."""
    found = [
        EventOut(at=event.at, what=event.what, id=event.id, about=dict(event.about))
        for event in services().events.listed()
        if query.what in (None, event.what) and query.id in (None, event.id)
    ]
    return reply(EventsOut(**_digest().model_dump(), events=found[-query.limit :]))


@control.get("/digest", responses={"200": DigestOut})
def show_digest() -> Response:
    """The digest of all events that ever were."""
    return reply(_digest())


def _digest() -> DigestOut:
    log = services().events
    return DigestOut(digest=log.digest, count=log.count, chaos_seed=services().chance.seed)
