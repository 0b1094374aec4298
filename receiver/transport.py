"""One POST over the network with a total deadline (hop 7); the seam for a quicker client.

In: URL, headers, body. Out: status, headers and body of a complete answer.

    NoAnswer(sentence)       no complete answer came: refused, reset, TLS, timeout
      TooLarge(beginning)    one came, and we hung up because it is larger than we take in

`requests` bounds the wait for each packet only: a reply that drips would hold the caller for
ever. A timer therefore shuts the connection's socket down when the deadline is over.
"""

import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

_PIECE = 16 * 1024
_KEPT_BEGINNING = 4096


class NoAnswer(Exception):
    """No complete answer came; the message is a sentence."""


class TooLarge(NoAnswer):
    """An answer without a reasonable end; `beginning` is all that was taken in."""

    def __init__(self, message: str, beginning: bytes) -> None:
        super().__init__(message)
        self.beginning = beginning


@dataclass(frozen=True)
class Reply:
    """A complete answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Sends one request and waits for its answer."""

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """The complete answer. Raises NoAnswer."""


class RequestsTransport:
    """`requests` with kept-alive connections, one session a thread."""

    def __init__(
        self,
        timeout_s: float,
        ca: Path | None,
        max_bytes: int = 8_000_000,
        peer: str = "The CRM API",
    ) -> None:
        """max_bytes: of one answer, unpacked; each thread may hold so many at a time.

        peer: who is called, as sentences name it.
        """
        self._peer = peer
        self.timeout_s = timeout_s
        self.max_bytes = max_bytes
        self._verify: str | bool = str(ca) if ca else True
        self._local = threading.local()
        self._sessions: list[requests.Session] = []

    def close(self) -> None:
        """Close the connections of all threads; no call may be under way."""
        for session in self._sessions:
            session.close()

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """The complete answer within the deadline. Raises NoAnswer."""
        deadline = _Deadline(self.timeout_s)
        try:
            with (
                deadline,
                self._session().post(
                    url,
                    data=body,
                    headers=dict(headers),
                    timeout=self.timeout_s,
                    verify=self._verify,
                    allow_redirects=False,
                    stream=True,
                ) as response,
            ):
                content = self._read(response)
                names = {name.lower(): value for name, value in response.headers.items()}
                reply = Reply(response.status_code, names, content)
        except (requests.RequestException, HTTPError, HTTPException, OSError) as error:
            if deadline.is_over or _timed_out(error):
                raise self._too_slow() from None
            raise NoAnswer(f"{self._peer} gave no complete answer: {_reason(error)}.") from error
        if deadline.is_over:
            raise self._too_slow()
        if len(content) > self.max_bytes and reply.status == 200:
            sentence = f"{self._peer}'s answer is larger than {self.max_bytes:,} bytes."
            raise TooLarge(sentence, content[:_KEPT_BEGINNING])
        return reply

    def _read(self, response: requests.Response) -> bytes:
        """The body, unpacked, or a little more than we take in.

        In small pieces: unpacked whole, a packed body may be a thousand times its size.
        """
        body = bytearray()
        for piece in response.raw.stream(_PIECE, decode_content=True):
            body += piece
            if len(body) > self.max_bytes:
                break
        return bytes(body)

    def _too_slow(self) -> NoAnswer:
        return NoAnswer(f"{self._peer} gave no complete answer within {self.timeout_s:g} s.")

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False  # the environment must not redirect or weaken these calls
            for scheme in ("http://", "https://"):
                session.mount(scheme, _WatchedAdapter())
            self._sessions.append(session)
        return session


_current = threading.local()


class _Deadline:
    """While entered, the connections of this thread's requests are shut down when time is up."""

    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        _current.deadline = self
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        _current.deadline = None

    def watch(self, handle: socket.socket) -> None:
        with self._lock:
            self._sockets.append(handle)
            if self.is_over:
                _shut(handle)

    def _expire(self) -> None:
        with self._lock:
            self.is_over = True
            for handle in self._sockets:
                _shut(handle)


class _Watched:
    """Keeps a duplicate of the connection's socket, by which any phase can be ended,
    the TLS handshake included."""

    handle: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        opened: socket.socket = super()._new_conn()  # type: ignore[misc]
        self.handle = opened.dup()
        self._watch()
        return opened

    def request(self, *args: Any, **kwargs: Any) -> None:
        self._watch()  # a kept-alive connection is not opened again
        super().request(*args, **kwargs)  # type: ignore[misc]

    def close(self) -> None:
        super().close()  # type: ignore[misc]
        if self.handle is not None:
            self.handle.close()
            self.handle = None

    def _watch(self) -> None:
        deadline: _Deadline | None = getattr(_current, "deadline", None)
        if deadline is not None and self.handle is not None:
            deadline.watch(self.handle)


class _WatchedHTTP(_Watched, HTTPConnection):
    pass


class _WatchedHTTPS(_Watched, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPS


class _WatchedAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}


def _shut(handle: socket.socket) -> None:
    try:
        handle.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # closed already: nothing left to end


def _timed_out(error: BaseException | None) -> bool:
    """Whether the socket's own timeout, as long as the deadline, was a moment quicker."""
    while error is not None:
        if isinstance(error, TimeoutError | requests.Timeout):
            return True
        error = error.__cause__ or error.__context__
    return False


def _reason(error: BaseException) -> str:
    """The innermost reason, without the addresses of objects."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return str(error).rstrip(".") or type(error).__name__
