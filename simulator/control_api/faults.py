"""Faults over the control API: add, list, clear, and what faults there are."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from flask import Response
from pydantic import BaseModel, Field

from simulator.control_api.frame import control, refusal, reply
from simulator.control_api.problems import ProblemFound
from simulator.faults.describe import effect, parameters
from simulator.faults.models import FAULTS, AnyFault, Fault, NewFault, Where
from simulator.faults.registry import FaultNotFound, Listed, TooManyFaults
from simulator.services import services

_NOT_FOUND = refusal("There is no such fault.")
_TOO_MANY = refusal("Too many faults are in force.")


class FaultWanted(BaseModel):
    """One fault."""

    fault_id: int = Field(description="Number of the fault.")


class FaultOut(BaseModel):
    """A fault that was added, and how it stands."""

    id: int
    where: Where
    fault: AnyFault
    added_at: datetime
    ends_at: datetime | None
    counted: int = Field(description="Calls that it could have hit.")
    fired: int = Field(description="Calls that it has hit.")
    in_force: bool = Field(description="Whether it can still hit a call.")


class FaultsOut(BaseModel):
    """Faults in the order in which they were added; of those that are over, the latest."""

    faults: list[FaultOut]


class ClearedOut(BaseModel):
    """What clearing has done."""

    cleared: int = Field(description="How many faults were in force.")


class ParameterOut(BaseModel):
    """A parameter of a fault, described as in JSON Schema."""

    name: str
    default: Any
    description: str
    accepts: dict[str, Any]


class FaultKindOut(BaseModel):
    """A fault that can be added."""

    fault: str
    where: Where
    effect: str
    parameters: list[ParameterOut]


class FaultKindsOut(BaseModel):
    """All faults that can be added."""

    kinds: list[FaultKindOut]


@control.post("/faults", responses={"201": FaultOut, "409": _TOO_MANY})
def add_fault(body: NewFault) -> Response:
    """Let something break. It stays so until its times or seconds are over or it is cleared."""
    try:
        return reply(_out(services().faults.add(body.root)), 201)
    except TooManyFaults as error:
        raise ProblemFound(409, str(error)) from error


@control.get("/faults", responses={"200": FaultsOut})
def list_faults() -> Response:
    """The faults that were added, with how often each was hit."""
    return reply(FaultsOut(faults=[_out(one) for one in services().faults.all()]))


@control.delete("/faults", responses={"200": ClearedOut})
def clear_faults() -> Response:
    """Take all faults away. What they hold is let go."""
    return reply(ClearedOut(cleared=services().faults.clear_all()))


@control.get("/faults/kinds", responses={"200": FaultKindsOut})
def list_fault_kinds() -> Response:
    """Which faults there are, with their parameters."""
    return reply(FaultKindsOut(kinds=[_kind(fault) for fault in FAULTS.values()]))


@control.get("/faults/<int:fault_id>", responses={"200": FaultOut, "404": _NOT_FOUND})
def get_fault(path: FaultWanted) -> Response:
    """One fault, with how often it was hit."""
    try:
        return reply(_out(services().faults.get(path.fault_id)))
    except FaultNotFound as error:
        raise ProblemFound(404, str(error), "fault_id") from error


@control.delete(
    "/faults/<int:fault_id>",
    responses={"200": ClearedOut, "404": _NOT_FOUND},
)
def clear_fault(path: FaultWanted) -> Response:
    """Take one fault away. What it holds is let go."""
    faults = services().faults
    try:
        was = faults.get(path.fault_id)
        faults.clear(path.fault_id)
    except FaultNotFound as error:
        raise ProblemFound(404, str(error), "fault_id") from error
    return reply(ClearedOut(cleared=int(was.in_force)))


def _out(listed: Listed) -> FaultOut:
    return FaultOut.model_validate({**vars(listed), "where": listed.fault.where})


def _kind(fault: type[Fault]) -> FaultKindOut:
    return FaultKindOut(
        fault=fault.model_fields["fault"].default,
        where=fault.where,
        effect=effect(fault),
        parameters=[ParameterOut(**asdict(parameter)) for parameter in parameters(fault)],
    )
