"""Writes down what comes to the trigger URLs, before the receiver's own application (hop 5).

In: a request, whose answer the application behind gives: stored, committed, 200. Out: that answer,
and a line of a recording. With `refuse_first` a trigger that is stored is answered 503 a few
times, so that the recording shows when it is called again. Killed here: as without it.
"""

import re
import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import structlog

from receiver.recording import Recording, sort_headers

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = structlog.get_logger()

_TLS_HEADER = "HTTP_X_TLS_VERSION"  # what a proxy of ours tells
_KIND_AND_EVENT = re.compile(r"[A-Za-z]{1,12}/[A-Za-z]{1,12}/?|")


class RecordingFront:
    """A WSGI application in front of the receiver's: answers as that does, and writes it down."""

    def __init__(self, behind: "WSGIApplication", recording: Recording, path: str) -> None:
        """path: what stands before the secret."""
        self._behind = behind
        self._recording = recording
        self._prefix = f"{path}/"
        self._lock = threading.Lock()
        self._calls: dict[tuple[str, str], tuple[int, datetime]] = {}
        self._created: dict[str, int] = {}

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request."""
        path: str = environ["PATH_INFO"]
        secret, _, box = path[len(self._prefix) :].partition("/")
        if not path.startswith(self._prefix) or not self._recording.knows(secret):
            return self._behind(environ, start_response)
        at = self._recording.clock.now()
        begun: list[Any] = []

        def keep(status: str, headers: list[tuple[str, str]], *rest: Any) -> Callable[..., object]:
            begun[:] = [status, headers, *rest]
            return lambda _data: None

        behind = self._behind(environ, keep)
        body = list(behind)  # a sentence; stored by now, if it ever is
        if hasattr(behind, "close"):
            behind.close()
        try:
            line = self._line(environ, box, at, int(begun[0][:3]))
            self._recording.write(line, at)
            if line["status"] == 503 and begun[0].startswith("200"):
                begun, body = ["503 Service Unavailable", [("Content-Length", "0")]], [b""]
        except Exception as error:  # whatever is odd about a request is no reason not to answer
            log.warning("not recorded", error=type(error).__name__)
        start_response(begun[0], begun[1])
        return body

    def _line(
        self, environ: "WSGIEnvironment", box: str, at: datetime, status: int
    ) -> dict[str, Any]:
        query: str = environ["QUERY_STRING"]
        with self._lock:
            call, before = self._calls.get((box, query), (0, at))
            self._calls[box, query] = call + 1, at
            step = self._step(box, query) if call == 0 and status == 200 else None
        refused = status == 200 and call < self._recording.refuse_first
        headers, others = sort_headers(
            {
                name[5:].replace("_", "-").lower(): str(value)
                for name, value in environ.items()
                if name.startswith("HTTP_") and name != _TLS_HEADER
            }
            | {
                name.replace("_", "-").lower(): str(environ[name])
                for name in ("CONTENT_TYPE", "CONTENT_LENGTH")
                if environ.get(name)
            }
        )
        return {
            "what": "trigger",
            "method": environ["REQUEST_METHOD"],
            "http": environ.get("SERVER_PROTOCOL"),
            "scheme": environ.get("wsgi.url_scheme"),
            "tls": environ.get(_TLS_HEADER),
            "path": f"{self._prefix}SECRET/{box if _KIND_AND_EVENT.fullmatch(box) else '...'}",
            "query": self._recording.redaction.query(query),
            "headers": headers,
            "other_headers": others,
            "body_bytes": int(environ.get("CONTENT_LENGTH") or 0),
            "status": 503 if refused else status,
            "call": call + 1,
            "after_s": round((at - before).total_seconds(), 3) if call else None,
            "step": step,
        }

    def _step(self, box: str, query: str) -> int | None:
        """How far a created record's number is from the one before; None for the first."""
        kind, _, event = box.partition("/")
        number = query.rpartition("=")[2]
        if event.rstrip("/") != "create" or not (number.isascii() and number.isdigit()):
            return None
        before = self._created.get(kind)
        self._created[kind] = int(number)
        return None if before is None else int(number) - before
