"""The trigger URLs without Flask, which is most of what such a request costs.

In: every request. Out: for a trigger URL what `Ingest` answers, as the Flask view would; all
other paths, and trigger URLs that are oddly written, go to Flask, a bounded number at a time, so
that slow pages never keep triggers out.
"""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

import structlog

from receiver.ingest import BUSY, FAILED, PATH, Call, Ingest, Reply

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = structlog.get_logger()

_STATUS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_PREFIX = f"{PATH}/"


class WsgiFront:
    """A WSGI application in front of another."""

    def __init__(self, ingest: Ingest, behind: "WSGIApplication", at_most_behind: int) -> None:
        self._receive: Callable[[Call], Reply] = ingest.receive
        self._behind = behind
        self._places = BoundedSemaphore(at_most_behind)

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request."""
        path: str = environ["PATH_INFO"]
        secret, _, box = path[len(_PREFIX) :].partition("/")
        if not path.startswith(_PREFIX) or not secret or _is_odd(box) or not path.isascii():
            return self._ask_behind(environ, start_response)
        call = Call(
            method=environ["REQUEST_METHOD"],
            secret=secret,
            box=box,
            query=environ["QUERY_STRING"].encode("latin-1"),
            body_length=_length(environ.get("CONTENT_LENGTH")),
            client=environ.get("REMOTE_ADDR"),
        )
        try:
            reply = self._receive(call)
        except Exception as error:
            log.error("failed", error=type(error).__name__, exc_info=error)
            reply = FAILED
        return _send(reply, start_response)

    def _ask_behind(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        if not self._places.acquire(blocking=False):
            return _send(BUSY, start_response)
        try:
            return self._behind(environ, start_response)
        finally:
            self._places.release()


def _is_odd(box: str) -> bool:
    """Whether slashes are doubled or trail: what that means is the router's business."""
    return box.startswith("/") or box.endswith("/")


def _length(header: str | None) -> int:
    return int(header) if header and header.isdigit() else 0


def _send(reply: Reply, start_response: "StartResponse") -> list[bytes]:
    body = f"{reply.sentence}\n".encode()
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        *reply.headers,
    ]
    start_response(_STATUS[reply.status], headers)
    return [body]
