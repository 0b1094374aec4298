"""Refusals of the control API: JSON problems (RFC 9457) that name the field.

In: a ProblemFound, a body that breaks its model, an HTTP error. Out: application/problem+json.

    ProblemFound(status, detail, field)   a sentence for the caller, and what it is about;
                                          `fields` for a sentence about each of several
"""

from collections.abc import Mapping
from typing import Any

from flask import Response
from pydantic import BaseModel, Field, ValidationError

MIMETYPE = "application/problem+json"


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str = Field(description="Name of the field, dots between levels; empty for the whole.")
    message: str = Field(description="A sentence: what is wrong and what is accepted.")


class Problem(BaseModel):
    """A refused call (RFC 9457); `type` is about:blank, so `title` says what the status says."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = Field(description="A sentence: what was wrong, and what to do.")
    errors: list[FieldProblem] = []


_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    500: "Internal Server Error",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class ProblemFound(Exception):
    """The call is refused: `detail` is a sentence, `field` what it is about, if one field is."""

    def __init__(
        self,
        status: int,
        detail: str,
        field: str | None = None,
        *,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail
        self.fields = dict(fields or {}) if field is None else {field: detail}


def answer_problem(found: ProblemFound) -> Response:
    """The reply to a refused call."""
    errors = [FieldProblem(field=name, message=said) for name, said in found.fields.items()]
    return problem_response(found.status, found.detail, errors)


def answer_invalid(error: ValidationError) -> Response:
    """The reply to parameters or a body that do not fit their model: 422, each field named."""
    errors = [_field_problem(detail) for detail in error.errors(include_url=False)]
    named = "; ".join(f"{one.field}: {one.message}" if one.field else one.message for one in errors)
    return problem_response(422, f"The call cannot be understood. {named}", errors)


def problem_response(status: int, detail: str, errors: list[FieldProblem]) -> Response:
    """A reply in the media type of problems."""
    problem = Problem(
        title=_TITLES.get(status, "Error"), status=status, detail=detail, errors=errors
    )
    return Response(problem.model_dump_json(), status=status, mimetype=MIMETYPE)


def _field_problem(detail: Any) -> FieldProblem:
    message = str(detail["msg"]).removeprefix("Value error, ")
    return FieldProblem(field=".".join(str(part) for part in detail["loc"]), message=message)
