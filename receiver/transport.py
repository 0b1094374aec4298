"""One POST over the network with a total deadline (hop 7).

In: URL, headers, body. Out: status, headers and body of a complete answer.

    NoAnswer(sentence)       no complete answer came: refused, reset, TLS, timeout
      TooLarge(beginning)    one came, and we hung up because it is larger than we take in

A socket and httptools, the parser that uvicorn uses too: the reads of a worker cost a quarter of
what they do with a library that knows redirects, cookies and proxies, none of which a read of the
CRM API may meet.
"""

import base64
import re
import select
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, unquote, urlsplit

import certifi
import httptools

# Firewalls in front of services turn away who does not say who it is or what it takes.
_HEADERS = {"User-Agent": "crm-receiver", "Accept": "*/*", "Accept-Encoding": "identity"}
_PORTS = {"http": 80, "https": 443}
_ENDS_A_LINE = re.compile(r"[\r\n\x00]")
_MAY_STAND_IN_A_TARGET = "!#$%&'()*+,/:;=?@[]~"  # RFC 3986, and what is quoted already
_PIECE = 64 * 1024
_LARGEST_HEAD = 64 * 1024
_KEPT_BEGINNING = 4096
_PACKED = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


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


class _Broken(Exception):
    """What came is no complete answer; the message goes into a sentence."""


class Transport(Protocol):
    """Sends one request and waits for its answer."""

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """The complete answer. Raises NoAnswer."""


class _Origin(NamedTuple):
    """Where a connection leads."""

    scheme: str
    host: str
    port: int


class HttpTransport:
    """Kept-alive connections, one a thread; no proxies, redirects or cookies."""

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
        self._tls = ssl.create_default_context(cafile=str(ca) if ca else certifi.where())
        self._local = threading.local()
        self._lock = threading.Lock()
        self._connections: set[_Connection] = set()

    def close(self) -> None:
        """Close the connections of all threads; no call may be under way."""
        for connection in list(self._connections):
            self._discard(connection)

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """The complete answer within the deadline. Raises NoAnswer."""
        deadline = time.monotonic() + self.timeout_s
        try:
            origin, path, own = _target(url)
            request = _request(path, {**own, **headers}, body)
            answer = self._exchange(origin, request, deadline)
        except TimeoutError:
            sentence = f"{self._peer} gave no complete answer within {self.timeout_s:g} s."
            raise NoAnswer(sentence) from None
        except (OSError, zlib.error, _Broken) as error:
            reason = str(error) if isinstance(error, _Broken) else _reason(error)
            raise NoAnswer(f"{self._peer} gave no complete answer: {reason}.") from error
        except ValueError:  # it quotes what it refuses: a key, a password
            sentence = "its URL or a header holds what may not stand there"
            raise NoAnswer(f"{self._peer} cannot be called: {sentence}.") from None
        if answer.is_too_large and answer.status == 200:
            sentence = f"{self._peer}'s answer is larger than {self.max_bytes:,} bytes."
            raise TooLarge(sentence, bytes(answer.body[:_KEPT_BEGINNING]))
        return Reply(answer.status, answer.headers, bytes(answer.body))

    def _exchange(self, origin: _Origin, request: bytes, deadline: float) -> "_Answer":
        connection: _Connection | None = getattr(self._local, "connection", None)
        if connection is not None and (connection.origin != origin or connection.is_stale()):
            self._discard(connection)
            connection = None
        if connection is not None:
            answer = _Answer(self.max_bytes)
            try:
                return self._over(connection, request, answer, deadline)
            except (ConnectionError, _Broken):
                # Closed by the other side while we sent: no sign of trouble, and a read or an
                # alarm may be repeated.
                if answer.has_begun:
                    raise
        connection = self._local.connection = _Connection(origin)
        with self._lock:
            self._connections.add(connection)
        try:
            connection.open(self._tls, deadline)
        except BaseException:
            self._discard(connection)
            raise
        return self._over(connection, request, _Answer(self.max_bytes), deadline)

    def _over(
        self, connection: "_Connection", request: bytes, answer: "_Answer", deadline: float
    ) -> "_Answer":
        try:
            connection.exchange(request, answer, deadline)
        except BaseException:
            self._discard(connection)
            raise
        if not answer.leaves_open:
            self._discard(connection)
        return answer

    def _discard(self, connection: "_Connection") -> None:
        connection.close()
        with self._lock:
            self._connections.discard(connection)
        if getattr(self._local, "connection", None) is connection:
            self._local.connection = None


