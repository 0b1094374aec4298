"""A CRM API on a real socket whose every reply a test can spoil.

In: records, and replies that stand in for them. Out: what was asked, and how much it could send.
It answers the one request that the receiver's worker makes, a GET by number; the simulator's own
API stands behind the tests in tests/e2e.
"""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from lxml import etree

from external_crm.rows import Key
from receiver.records import OBJECTS

HEAD = b'<?xml version="1.0" encoding="ISO-8859-1"?>'
OBJECT_KINDS = {name.upper(): kind for kind, (name, _) in OBJECTS.items()}


class Request(BaseHTTPRequestHandler):
    """One request of the worker; `send` is all that a reply needs."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def setup(self) -> None:
        super().setup()
        self.server.open_connections.add(self.connection)

    def finish(self) -> None:
        self.server.open_connections.discard(self.connection)
        super().finish()

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])))
        command = etree.fromstring(form[b"xml_query"][0]).find("COMMAND")
        number = command[0].text
        key = Key(OBJECT_KINDS[command.get("OBJECT").upper()], number)
        with suppress(OSError):  # hung up on: often what the test is about
            self.server.api.reply(key)(self)

    def send(self, data: bytes) -> None:
        self.wfile.write(data)
        with self.server.api.lock:
            self.server.api.sent += len(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


Reply = Callable[[Request], None]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    api: "LoopbackCrmApi"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.open_connections: set[socket.socket] = set()

    def handle_error(self, *_: Any) -> None:
        """Say nothing of a worker that hung up; it is asserted by what it stored."""


@dataclass
class LoopbackCrmApi:
    """Up from `start` to `stop`, as often as a test likes, always on the same port."""

    records: dict[Key, dict[str, str]] = field(default_factory=dict)
    spoilt: dict[Key, Reply] = field(default_factory=dict)  # instead of these records
    spoilt_all: Reply | None = None  # instead of any
    asked: list[Key] = field(default_factory=list)
    sent: int = 0
    port: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    _server: _Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "LoopbackCrmApi":
        self._server = _Server(("127.0.0.1", self.port), Request)
        self._server.api = self
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Hang up and refuse connections from now on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            for connection in list(self._server.open_connections):
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._server = None

    def put(self, key: Key, **fields: str) -> Key:
        """Create or change a record; fields by tag."""
        number_tag = OBJECTS[key.kind][1]
        self.records[key] = {number_tag: key.id, **self.records.get(key, {}), **fields}
        return key

    def reply(self, key: Key) -> Reply:
        with self.lock:
            self.asked.append(key)
            spoilt = self.spoilt.get(key, self.spoilt_all)
            return spoilt or body(ok(item(self.records[key]) if key in self.records else b""))


def item(fields: dict[str, str]) -> bytes:
    """One ITEM; what is no ISO-8859-1 becomes character references."""
    tags = (f"<{tag}>{escape(value)}</{tag}>" for tag, value in fields.items())
    return f"<ITEM>{''.join(tags)}</ITEM>".encode("iso-8859-1", "xmlcharrefreplace")


def ok(inside: bytes) -> bytes:
    """A whole reply without an error."""
    opened = b'<REPLY STATUS="0" ERROR_STR="" ERROR_CODE="0">'
    return HEAD + b"<WAPI>" + opened + inside + b"</REPLY></WAPI>"


def body(content: bytes, status: int = 200, **headers: str) -> Reply:
    """A complete answer with this content; header names are given with `_` for `-`."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    return lambda request: request.send(head + content)


def cut(content: bytes, *, announced: bool) -> Reply:
    """Content that ends too early; only where its length was announced can that be noticed."""

    def send(request: Request) -> None:
        length = f"Content-Length: {len(content) + 100}\r\n" if announced else ""
        request.send(f"HTTP/1.1 200 OK\r\n{length}Connection: close\r\n\r\n".encode() + content)
        request.close_connection = True

    return send


def endless(opening: bytes, filler: bytes, megabytes: int) -> Reply:
    """So many megabytes in pieces, each counted once it could be sent."""

    def send(request: Request) -> None:
        request.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + opening)
        request.close_connection = True
        piece = filler * (1_000_000 // len(filler))
        for _ in range(megabytes):
            request.send(piece)

    return send
