"""A scriptable https receiver on a real socket: it says what a test tells it, and remembers.

In: replies, taken in turn; when they are used up it answers 200. Out: the requests it got.
A reply is a function of the connection; those made by `before_tls` get the bare socket.
"""

import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from queue import Queue
from threading import Event, Lock, Thread

import trustme

PATIENCE_S = 20.0  # for what must happen: reached only by a test that fails
_DRIP_EVERY_S = 0.02


@dataclass(frozen=True)
class Received:
    """One request: `target` is the path with its query, byte for byte."""

    method: str
    target: str
    headers: dict[str, str]  # names in lower case
    body: bytes


class Conversation:
    """One connection, as a reply sees it."""

    def __init__(self, sock: socket.socket, closing: Event) -> None:
        self.sock = sock
        self._closing = closing

    def send(self, data: bytes) -> None:
        """Send at once."""
        self.sock.sendall(data)

    def drip(self, first: bytes) -> None:
        """Send `first`, then one byte every now and then until the other side has enough."""
        self.send(first)
        for byte in repeat(b"a"):
            if self._closing.wait(_DRIP_EVERY_S):
                return
            self.send(byte)

    def hold(self) -> None:
        """Say nothing until the receiver is closed."""
        self._closing.wait()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


Reply = Callable[[Conversation], None]


@dataclass(frozen=True)
class _BeforeTls:
    reply: Reply

    def __call__(self, conversation: Conversation) -> None:
        self.reply(conversation)


def answer(status: int, body: str = "", **headers: str) -> Reply:
    """A whole answer; header names are given with `_` for `-`."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body.encode())}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join(lines)
    return lambda conversation: conversation.send(f"{head}\r\n\r\n{body}".encode())


def raw(data: bytes) -> Reply:
    """Exactly these bytes, then the end of the connection."""
    return lambda conversation: conversation.send(data)


def drip_in(phase: str) -> Reply:
    """An answer of 200 that drips in its status line, its headers or its body."""
    first = {
        "status line": b"HTTP/1.1 200 O",
        "headers": b"HTTP/1.1 200 OK\r\nX-Slow: ",
        "body": b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n",
    }[phase]
    return lambda conversation: conversation.drip(first)


def before_tls(reply: Reply) -> Reply:
    """The reply instead of a TLS handshake."""
    return _BeforeTls(reply)


def drip_in_handshake() -> Reply:
    """The beginning of a TLS record of 16 KiB whose rest drips."""
    return before_tls(lambda conversation: conversation.drip(b"\x16\x03\x03\x40\x00\x02\x00\x3f"))


class Authority:
    """A certificate authority for receivers on loopback; `path` is what a sender must trust."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.path = folder / "receiver-ca.pem"
        self.ca.cert_pem.write_to_path(str(self.path))


class TlsReceiver:
    """Listens on a free port of 127.0.0.1 from its making until `close`."""

    def __init__(self, authority: Authority, names: tuple[str, ...] = ("127.0.0.1",)) -> None:
        self.requests: list[Received] = []
        self.replies: deque[Reply] = deque()
        self._arrived: Queue[Received] = Queue()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.ca.issue_cert(*names).configure_cert(self._context)
        self._closing = Event()
        self._lock = Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads = [Thread(target=self._accept)]
        self._threads[0].start()

    def url(self, path: str = "/trigger") -> str:
        """A URL of this receiver."""
        return f"https://127.0.0.1:{self.port}{path}"

    def will(self, *replies: Reply) -> None:
        """Answer the next requests like this, one after the other."""
        self.replies.extend(replies)

    def next_request(self) -> Received:
        """The next request not asked for before; waits until it has come."""
        return self._arrived.get(timeout=PATIENCE_S)

    def close(self) -> None:
        """Hang up and wait for all threads."""
        self._closing.set()
        with self._lock:
            for sock in [self._listener, *self._open]:
                _shut_down(sock)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            thread = Thread(target=self._converse, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _converse(self, sock: socket.socket) -> None:
        with self._lock:
            reply = self.replies.popleft() if self.replies else answer(200)
        try:
            if isinstance(reply, _BeforeTls):
                with self._remembered(sock):
                    reply(Conversation(sock, self._closing))
                return
            tls = self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            with self._remembered(tls):
                tls.do_handshake()
                received = _read_request(tls)
                self.requests.append(received)
                self._arrived.put(received)
                reply(Conversation(tls, self._closing))
        except OSError:
            return  # the other side has hung up: often what the test is about

    @contextmanager
    def _remembered(self, sock: socket.socket) -> Iterator[None]:
        with self._lock:
            self._open.add(sock)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(sock)
            sock.close()


def open_sockets() -> int:
    """How many sockets this process has open."""
    return sum(_is_socket(descriptor) for descriptor in list(Path("/proc/self/fd").iterdir()))


def _is_socket(descriptor: Path) -> bool:
    try:
        return str(descriptor.readlink()).startswith("socket:")
    except FileNotFoundError:
        return False  # the descriptor of the listing itself


def _read_request(sock: socket.socket) -> Received:
    with sock.makefile("rb") as stream:
        first = stream.readline().decode("latin-1")
        if not first:
            raise ConnectionAbortedError("There was a handshake and no request.")
        method, target, _ = first.split(" ", 2)
        headers: dict[str, str] = {}
        while line := stream.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", "0")))
    return Received(method, target, headers, body)


def _shut_down(sock: socket.socket) -> None:
    try:
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        return
