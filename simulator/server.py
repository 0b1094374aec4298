"""A simulator that is started and stopped: the same for the command line, tests and the demo.

In: settings. Out: an https server in a thread, on a port that is listened to when `start`
returns, and a ticking dispatcher. Killed here: the database has all that was committed.

    StartRefused     the port cannot be used, or certificate and key do not fit; a sentence

The TLS handshake happens in the request's thread: a client that connects and says nothing
holds that thread for some seconds and nobody else.
"""

import socket
import ssl
from ipaddress import ip_address
from pathlib import Path
from threading import Lock, Thread
from typing import Any, cast

import structlog
from flask import Flask
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from simulator.app import create_app
from simulator.certificates import Certificates, own_certificates, server_context
from simulator.clock import ControlledClock
from simulator.services import EXTENSION, Services
from simulator.settings import Settings

log = structlog.get_logger("simulator.server")
_SILENCE_S = 5.0  # a client that says nothing for so long is hung up on
_ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 named, not bound


class StartRefused(Exception):
    """The server cannot start; the message says what to set."""


class Simulator:
    """The simulator as one object: `with Simulator(settings) as simulator: simulator.url`."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: ControlledClock | None = None,
        ticking: bool = True,
    ) -> None:
        """ticking=False leaves deliveries alone until `services.dispatcher.run_once()`."""
        self.settings = settings
        self.ca_path: Path | None = None  # None: plain http, or a certificate of the user's own
        self.app: Flask
        self._clock = clock
        self._ticking = ticking
        self._port = 0
        self._server: _Server | None = None
        self._thread: Thread | None = None

    @property
    def url(self) -> str:
        """Where to reach it, without a slash at the end."""
        host = _ANY_ADDRESS.get(self.settings.host, self.settings.host)
        host = f"[{host}]" if ":" in host else host
        return f"{'https' if self.settings.tls else 'http'}://{host}:{self._port}"

    @property
    def services(self) -> Services:
        """The services of the running app."""
        return cast(Services, self.app.extensions[EXTENSION])

    def start(self) -> "Simulator":
        """Listen, then tick. Raises StartRefused, DatabaseUnusable, CaFileUnusable."""
        _refuse_open_control(self.settings)
        listener = _listen(self.settings.host, self.settings.port)
        try:
            tls = self._tls()
            self.app = create_app(self.settings, clock=self._clock)
            self._server = _Server(listener, self.app, tls)
        finally:
            listener.close()  # the server works on a duplicate
        self._port = self._server.port
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), name="simulator")
        self._thread.start()
        if self._ticking:
            self.services.scheduler.start()
        return self

    def stop(self) -> None:
        """Come to rest: no thread, no socket and no open file is left. May be called twice."""
        if self._server is None or self._thread is None:
            return
        self.services.begin_close()  # or a waiting request would hold up its thread
        self._server.hang_up()
        self._thread.join()
        self._server.server_close()
        self.services.close()
        self._server = self._thread = None

    def __enter__(self) -> "Simulator":
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def _tls(self) -> ssl.SSLContext | None:
        settings = self.settings
        if not settings.tls:
            return None
        if settings.tls_cert is None and settings.tls_key is None:
            try:
                own = own_certificates(settings.data_dir, settings.host)
            except OSError as error:
                raise StartRefused(
                    f"Certificates cannot be kept in {settings.data_dir} ({error.strerror}). "
                    "Name another folder with --data-dir or CRM_SIM_DATA_DIR."
                ) from error
            self.ca_path = own.ca
            return server_context(own)
        if settings.tls_cert is None or settings.tls_key is None:
            raise StartRefused("Give --tls-cert and --tls-key together, or neither.")
        try:
            return server_context(
                Certificates(settings.tls_cert, settings.tls_cert, settings.tls_key)
            )
        except OSError as error:
            raise StartRefused(
                f"The certificate {settings.tls_cert} and the key {settings.tls_key} cannot be "
                f"used ({error.strerror or error}). Check --tls-cert and --tls-key."
            ) from error


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

    def connection_dropped(self, error: BaseException, environ: Any = None) -> None:
        """Read no next request: the connection is to be closed as it is."""
        self.close_connection = True

    def log(self, type: str, message: str, *args: Any) -> None:
        """Nothing: failed handshakes and requests are no events of this project."""

    def _close(self) -> None:
        self.server.closed(self.request)
        self.request.close()


class _Server(ThreadedWSGIServer):
    """A thread for each connection, all of them joined at the end."""

    daemon_threads = False

    def __init__(self, listener: socket.socket, app: Flask, tls: ssl.SSLContext | None) -> None:
        host, port = listener.getsockname()[:2]
        super().__init__(host, port, app, _Handler, fd=listener.fileno())
        self.tls = self.ssl_context = tls
        self._open: set[socket.socket] = set()
        self._lock = Lock()
        self._hanging_up = False

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

    def log(self, type: str, message: str, *args: Any) -> None:
        """What broke off a request, in one line; an error in a page is logged by Flask."""
        lines = (message % args if args else message).strip().splitlines()
        if not self._hanging_up:
            log.error("request failed", reason=lines[-1] if lines else type)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a client that fails its handshake or goes away is no event."""


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket. Werkzeug's own binding would print and exit where a port is in use."""
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


def _refuse_open_control(settings: Settings) -> None:
    """Beyond this machine anybody could empty the Local CRM: there, a token is demanded."""
    if settings.control_token is None and not _is_loopback(settings.host):
        raise StartRefused(
            f"{settings.host} is not a loopback address, so the control API needs a token. "
            "Set CRM_SIM_CONTROL_TOKEN, or listen on 127.0.0.1."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
