"""Whether the simulator lives and works, and its figures: /livez, /readyz, /metrics.

In: a request by a supervisor, a container's probe, Prometheus. Out: a line, JSON, or figures.
Nothing secret is told, so that no token is needed. It changes nothing.
"""

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from simulator.db import read_connection
from simulator.local_crm.models import ApiAccess
from simulator.services import services

health = APIBlueprint("health", __name__, abp_security=[])
_OK = "ok"


class Readiness(BaseModel):
    """Whether triggers can be taken in and sent; each is `ok` or a sentence."""

    ready: bool
    database: str = Field(description="Whether the Local CRM can be read.")
    dispatcher: str = Field(description="Whether it looks for what is due. Paused is ready.")


@health.get("/livez", responses={"200": {"content": {"text/plain": {}}}})
def livez() -> Response:
    """The process answers."""
    return Response("ok\n", mimetype="text/plain")


@health.get("/readyz", responses={"200": Readiness, "503": Readiness})
def readyz() -> Response:
    """The database can be read and the dispatcher ticks; 503 and a sentence if not."""
    database, dispatcher = _database(), _dispatcher()
    found = Readiness(ready=database == dispatcher == _OK, database=database, dispatcher=dispatcher)
    return Response(
        found.model_dump_json(), 200 if found.ready else 503, mimetype="application/json"
    )


@health.get("/metrics", responses={"200": {"content": {"text/plain": {}}}})
def metrics() -> Response:
    """Deliveries, attempts, CRM API calls, faults and records, for Prometheus."""
    return Response(services().metrics.text(), content_type=CONTENT_TYPE_LATEST)


def _database() -> str:
    try:
        with read_connection(services().engine) as reading:
            reading.execute(select(ApiAccess.id).limit(1))
    except SQLAlchemyError as error:
        reason = getattr(error, "orig", error)
        return f"The Local CRM database cannot be read ({reason})."
    return _OK


def _dispatcher() -> str:
    if services().scheduler.ticking:
        return _OK
    return "The dispatcher does not tick: nothing is sent by itself."
