"""What all routes of the control API share: the blueprint, who may call, and how it refuses.

In: a request under /_sim/. Out: JSON, or a JSON problem. A browser page from elsewhere is
refused, since everything here may be called without a form's token.

Each file beside this one adds its routes to `control`; `app.py` registers it.
"""

import hmac
from typing import Any
from urllib.parse import urlsplit

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI
from pydantic import BaseModel, model_validator
from werkzeug.exceptions import HTTPException

from simulator.control_api.problems import (
    MIMETYPE,
    Problem,
    ProblemFound,
    answer_invalid,
    answer_problem,
    problem_response,
)
from simulator.services import services
from simulator.web import csrf

PREFIX = "/_sim"
_SCHEMA = {"$ref": f"#/components/schemas/{Problem.__name__}"}


class Body(BaseModel):
    """A call's body; a call without one says nothing in it."""

    @model_validator(mode="before")
    @classmethod
    def _none_is_empty(cls, given: Any) -> Any:
        return {} if given is None else given


def refusal(description: str) -> dict[str, Any]:
    """A reply of a route that is a problem, for its `responses`."""
    return {"description": description, "content": {MIMETYPE: {"schema": _SCHEMA}}}


_ANY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE"]

control = APIBlueprint(
    "control_api",
    __name__,
    url_prefix=PREFIX,
    abp_responses={
        "401": refusal("The token is missing or wrong."),
        "422": refusal("A field is wrong; `errors` names it."),
    },
    abp_security=[{"token": []}],
    operation_id_callback=lambda *, name, **_: name.rpartition(".")[2],
)
csrf.exempt(control)  # a program calls, without a cookie; see _refuse_strangers


def new_app(name: str, **options: Any) -> OpenAPI:
    """A Flask app that can describe the control API."""
    return OpenAPI(
        name,
        info=Info(title="8x8 CRM trigger simulator: control API", version="1"),
        security_schemes={"token": {"type": "http", "scheme": "bearer"}},
        doc_ui=False,  # its pages load scripts from elsewhere
        validation_error_model=Problem,
        validation_error_callback=answer_invalid,
        **options,
    )


def register(app: OpenAPI) -> None:
    """Add the control API to the app, its description and an answer to unknown addresses."""
    app.register_api(control)
    app.add_url_rule(f"{PREFIX}/openapi.json", "control_api_description", lambda: app.api_doc)
    app.add_url_rule(
        f"{PREFIX}/<path:rest>", "control_api_unknown", _answer_unknown, methods=_ANY_METHOD
    )
    csrf.exempt(_answer_unknown)


def reply(model: BaseModel, status: int = 200) -> Response:
    """A JSON reply."""
    return Response(model.model_dump_json(), status=status, mimetype="application/json")


@control.before_request
def _refuse_strangers() -> None:
    token = services().settings.control_token
    if token is not None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), token.get_secret_value().encode()):
            raise ProblemFound(
                401,
                "The control API needs a token: send it as `Authorization: Bearer ...`. "
                "It is the one in CRM_SIM_CONTROL_TOKEN.",
            )
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise ProblemFound(403, f"A page of {origin} may not call the control API.")
    if request.content_length and not request.is_json:
        raise ProblemFound(415, "Send the body as JSON, with `Content-Type: application/json`.")
    if request.content_length and request.get_json(silent=True) is None:
        raise ProblemFound(400, "The body is not JSON that can be read.")


@control.errorhandler(ProblemFound)
def _answer_problem(found: ProblemFound) -> Response:
    return answer_problem(found)


# By their numbers too, since the app has a page for each of these.
@control.errorhandler(400)
@control.errorhandler(403)
@control.errorhandler(404)
@control.errorhandler(405)
@control.errorhandler(413)
@control.errorhandler(500)
@control.errorhandler(HTTPException)
def _answer_http_error(error: HTTPException) -> Response:
    if error.response is not None:  # a validation problem, ready to be sent
        return error.response  # type: ignore[return-value]
    return problem_response(error.code or 500, error.description or "The call failed.", [])


def _answer_unknown(rest: str) -> Response:
    return problem_response(
        404,
        f"There is no {request.method} {PREFIX}/{rest}. {PREFIX}/openapi.json lists what there is.",
        [],
    )
