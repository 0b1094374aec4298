"""How a control call reaches a simulator: inside this process, or over https.

In: a method, a path under /_sim/, a query, a JSON body. Out: the reply's bytes, or an exception.
Killed here: a call may have been carried out although nobody heard the answer.

    ControlRefused(status, sentence, fields)   the simulator refused the call
    ControlUnreachable                         no simulator answered; a sentence
"""

import json
import ssl
from collections.abc import Mapping
from typing import Any, Protocol
from wsgiref.types import WSGIApplication

import requests
from werkzeug.test import Client

from simulator.control_api.problems import MIMETYPE, Problem

_PREFIX = "/_sim"
_TIMEOUT_S = 600.0  # between two bytes; a wait says itself how long it may take


class ControlRefused(Exception):
    """A refused call: the sentence of the problem, and what it says of each field."""

    def __init__(
        self,
        status: int,
        detail: str,
        fields: Mapping[str, str],
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        """problem: all that the simulator said."""
        super().__init__(detail)
        self.status = status
        self.fields = dict(fields)
        self.problem = dict(problem or {})

    @property
    def field(self) -> str | None:
        """The field that the refusal is about; the first of several."""
        return next(iter(self.fields), None)


class ControlUnreachable(Exception):
    """No simulator answered; the message says where and why."""


class Transport(Protocol):
    """Something that brings a call to a simulator."""

    def call(self, method: str, path: str, query: Mapping[str, Any], body: Any) -> bytes:
        """The body of the reply. Raises ControlRefused, ControlUnreachable."""


class InProcess:
    """Calls the app in the caller's thread."""

    def __init__(self) -> None:
        self._app: WSGIApplication | None = None
        self._url = ""
        self._headers: dict[str, str] = {}

    def connect(self, app: WSGIApplication, url: str, token: str | None) -> None:
        """From now on this app answers, which is served at `url`."""
        self._app, self._url, self._headers = app, url, _headers(token)

    def call(self, method: str, path: str, query: Mapping[str, Any], body: Any) -> bytes:
        """The body of the reply."""
        if self._app is None:
            raise ControlUnreachable(
                "The simulator is not started: use it in a `with` block, or call start()."
            )
        reply = Client(self._app, use_cookies=False).open(
            _PREFIX + path,
            method=method,
            base_url=self._url,
            query_string=dict(query),
            headers=self._headers,
            json=body,
        )
        return _content(reply.status_code, reply.mimetype or "", reply.get_data())


class OverHttp:
    """Calls a simulator that runs elsewhere."""

    def __init__(self, url: str, ca: str | None, token: str | None) -> None:
        self._url = url.rstrip("/")
        self._ca = ca
        self._headers = _headers(token)

    def call(self, method: str, path: str, query: Mapping[str, Any], body: Any) -> bytes:
        """The body of the reply."""
        with requests.Session() as session:
            session.trust_env = False  # no proxy and no other CA from the environment
            try:
                reply = session.request(
                    method,
                    self._url + _PREFIX + path,
                    params=dict(query),
                    json=body,
                    headers=self._headers,
                    verify=self._ca or True,
                    timeout=_TIMEOUT_S,
                )
            except OSError as error:  # requests' own are; so is a CA file that cannot be read
                raise ControlUnreachable(
                    f"No simulator answers at {self._url}: {_reason(error)}. "
                    "Check its address, and for https its CA file (ca.pem in its data folder)."
                ) from error
        mimetype = reply.headers.get("Content-Type", "").partition(";")[0]
        return _content(reply.status_code, mimetype, reply.content)


def _headers(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def _reason(error: BaseException) -> str:
    """What happened at the bottom, in words without the libraries' own objects."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted ({error.verify_message})"
        case OSError(strerror=str(words)):
            return words
    return str(error)


def _content(status: int, mimetype: str, content: bytes) -> bytes:
    if status < 400:
        return content
    if mimetype != MIMETYPE:
        begin = content[:200].decode("utf-8", "replace")
        raise ControlRefused(status, f"The simulator answered {status}: {begin}", {})
    said = json.loads(content)
    problem = Problem.model_validate(said)
    fields = {error.field: error.message for error in problem.errors}
    raise ControlRefused(status, problem.detail, fields, said)
