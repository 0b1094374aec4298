"""One POST over the network with a total deadline (hop 7).

In: URL, headers, body. Out: status, headers and body of a complete answer.

    NoAnswer(sentence)       no complete answer came: refused, reset, TLS, timeout
      TooLarge(beginning)    one came, and we hung up because it is larger than we take in

On the standard library's http.client: the reads of a worker cost a third of what they do with a
library that knows redirects, cookies and proxies, none of which a read of the CRM API may meet.
"""

import base64
import io
import select
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPConnection, HTTPException, HTTPResponse, InvalidURL
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, unquote, urlsplit

import certifi

# Firewalls in front of services turn away who does not say who it is or what it takes.
_HEADERS = {"User-Agent": "crm-receiver", "Accept": "*/*"}
_PORTS = {"http": 80, "https": 443}
_MAY_STAND_IN_A_TARGET = "!#$%&'()*+,/:;=?@[]~"  # RFC 3986, and what is quoted already
_PIECE = 64 * 1024
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
            reply = self._exchange(origin, path, {**own, **headers}, body, deadline)
        except TimeoutError:
            sentence = f"{self._peer} gave no complete answer within {self.timeout_s:g} s."
            raise NoAnswer(sentence) from None
        except (OSError, zlib.error) as error:
            raise self._broken(error) from error
        except (ValueError, InvalidURL):  # both quote what they refuse: a key, a password
            sentence = "its URL or a header holds what may not stand there"
            raise NoAnswer(f"{self._peer} cannot be called: {sentence}.") from None
        except HTTPException as error:
            raise self._broken(error) from error
        if len(reply.body) > self.max_bytes and reply.status == 200:
            sentence = f"{self._peer}'s answer is larger than {self.max_bytes:,} bytes."
            raise TooLarge(sentence, reply.body[:_KEPT_BEGINNING])
        return reply

    def _broken(self, error: Exception) -> NoAnswer:
        return NoAnswer(f"{self._peer} gave no complete answer: {_reason(error)}.")

    def _exchange(
        self, origin: _Origin, path: str, headers: dict[str, str], body: bytes, deadline: float
    ) -> Reply:
        connection: _Connection | None = getattr(self._local, "connection", None)
        if connection is not None and (connection.origin != origin or connection.is_stale()):
            self._discard(connection)
            connection = None
        is_kept = connection is not None
        if connection is None:
            connection = self._local.connection = _Connection(origin, self._tls)
            with self._lock:
                self._connections.add(connection)
        try:
            connection.until(deadline)
            try:
                connection.request("POST", path, body, headers)
                response = connection.getresponse()
            except ConnectionError:  # http.client's RemoteDisconnected is one
                # The other side closed it while we sent: no sign of trouble, and a read or an
                # alarm may be repeated.
                if not is_kept:
                    raise
                connection.close()
                connection.request("POST", path, body, headers)
                response = connection.getresponse()
            content = self._read(response)
        except BaseException:
            self._discard(connection)
            raise
        if not response.isclosed():
            self._discard(connection)  # the rest of the answer is still to come
        names = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status, names, content)

    def _discard(self, connection: "_Connection") -> None:
        connection.close()
        with self._lock:
            self._connections.discard(connection)
        if getattr(self._local, "connection", None) is connection:
            self._local.connection = None

    def _read(self, response: HTTPResponse) -> bytes:
        """The body, unpacked, or a little more than we take in."""
        packing = (response.getheader("Content-Encoding") or "identity").strip().lower()
        if packing == "identity":
            return _read_plain(response, self.max_bytes)
        if packing not in _PACKED:
            raise HTTPException(f"it is packed as {packing[:40]!r}, which nobody asked for")
        return _read_packed(response, zlib.decompressobj(_PACKED[packing]), self.max_bytes)


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
    headers = dict(_HEADERS)
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return origin, quote(path, safe=_MAY_STAND_IN_A_TARGET), headers


def _read_plain(response: HTTPResponse, max_bytes: int) -> bytes:
    pieces: list[bytes] = []
    missing = max_bytes + 1
    while missing > 0 and (piece := response.read(min(missing, _PIECE))):
        pieces.append(piece)
        missing -= len(piece)
    if missing > 0:
        _check_end(response)
    return b"".join(pieces)


