"""What is documented, seen or assumed about 8x8, as data."""

from typing import Any

from flask import Response
from pydantic import BaseModel, Field

from simulator.assumptions import ASSUMPTIONS, Assumption, Grade
from simulator.control_api.frame import control, reply


class GradeWanted(BaseModel):
    """Which grade to list; all without one."""

    grade: Grade | None = Field(None, description="D documented, C seen in clients, A assumed.")


class AssumptionOut(BaseModel):
    """One statement about 8x8."""

    id: str
    statement: str
    grade: Grade
    source: str
    setting: str | None


class AssumptionsOut(BaseModel):
    """Statements about 8x8."""

    assumptions: list[AssumptionOut]


@control.get("/assumptions", responses={"200": AssumptionsOut})
def list_assumptions(query: GradeWanted) -> Response:
    """What is documented, seen in clients, or assumed about 8x8."""
    wanted = [line for line in ASSUMPTIONS if query.grade in (None, line.grade)]
    return reply(AssumptionsOut(assumptions=[AssumptionOut(**_public(line)) for line in wanted]))


def _public(line: Assumption) -> dict[str, Any]:
    return {name: getattr(line, name) for name in AssumptionOut.model_fields}
