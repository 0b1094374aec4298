"""Whether each trigger URL can be reached and trusted from where the simulator runs."""

from flask import Response
from pydantic import BaseModel, Field
from sqlalchemy import select

from simulator.control_api.frame import control, reply
from simulator.db import read_session
from simulator.services import services
from simulator.triggers.models import TriggerBox
from simulator.triggers.reachability import check_servers


class FindingOut(BaseModel):
    """What is known of one server that boxes name."""

    server: str = Field(description="Host and port; the rest of a trigger URL may be secret.")
    reachable: bool
    sentence: str
    advice: str = Field(description="What to do; empty where all is well.")


class DoctorOut(BaseModel):
    """What hinders triggers from arriving."""

    well: bool = Field(description="Whether every server is reached and trusted.")
    boxes_filled: int = Field(description="How many of the twelve boxes have a URL.")
    findings: list[FindingOut]


@control.get("/doctor", responses={"200": DoctorOut})
def examine() -> Response:
    """Whether each trigger URL can be reached and trusted from where the simulator runs.

    A connection and a TLS handshake for each server, one after the other; no request is sent.
    """
    with read_session(services().engine) as session:
        urls = session.scalars(select(TriggerBox.url).where(TriggerBox.url != "")).all()
    found = check_servers(urls, services().sender.tls, services().settings.trigger_timeout_s)
    return reply(
        DoctorOut(
            well=bool(found) and all(finding.reachable for finding in found),
            boxes_filled=len(urls),
            findings=[FindingOut(**vars(finding)) for finding in found],
        )
    )