def _read_packed(response: HTTPResponse, unpacking: Any, max_bytes: int) -> bytes:
    """In small pieces: unpacked whole, a packed body may be a thousand times its size."""
    body = bytearray()
    while len(body) <= max_bytes and (piece := response.read(_PIECE)):
        while piece and len(body) <= max_bytes:
            body += unpacking.decompress(piece, _PIECE)
            piece = unpacking.unconsumed_tail
    if len(body) <= max_bytes:
        _check_end(response)
        if not unpacking.eof:
            raise HTTPException("what is packed has no end")
    return bytes(body)


def _check_end(response: HTTPResponse) -> None:
    """Raise where fewer bytes came than were announced, of which `read` says nothing."""
    if response.length:
        raise HTTPException(f"{response.length} bytes are missing at its end")


class _Connection(HTTPConnection):
    """A connection whose every wait ends at one deadline, the TLS handshake's included."""

    def __init__(self, origin: _Origin, tls: ssl.SSLContext) -> None:
        super().__init__(origin.host, origin.port)
        self.default_port = _PORTS[origin.scheme]  # which the Host header does not name
        self.origin = origin
        self._tls = tls
        self._deadline = 0.0
        self.sock: Any  # a _Timed, which is what http.client needs of a socket

    def until(self, deadline: float) -> None:
        """When the exchange that begins now has to be over."""
        self._deadline = deadline
        if self.sock is not None:
            self.sock.deadline = deadline

    def is_stale(self) -> bool:
        """Whether the other side closed it, or said something that nobody asked for."""
        return self.sock is None or self.sock.is_readable()

    def connect(self) -> None:
        """Open the connection. Raises OSError, TimeoutError among them."""
        handle = self._reach()
        try:
            handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.origin.scheme == "https":
                handle.settimeout(_left(self._deadline))
                handle = self._tls.wrap_socket(handle, server_hostname=self.origin.host)
        except BaseException:
            handle.close()
            raise
        self.sock = _Timed(handle, self._deadline)

    def _reach(self) -> socket.socket:
        """The first address of the host that answers; one that is silent costs its share only."""
        addresses = socket.getaddrinfo(*self.origin[1:], type=socket.SOCK_STREAM)
        for untried in range(len(addresses), 0, -1):
            family, kind, protocol, _name, address = addresses[-untried]
            handle = socket.socket(family, kind, protocol)
            try:
                handle.settimeout(_left(self._deadline) / untried)
                handle.connect(address)
                return handle
            except OSError:
                handle.close()
                if untried == 1:
                    raise
        raise OSError("its name leads to no address")


class _Timed:
    """What http.client uses of a socket; each wait ends at the deadline, however little came."""

    def __init__(self, handle: socket.socket, deadline: float) -> None:
        self.handle = handle
        self.deadline = deadline
        self._unsent: list[bytes] = []
        self._is_read = False
        self._is_unwanted = False

    def sendall(self, data: bytes) -> None:
        self._unsent.append(data)  # http.client sends head and body apart, in two packets

    def makefile(self, _mode: str) -> io.BufferedReader:
        data, self._unsent = b"".join(self._unsent), []
        self.handle.settimeout(_left(self.deadline))
        self.handle.sendall(data)
        self._is_read = True
        return io.BufferedReader(_Incoming(self))

    def is_readable(self) -> bool:
        poll = select.poll()
        poll.register(self.handle, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """At once, or when the answer that is being read was closed; as real sockets do."""
        self._is_unwanted = True
        if not self._is_read:
            self.handle.close()

    def was_read(self) -> None:
        self._is_read = False
        if self._is_unwanted:
            self.handle.close()


class _Incoming(io.RawIOBase):
    def __init__(self, timed: _Timed) -> None:
        self._timed = timed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._timed.handle.settimeout(_left(self._timed.deadline))
        return self._timed.handle.recv_into(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._timed.was_read()


def _left(deadline: float) -> float:
    """Seconds until then. Raises TimeoutError."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _reason(error: BaseException) -> str:
    """The innermost reason, without the addresses of objects."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return str(error).rstrip(".") or type(error).__name__
