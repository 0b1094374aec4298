"""Waiting over the control API: the answer comes when it has come about, or says why not."""

from dataclasses import asdict
from datetime import datetime
from typing import Literal

from flask import Response
from pydantic import BaseModel, Field

from simulator import waiting
from simulator.control_api.frame import control, reply
from simulator.control_api.problems import MIMETYPE, Problem, ProblemFound
from simulator.services import services
from simulator.triggers.models import DeliveryState
from simulator.triggers.urls import Kind
from simulator.waiting import Delivered, Fetched, Idle, Verdict, Wish


class WaitWanted(BaseModel):
    """What to wait for."""

    until: Literal["idle", "delivered", "fetched"] = Field(
        description="idle: no delivery waits; delivered: a delivery, or all of a record, got its "
        "200; fetched: the record was read over the CRM API since it last changed."
    )
    kind: Kind | None = Field(None, description="Of the record.")
    record_id: str | None = Field(None, min_length=1, description="The record's number.")
    delivery_id: int | None = Field(
        None, ge=1, le=2**63 - 1, description="One delivery, instead of a record."
    )
    timeout_s: float = Field(10, ge=0, le=300, description="Real seconds to wait at most.")


class StandingOut(BaseModel):
    """A delivery that stands in the way."""

    id: int
    trigger: str
    record_id: str
    state: DeliveryState
    attempts: int
    under_way: bool
    next_attempt_at: datetime | None
    last_status: int | None
    last_error: str | None


class Reasons(BaseModel):
    """Why it has not come about; nothing if it has."""

    reasons: list[str] = Field(description="In sentences.")
    deliveries: list[StandingOut] = Field(description="The first of those not delivered.")
    faults: list[str] = Field(description="Faults in force.")


class WaitOut(Reasons):
    """It has come about."""

    met: Literal[True] = True


class NotMet(Problem, Reasons):
    """It has not come about in time; `detail` gives the reasons in one text."""

    met: Literal[False] = False


_NOT_MET = {
    "description": "It has not come about in time; the body says why not.",
    "content": {
        MIMETYPE: {
            "schema": {
                name: part
                for name, part in NotMet.model_json_schema(
                    mode="serialization", ref_template="#/components/schemas/{model}"
                ).items()
                if name != "$defs"  # they are known from the other replies
            }
        }
    },
}


@control.post("/wait", responses={"200": WaitOut, "504": _NOT_MET})
def wait(body: WaitWanted) -> Response:
    """Wait until it has come about; 504 and the reasons if it has not in time."""
    verdict = waiting.wait(services(), _wish(body), body.timeout_s)
    if verdict.met:
        return reply(WaitOut(reasons=[], deliveries=[], faults=[]))
    return _not_met(body, verdict)


def _wish(body: WaitWanted) -> Wish:
    """Raises ProblemFound for fields that do not go together."""
    if body.until == "idle":
        given = {"kind": body.kind, "record_id": body.record_id, "delivery_id": body.delivery_id}
        for name, value in given.items():
            if value is not None:
                raise ProblemFound(422, "Idle is about all deliveries. Leave this out.", name)
        return Idle()
    if body.delivery_id is not None:
        if body.until == "fetched":
            raise ProblemFound(422, "Records are fetched: give kind and record_id.", "delivery_id")
        if body.kind is not None or body.record_id is not None:
            raise ProblemFound(422, "Give a delivery or a record, not both.", "delivery_id")
        return Delivered(delivery_id=body.delivery_id)
    if body.kind is None:
        raise ProblemFound(422, "Give the record: its kind and its number.", "kind")
    if body.record_id is None:
        raise ProblemFound(422, "Give the record: its kind and its number.", "record_id")
    if body.until == "fetched":
        return Fetched(body.kind, body.record_id)
    return Delivered(kind=body.kind, record_id=body.record_id)


def _not_met(body: WaitWanted, verdict: Verdict) -> Response:
    begin = f"Not {body.until} within {body.timeout_s:g} s."
    problem = NotMet(
        title="Gateway Timeout",
        status=504,
        detail=" ".join([begin, *verdict.reasons]),
        reasons=list(verdict.reasons),
        deliveries=[StandingOut(**asdict(one)) for one in verdict.deliveries],
        faults=list(verdict.faults),
    )
    return Response(problem.model_dump_json(), status=504, mimetype=MIMETYPE)
