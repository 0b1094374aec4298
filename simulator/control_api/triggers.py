"""The twelve boxes of Integration > CRM Triggers."""

from flask import Response
from pydantic import BaseModel, Field

from simulator.config_manager.boxes import read_boxes, save_boxes
from simulator.control_api.frame import control, reply
from simulator.control_api.problems import ProblemFound
from simulator.db import read_session
from simulator.services import services
from simulator.triggers.urls import BOXES, Event, Kind, check_configured_url


class Box(BaseModel):
    """One box; an empty URL fires nothing."""

    kind: Kind
    event: Event
    url: str


class BoxesOut(BaseModel):
    """All twelve boxes."""

    boxes: list[Box]


class BoxesWanted(BaseModel):
    """What to put into the boxes: a URL for all, then single ones over it."""

    all: str | None = Field(
        None,
        description="For every box; {kind} and {event} in it become customer, create and so on.",
        examples=["https://127.0.0.1:8443/triggers/{kind}/{event}"],
    )
    boxes: list[Box] = Field([], description="Single boxes; those not named stay as they are.")


@control.get("/triggers", responses={"200": BoxesOut})
def show_triggers() -> Response:
    """The URL in each box."""
    return _boxes_out()


@control.put("/triggers", responses={"200": BoxesOut})
def set_triggers(body: BoxesWanted) -> Response:
    """Put URLs into boxes; none is changed if one is wrong."""
    urls = {} if body.all is None else {box: _filled_in(body.all, *box) for box in BOXES}
    problems = _problems("all", urls)
    for number, box in enumerate(body.boxes):
        problems |= _problems(f"boxes.{number}.url", {(box.kind, box.event): box.url})
        urls[box.kind, box.event] = box.url
    if problems:
        raise ProblemFound(422, " ".join(problems.values()), fields=problems)
    with services().sessions.begin() as session:
        save_boxes(session, urls)
    return _boxes_out()


def _filled_in(url: str, kind: Kind, event: Event) -> str:
    return url.replace("{kind}", kind.lower()).replace("{event}", event.lower())


def _problems(field: str, urls: dict[tuple[Kind, Event], str]) -> dict[str, str]:
    for url in urls.values():
        if sentence := check_configured_url(url):
            return {field: sentence}
    return {}


def _boxes_out() -> Response:
    with read_session(services().engine) as session:
        saved = read_boxes(session)
    boxes = [Box(kind=kind, event=event, url=url) for (kind, event), url in saved.items()]
    return reply(BoxesOut(boxes=boxes))
