"""Calls a trigger URL (hop 3): no database, no transaction, no exception.

In: a final URL. Out: an Outcome, whatever happens. Exactly 200 is success and redirects are
not followed (wire: success is the response code 200). Killed here: nobody knows whether the
receiver was reached; the delivery's lease runs out and it is called again.
"""

import functools
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from simulator.triggers.deadline import PHASES, Deadline
from simulator.triggers.failures import sentence_for
from simulator.triggers.outcome import Outcome

HEADERS = {
    "User-Agent": "8x8-crm-trigger-simulator",
    "Accept": "*/*",
    "Accept-Encoding": "identity",  # nothing is unpacked, so nothing can blow up
    "Connection": "close",
}
_READ_AT_MOST = 65_536  # bytes; more of an answer is not waited for
_EXCERPT_CHARS = 500


class CaFileUnusable(Exception):
    """The CA file for trigger URLs cannot be read; the message says what to set."""


class Sender:
    """Sends triggers; any number of threads may call `send` at the same time."""

    def __init__(
        self,
        method: str = "GET",
        timeout_s: float = 15.0,
        trigger_ca: Path | None = None,
        success: str = "200",
        own_ca: Path | None = None,
    ) -> None:
        """success: `200`, or `2xx` for any answer from 200 to 299 (trigger.failures).
        own_ca: the CA of the simulator's own, trusted beside `trigger_ca` and the system's.
        """
        self.tls = _tls_context(trigger_ca, own_ca)
        self.call_by(method, timeout_s, success)
        self._under_way: set[Deadline] = set()
        self._cutting = 0  # how many want all calls cut off
        self._lock = Lock()

    def call_by(self, method: str, timeout_s: float, success: str) -> None:
        """How later calls are made, and which answers count."""
        self._method = method
        self._timeout_s = timeout_s
        self._counts = range(200, 300) if success == "2xx" else range(200, 201)

    def send(self, url: str) -> Outcome:
        """What came of calling `url` once, over a connection of its own."""
        began, method = time.perf_counter(), self._method
        with Deadline(self._timeout_s) as deadline:
            self._enter(deadline)
            try:
                status, excerpt = self._call(method, url, deadline)
                error = None if status in self._counts else _sentence_about_status(status)
            except Exception as failure:  # whatever it is, the delivery must be scheduled again
                status, excerpt = None, ""
                error = sentence_for(failure, _server_of(url), deadline)
            finally:
                self._leave(deadline)
        duration_ms = round((time.perf_counter() - began) * 1000, 3)
        return Outcome(status, error, excerpt, duration_ms, method=method)

    def close(self) -> None:
        """Cut off the calls under way, and those that begin later: the simulator stops."""
        with self._lock:
            self._cutting += 1
            for deadline in self._under_way:
                deadline.cancel()

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """Within, calls under way and those that begin fail at once."""
        self.close()
        try:
            yield
        finally:
            with self._lock:
                self._cutting -= 1

    def _call(self, method: str, url: str, deadline: Deadline) -> tuple[int, str]:
        with requests.Session() as session:
            session.trust_env = False  # no proxy, no .netrc, no other CA from the environment
            for scheme in ("https://", "http://"):
                session.mount(scheme, _Adapter(self.tls, deadline))
            with session.request(
                method,
                url,
                headers=HEADERS,
                timeout=self._timeout_s,
                allow_redirects=False,
                stream=True,
            ) as response:
                body = _read(response)
        if deadline.passed or deadline.cancelled:
            raise TimeoutError("The answer was cut off.")
        return response.status_code, body

    def _enter(self, deadline: Deadline) -> None:
        with self._lock:
            self._under_way.add(deadline)
            if self._cutting:
                deadline.cancel()

    def _leave(self, deadline: Deadline) -> None:
        with self._lock:
            self._under_way.discard(deadline)


class _Connection(HTTPConnection):
    """A connection that its deadline can cut off."""

    def __init__(self, *args: Any, deadline: Deadline, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline = deadline

    def _new_conn(self) -> Any:
        sock = self._deadline.connect(self._dns_host, self.port)
        self._deadline.phase = PHASES[1]
        return sock

    def connect(self) -> None:
        super().connect()
        self._deadline.phase = PHASES[2]


class _TlsConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


class _Adapter(HTTPAdapter):
    """One call's transport: the CA and the deadline of that call."""

    def __init__(self, tls: ssl.SSLContext, deadline: Deadline) -> None:
        self.tls = tls
        self._deadline = deadline
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self.tls, **kwargs)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing: the TLS context knows its CAs; requests would load its own bundle each time."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        connection = _TlsConnection if pool.scheme == "https" else _Connection
        pool.ConnectionCls = functools.partial(connection, deadline=self._deadline)
        return pool


def _tls_context(trigger_ca: Path | None, own_ca: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if own_ca is not None:
        context.load_verify_locations(own_ca)
    if trigger_ca is None:
        return context
    try:
        context.load_verify_locations(trigger_ca)
    except OSError as error:  # ssl.SSLError is one
        raise CaFileUnusable(
            f"The CA file {trigger_ca} for trigger URLs cannot be used "
            f"({error.strerror or 'it holds no certificate'}). "
            "Name a PEM file with --trigger-ca or CRM_SIM_TRIGGER_CA."
        ) from error
    return context


def _read(response: requests.Response) -> str:
    """The beginning of the body as text; the rest is received, up to a limit, and dropped."""
    begin, total = b"", 0
    while total < _READ_AT_MOST:
        block: bytes = response.raw.read(8192, decode_content=False)
        if not block:
            break
        total += len(block)
        begin += block[: max(0, 4 * _EXCERPT_CHARS - len(begin))]
    return begin.decode("utf-8", "replace")[:_EXCERPT_CHARS]


def _server_of(url: str) -> str:
    """Host and port alone: path, query and user name may be secret."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return "the server"


def _sentence_about_status(status: int) -> str:
    redirect = " Redirects are not followed." if 300 <= status < 400 else ""
    return f"The answer was {status}; only 200 counts as received.{redirect}"
