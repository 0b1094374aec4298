"""Serves a WSGI app over https (or plain http) in threads: the simulator itself, a test's receiver.

In: an app, a listening socket, a TLS context. Out: an answering port until `stop`. Killed here:
nothing is held but the port.

    StartRefused     the port cannot be used, or certificate and key do not fit; a sentence

The TLS handshake happens in the request's thread: a client that connects and says nothing
holds that thread for some seconds and nobody else. All threads are daemons, so that a server
that nobody stopped cannot keep its process alive; `stop` waits for them all the same.
"""

import socket
import ssl
from threading import Lock, Thread
from typing import Any
from wsgiref.types import WSGIApplication

import structlog
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

log = structlog.get_logger("simulator.server")
_SILENCE_S = 5.0  # a client that says nothing for so long is hung up on
_STOPPING_S = 5.0  # an app that computes or sleeps for longer is left to its daemon thread


class StartRefused(Exception):
    """The server cannot start; the message says what to set."""


class Server:
    """An app behind a port."""

    def __init__(
        self,
        app: WSGIApplication,
        listener: socket.socket,
        tls: ssl.SSLContext | None,
        name: str,
    ) -> None:
        """listener: a duplicate is kept, so close yours. name: of the thread."""
        self._server = _Server(listener, app, tls)
        self.port: int = self._server.port
        self._thread = Thread(
            target=self._server.serve_forever, args=(0.05,), name=name, daemon=True
        )

    def start(self) -> None:
        """Answer requests."""
        self._thread.start()

    def stop(self) -> None:
        """Cut all connections; no thread and no socket is left."""
        self._server.hang_up()
        self._thread.join()
        self._server.server_close()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Werkzeug's own binding would print and exit where a port is in use.

    Raises StartRefused.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise StartRefused(_port_sentence(host, port, error)) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise StartRefused(_port_sentence(host, port, error)) from error
    return listener


class _Handler(WSGIRequestHandler):
    """One connection: handshake, one request, gone."""

    disable_nagle_algorithm = True  # else a request takes 19 ms instead of 7
    server: "_Server"

    def setup(self) -> None:
        self.request.settimeout(_SILENCE_S)
        if self.server.tls is not None:
            self.request = self.server.tls.wrap_socket(
                self.request, server_side=True, do_handshake_on_connect=False
            )
        self.server.opened(self.request)
        try:
            if self.server.tls is not None:
                self.request.do_handshake()
            super().setup()
        except BaseException:
            self._close()
            raise

    def finish(self) -> None:
        try:
            super().finish()
        except OSError:
            pass  # the client is gone already
        finally:
            self._close()

    def log(self, type: str, message: str, *args: Any) -> None:
        """Nothing: failed handshakes and requests are no events of this project."""

    def _close(self) -> None:
        self.server.closed(self.request)
        self.request.close()


class _Server(ThreadedWSGIServer):
    """A thread for each connection, all of them joined at the end."""

    def __init__(
        self, listener: socket.socket, app: WSGIApplication, tls: ssl.SSLContext | None
    ) -> None:
        self._open: set[socket.socket] = set()
        self._answering: set[Thread] = set()
        self._lock = Lock()
        self._hanging_up = False
        host, port = listener.getsockname()[:2]
        super().__init__(host, port, app, _Handler, fd=listener.fileno())
        self.tls = self.ssl_context = tls

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread that is remembered: socketserver forgets those that are daemons."""
        thread = Thread(
            target=self.process_request_thread,
            args=(request, client_address),
            name="answer",
            daemon=True,
        )
        with self._lock:
            self._answering = {one for one in self._answering if one.is_alive()}
            thread.start()
            self._answering.add(thread)

    def opened(self, connection: socket.socket) -> None:
        """Remember a connection; one that comes while hanging up is cut at once."""
        with self._lock:
            self._open.add(connection)
            if self._hanging_up:
                _shut_down(connection)

    def closed(self, connection: socket.socket) -> None:
        """Forget a connection."""
        with self._lock:
            self._open.discard(connection)

    def hang_up(self) -> None:
        """Accept nobody and cut all connections, so that their threads end."""
        self.shutdown()
        with self._lock:
            self._hanging_up = True
            for connection in self._open:
                _shut_down(connection)

    def server_close(self) -> None:
        """Close the port and wait for the threads."""
        super().server_close()
        for thread in self._answering:
            thread.join(_STOPPING_S)

    def log(self, type: str, message: str, *args: Any) -> None:
        """What broke off a request, in one line; an error in a page is logged by Flask."""
        lines = (message % args if args else message).strip().splitlines()
        if not self._hanging_up:
            log.error("request failed", reason=lines[-1] if lines else type)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a client that fails its handshake or goes away is no event."""


def _port_sentence(host: str, port: int, error: OSError) -> str:
    return (
        f"Port {port} on {host} cannot be used: {error.strerror}. "
        "Choose another with --port or CRM_SIM_PORT (--host or CRM_SIM_HOST for the address)."
    )


def _shut_down(connection: socket.socket) -> None:
    try:
        # Not SSLSocket.shutdown: that forgets the TLS state under the reading thread's feet.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        return  # not connected any more
