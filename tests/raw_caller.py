"""A caller of the simulator that knows nothing but sockets, TLS and bytes.

In: a running simulator, a request. Out: the bytes that came, and how the connection ended. What
an HTTP library would mend, hide or refuse is seen here as it is on the wire.
"""

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from simulator.server import Simulator
from tests.crm_api_clients import FORM, command, document
from tests.tls_receiver import PATIENCE_S


@dataclass(frozen=True)
class RawReply:
    """What came: everything until the connection ended."""

    data: bytes
    ended: str  # "closed" or "reset"

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(self.data.split(b" ", 2)[1])

    @property
    def headers(self) -> dict[str, str]:
        """Headers, names in lower case."""
        lines = self.data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (x.partition(": ") for x in lines)}

    @property
    def body(self) -> bytes:
        """What follows the headers."""
        return self.data.partition(b"\r\n\r\n")[2]


class RawCaller:
    """One connection. TLS is done beside the socket: Python's own TLS socket takes a reset of
    the connection for its end.
    """

    def __init__(self, sock: socket.socket, trusting: ssl.SSLContext) -> None:
        self._sock = sock
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = trusting.wrap_bio(self._came, self._goes, server_hostname="127.0.0.1")
        self._pump(self._tls.do_handshake)

    def send(self, data: bytes) -> None:
        """Send at once."""
        self._pump(lambda: self._tls.write(data))

    def post(self, path: str, body: bytes, content_type: str) -> None:
        """Send a request and wait for nothing."""
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
        self.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def ask(self, object_name: str, action: str, *tags: tuple[str, str]) -> None:
        """Send a command to the CRM API."""
        body = "xml_query=" + document(command(object_name, action, tags))
        self.post("/WAPI/wapi.php", body.encode(), FORM["Content-Type"])

    def pieces(self) -> Iterator[bytes]:
        """What comes, as it comes: each write of the server is one piece."""
        while piece := self._pump(lambda: self._tls.read(65_536)):
            yield piece

    def reply(self) -> RawReply:
        """All that comes until the end."""
        data = b""
        try:
            for piece in self.pieces():
                data += piece
        except ConnectionResetError:
            return RawReply(data, "reset")
        return RawReply(data, "closed")

    def has_heard(self) -> bool:
        """Whether anything of a reply came, or the end, at this moment."""
        self._sock.setblocking(False)
        try:
            self._pump(lambda: self._tls.read(1))
        except BlockingIOError:
            return False
        finally:
            self._sock.settimeout(PATIENCE_S)
        return True

    def _pump(self, step: Callable[[], Any]) -> Any:
        """What a step of TLS gives, once what it waits for came; nothing at the end."""
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                pass
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                return b""
            finally:
                self._flush()
            if data := self._sock.recv(65_536):
                self._came.write(data)
            else:
                self._came.write_eof()

    def _flush(self) -> None:
        if self._goes.pending:
            self._sock.sendall(self._goes.read())


def open_connection(simulator: Simulator) -> socket.socket:
    """A TCP connection on which nothing was said."""
    host, _, port = simulator.url.rpartition("/")[2].rpartition(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE_S)


@contextmanager
def raw_caller(simulator: Simulator) -> Iterator[RawCaller]:
    """A connection with TLS, closed at the end."""
    trusting = ssl.create_default_context(cafile=str(simulator.ca_path))
    with open_connection(simulator) as sock:
        yield RawCaller(sock, trusting)


def ask(simulator: Simulator, object_name: str, action: str, *tags: tuple[str, str]) -> RawReply:
    """The reply to one command over a connection of its own."""
    with raw_caller(simulator) as caller:
        caller.ask(object_name, action, *tags)
        return caller.reply()


def control(simulator: Simulator, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Status and JSON of a call of the control API."""
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{method} /_sim{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    with raw_caller(simulator) as caller:
        caller.send(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        found = caller.reply()
    return found.status, json.loads(found.body)


def add_fault(simulator: Simulator, fault: str, **parameters: Any) -> int:
    """The number of a fault that is now in force."""
    status, added = control(simulator, "POST", "/faults", {"fault": fault, **parameters})
    assert status == 201, added
    return int(added["id"])


def fired(simulator: Simulator, fault_id: int) -> int:
    """How often a fault was hit."""
    status, found = control(simulator, "GET", f"/faults/{fault_id}")
    assert status == 200, found
    return int(found["fired"])