@lru_cache(maxsize=16)  # a worker calls the same one again and again
def _target(url: str) -> tuple[_Origin, str, Mapping[str, str]]:
    """Where to, with which path, and the headers of our own. Raises ValueError.

    A name and password in the URL are sent as what they are meant for, HTTP's Basic.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("neither http:// nor https:// with a host")
    origin = _Origin(parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme])
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = parts.hostname.encode("idna").decode()
    host = f"[{host}]" if ":" in host else host
    is_usual = origin.port == _PORTS[origin.scheme]
    headers = {"Host": host if is_usual else f"{host}:{origin.port}", **_HEADERS}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return origin, quote(path, safe=_MAY_STAND_IN_A_TARGET), headers


def _request(path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Head and body, to be sent at once. Raises ValueError for what would end a header early."""
    lines = [f"{name}: {value}" for name, value in headers.items()]
    if any(_ENDS_A_LINE.search(line) for line in lines):
        raise ValueError("a line break in a header")
    lines = [f"POST {path} HTTP/1.1", *lines, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


class _Answer:
    """What came so far of one answer; httptools calls the methods that begin with `on_`."""

    def __init__(self, max_bytes: int) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.has_begun = False
        self.has_head = False
        self.is_complete = False
        self.is_too_large = False
        self.leaves_open = False  # the connection, for another exchange
        self._max_bytes = max_bytes
        self._head_bytes = 0
        self._ends_with_connection = False
        self._unpacking: Any = None
        self._parser = httptools.HttpResponseParser(self)

    def take(self, data: bytes) -> None:
        """The next bytes; none at the end of the connection. Raises _Broken."""
        if not data:
            self._end()
            return
        self.has_begun = True
        if not self.has_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self.is_complete:  # what follows it is nothing that we asked for
                self.leaves_open = False
                return
            raise _Broken(f"it is no HTTP ({error})") from error
        if not self.has_head and self._head_bytes > _LARGEST_HEAD:
            raise _Broken("its headers have no end")

    def _end(self) -> None:
        """The other side closed the connection, which may be how it ends an answer."""
        if not self.has_begun:
            raise _Broken("it closed the connection without a word")
        if not self._ends_with_connection:
            raise _Broken("it closed the connection in the midst of it")
        self._finish()

    def on_message_begin(self) -> None:
        if self.is_complete:
            self.leaves_open = False  # something follows that nobody asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.has_head:  # no trailers
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        if self.is_complete:
            return
        self.status = self._parser.get_status_code()
        if self.status < 200:  # the answer itself is still to come
            self.headers.clear()
            return
        self.has_head = True
        is_chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        self._ends_with_connection = not is_chunked and "content-length" not in self.headers
        packing = self.headers.get("content-encoding", "identity").lower()
        if packing in _PACKED:
            self._unpacking = zlib.decompressobj(_PACKED[packing])
        elif packing != "identity":
            raise _Broken(f"it is packed as {packing[:40]!r}, which nobody asked for")

    def on_body(self, piece: bytes) -> None:
        if self.is_complete or self.is_too_large:
            return
        if self._unpacking is None:
            self.body += piece
        else:  # in small pieces: unpacked whole, it may be a thousand times its size
            while piece and len(self.body) <= self._max_bytes:
                self.body += self._unpacking.decompress(piece, _PIECE)
                piece = self._unpacking.unconsumed_tail
        self.is_too_large = len(self.body) > self._max_bytes

    def on_message_complete(self) -> None:
        if self.has_head and not self.is_complete:
            self.leaves_open = self._parser.should_keep_alive()
            self._finish()

    def _finish(self) -> None:
        if self._unpacking is not None and not self._unpacking.eof and not self.is_too_large:
            raise _Broken("what is packed has no end")
        self.is_complete = True


class _Connection:
    """A connection whose every wait ends at the deadline of its exchange."""

    def __init__(self, origin: _Origin) -> None:
        self.origin = origin
        self._socket: socket.socket | None = None

    def open(self, tls: ssl.SSLContext, deadline: float) -> None:
        """Connect, and shake hands where it is https. Raises OSError, TimeoutError among them."""
        self._socket = _reach(self.origin, deadline)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.origin.scheme == "https":
            self._socket.settimeout(_left(deadline))
            self._socket = tls.wrap_socket(self._socket, server_hostname=self.origin.host)

    def exchange(self, request: bytes, answer: _Answer, deadline: float) -> None:
        """Send, and read the answer until it is complete or too large. Raises OSError, _Broken."""
        handle = self._socket
        if handle is None:
            raise ConnectionError("it was closed")
        handle.settimeout(_left(deadline))
        handle.sendall(request)
        while not (answer.is_complete or answer.is_too_large):
            handle.settimeout(_left(deadline))
            answer.take(handle.recv(_PIECE))

    def is_stale(self) -> bool:
        """Whether the other side closed it, or said something that nobody asked for."""
        if self._socket is None:
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """At once."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _reach(origin: _Origin, deadline: float) -> socket.socket:
    """The first address of the host that answers; one that is silent costs its share only."""
    addresses = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    for untried in range(len(addresses), 0, -1):
        family, kind, protocol, _name, address = addresses[-untried]
        handle = None
        try:
            handle = socket.socket(family, kind, protocol)  # not every system speaks IPv6
            handle.settimeout(_left(deadline) / untried)
            handle.connect(address)
            return handle
        except OSError:
            if handle is not None:
                handle.close()
            if untried == 1:
                raise
    raise OSError("its name leads to no address")


def _left(deadline: float) -> float:
    """Seconds until then. Raises TimeoutError."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _reason(error: BaseException) -> str:
    """The innermost reason, without the addresses of objects."""
    while inner := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        error = inner
    return str(error).rstrip(".") or type(error).__name__
