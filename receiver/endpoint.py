"""The trigger URLs: authenticate, parse, store, commit, 200 (hop 5).

In: GET or POST on /8x8/SECRET or /8x8/SECRET/kind/event with a trigger's query string. Out: 200
after the commit and never before; 400 with a sentence for what is no trigger, 404 for a wrong
secret, 405 for other methods, 503 while the store cannot be written. Killed before the commit:
no 200, so 8x8 calls again; after it: the trigger is kept, and a second call is harmless.
"""

import hmac
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import structlog
from flask import Blueprint, Response, current_app, request
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from receiver import failpoints, inbox
from receiver.clock import Clock
from receiver.trigger import BadTrigger, parse

log = structlog.get_logger()
blueprint = Blueprint("trigger", __name__)

PATH = "/8x8"


@dataclass(frozen=True)
class Ingest:
    """What the endpoint needs; kept in the app's extensions."""

    sessions: sessionmaker[Session]
    clock: Clock
    secret: str


def answer(status: int, sentence: str, **headers: str) -> Response:
    """A plain-text answer."""
    return Response(f"{sentence}\n", status, headers=headers, mimetype="text/plain")


def wrong_method() -> Response:
    """The answer to anything but GET and POST."""
    return answer(405, "A trigger is sent with GET or POST.", Allow="GET, POST")


_ROUTE: dict[str, Any] = {"methods": ["GET", "POST"], "provide_automatic_options": False}


# Never a redirect to the other form of the path: 8x8 takes that for a failure.
@blueprint.route(f"{PATH}/<secret>", strict_slashes=False, **_ROUTE)
@blueprint.route(f"{PATH}/<secret>/<path:box>", **_ROUTE)
def receive(secret: str, box: str = "") -> Response:
    """Store one trigger."""
    ingest: Ingest = current_app.extensions["crm_receiver"]
    if not hmac.compare_digest(secret.encode(), ingest.secret.encode()):
        return answer(404, "There is nothing here.")
    if request.method not in ("GET", "POST"):  # HEAD comes with GET
        return wrong_method()
    now = ingest.clock.now()
    try:
        trigger = parse(box, request.query_string)
    except BadTrigger as error:
        _reject(ingest, box, str(error))
        return answer(400, str(error))
    try:
        with ingest.sessions.begin() as session:
            row_id = inbox.store(session, trigger, now)
            failpoints.reach("T4-before")
        failpoints.reach("T4-after")
    except SQLAlchemyError as error:
        log.error("store unavailable", reason=type(error).__name__)
        return answer(503, "The trigger cannot be stored now. Call again.", **{"Retry-After": "1"})
    if trigger.in_wrong_box:
        log.warning("wrong box", trigger=row_id, url=str(trigger.url_kind), record=str(trigger.key))
    log.info("stored", trigger=row_id, record=str(trigger.key), trigger_event=trigger.event)
    return answer(200, "Stored.")


def _reject(ingest: Ingest, box: str, reason: str) -> None:
    """Keep what was no trigger, if the store lets us; the answer is 400 either way.

    The line is kept as it came, percent-encoded (PostgreSQL takes no NUL), without the secret,
    which stands in it again where a URL was pasted twice.
    """
    line = f"{quote(box)}?{request.query_string.decode('latin-1')}"
    line = line.replace(ingest.secret, "SECRET")
    try:
        with ingest.sessions.begin() as session:
            inbox.reject(session, request.method, line, reason, ingest.clock.now())
    except SQLAlchemyError as error:
        log.error("reject not kept", reason=type(error).__name__)
    log.warning("rejected", reason=reason)
