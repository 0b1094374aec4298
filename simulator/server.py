"""A simulator that is started and stopped: the same for the command line, tests and the demo.

In: settings, or none for one that is thrown away. Out: an https server in a thread, on a port
that is listened to when `start` returns, and a ticking dispatcher. Killed here: the database has
all that was committed.

    StartRefused     the port cannot be used, or certificate and key do not fit; a sentence

A simulator that nobody stopped stops when it is collected, or when the process ends.
"""

import ssl
import weakref
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

from flask import Flask

from simulator.app import create_app
from simulator.certificates import Authority, own_authority, own_certificates, server_context
from simulator.client import Control
from simulator.clock import ControlledClock
from simulator.receivers import scratch_folder
from simulator.services import EXTENSION, Services
from simulator.serving import Server, StartRefused, listen
from simulator.settings import Settings
from simulator.transport import InProcess

__all__ = ["Simulator", "StartRefused"]


class Simulator(Control):
    """The simulator as one object: `with Simulator() as sim: sim.agent.create_customer(...)`."""

    settings: Settings
    app: Flask

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        clock: ControlledClock | None = None,
        ticking: bool = True,
        **changes: Any,
    ) -> None:
        """Without settings: a free port of this machine, and a Local CRM that is thrown away.

        changes: settings that differ from that, such as retry_schedule="quick".
        ticking=False leaves deliveries alone until `services.dispatcher.run_once()`.
        """
        if settings is not None and changes:
            raise TypeError("Give the simulator either a Settings or single settings, not both.")
        self._transport = InProcess()
        super().__init__(self._transport)
        self._thrown_away = settings is None
        self.settings = settings or Settings(**{"port": 0, "ephemeral": True, **changes})
        self.ca_path: Path | None = None  # None: plain http, or a certificate of the user's own
        self._given_clock = clock
        self._ticking = ticking
        self._port = 0
        self._stop: weakref.finalize[Any, Any] | None = None

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped since."""
        return self._stop is not None and self._stop.alive

    @property
    def url(self) -> str:  # type: ignore[override]
        """Where to reach it, without a slash at the end."""
        return self.settings.url_at(self._port)

    @property
    def services(self) -> Services:
        """The services of the running app."""
        return cast(Services, self.app.extensions[EXTENSION])

    def start(self) -> "Simulator":
        """Listen, then tick. Raises StartRefused, DatabaseUnusable, CaFileUnusable."""
        _refuse_open_control(self.settings)
        with ExitStack() as stack:
            if self._thrown_away:
                folder = scratch_folder(stack)
                self.settings = self.settings.model_copy(update={"data_dir": folder})
            # The server works on a duplicate.
            with listen(self.settings.host, self.settings.port) as listener:
                authority, tls = self._tls()
                self.app = create_app(self.settings, clock=self._given_clock, authority=authority)
                services = self.services
                stack.callback(services.close)
                server = Server(self.app, listener, tls, "simulator")
            server.start()
            stack.callback(server.stop)
            stack.callback(services.begin_close)  # or a waiting request would hold up its thread
            self._port = server.port
            token = self.settings.control_token
            secret = None if token is None else token.get_secret_value()
            self._transport.connect(self.app, self.url, secret)
            if self._ticking:
                services.scheduler.start()
            # Nothing that it holds leads back to this object, which may therefore be collected.
            self._stop = weakref.finalize(self, stack.pop_all().close)
        return self

    def stop(self) -> None:
        """Come to rest: no thread, no socket and no open file is left. May be called twice."""
        if self._stop is not None:
            self._stop()
        self.close()

    def __enter__(self) -> "Simulator":
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def _tls(self) -> tuple[Authority, ssl.SSLContext | None]:
        settings = self.settings
        self.ca_path = None
        try:
            authority = own_authority(settings.data_dir)
            if not settings.tls:
                return authority, None
            if settings.tls_cert is None and settings.tls_key is None:
                own = own_certificates(authority, settings.host)
                self.ca_path = own.ca
                return authority, server_context(own.certificate, own.key)
        except OSError as error:
            raise StartRefused(
                f"Certificates cannot be kept in {settings.data_dir} ({error.strerror}). "
                "Name another folder with --data-dir or CRM_SIM_DATA_DIR."
            ) from error
        if settings.tls_cert is None or settings.tls_key is None:
            raise StartRefused("Give --tls-cert and --tls-key together, or neither.")
        try:
            return authority, server_context(settings.tls_cert, settings.tls_key)
        except OSError as error:
            raise StartRefused(
                f"The certificate {settings.tls_cert} and the key {settings.tls_key} cannot be "
                f"used ({error.strerror or error}). Check --tls-cert and --tls-key."
            ) from error


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
