"""The trigger URLs as a Flask view: the readable form of what wsgi_front.py does quicker.

In: GET or POST on /8x8/SECRET or /8x8/SECRET/kind/event with a trigger's query string. Out: what
`Ingest` answers. It takes all trigger URLs when the front is off, and the oddly written ones when
it is on.
"""

from typing import Any

from flask import Blueprint, Response, current_app, request

from receiver.ingest import PATH, Call, Ingest, Reply

blueprint = Blueprint("trigger", __name__)

_ROUTE: dict[str, Any] = {"methods": ["GET", "POST"], "provide_automatic_options": False}


def respond(reply: Reply) -> Response:
    """A reply as Flask's response."""
    return Response(
        f"{reply.sentence}\n", reply.status, headers=reply.headers, mimetype="text/plain"
    )


# Never a redirect to the other form of the path: 8x8 takes that for a failure.
@blueprint.route(f"{PATH}/<secret>", strict_slashes=False, **_ROUTE)
@blueprint.route(f"{PATH}/<secret>/<path:box>", **_ROUTE)
def receive(secret: str, box: str = "") -> Response:
    """Store one trigger."""
    ingest: Ingest = current_app.extensions["crm_receiver"]
    call = Call(
        method=request.method,
        secret=secret,
        box=box,
        query=request.query_string,
        body_length=request.content_length or 0,
        client=request.remote_addr,
    )
    return respond(ingest.receive(call))
