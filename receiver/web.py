"""The web process: granian in front of the application.

In: settings. Out: a listening port, until a signal. Killed here: requests that were not answered
are called again by 8x8.
"""

import functools
import gc
import resource
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.utils.proxies import wrap_wsgi_with_proxy_headers

from receiver import descriptors, failpoints, lifeline, logs
from receiver.app import create_app, open_engine
from receiver.clock import SystemClock
from receiver.ingest import PATH
from receiver.one_core import OneCore
from receiver.port import announce, reserve
from receiver.recording import going_on
from receiver.recording_front import RecordingFront
from receiver.settings import Settings

PATIENCE_S = 2.0  # 8x8 calls again sooner than a crowd of waiting requests dissolves
ANSWER_WITHIN_S = 4.0  # the database, whatever is asked: then 8x8 is told to call again
_OWN_FILES = 256  # descriptors that are no client's: databases, libraries, standard streams


def run(settings: Settings, port_is_held: bool = False) -> None:
    """Serve the trigger URLs until SIGTERM or Ctrl-C. Raises Misconfigured, DatabaseUnusable.

    port_is_held: the supervisor holds the port for as long as it runs.
    """
    settings.check_web()
    settings.check_tls()
    open_engine(settings).dispose()  # its sentence, instead of a crash in the child
    with nullcontext() if port_is_held else reserve(settings.host, settings.port) as reserved:
        port = int(reserved.getsockname()[1]) if reserved else settings.port
        scheme = "https" if settings.tls_cert else "http"
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        announce(settings.host, port, f"Receiver listens on {scheme}://{host}:{port}.")
        serve_wsgi(settings, port, functools.partial(_load, settings))


def serve_wsgi(settings: Settings, port: int, load: Callable[[], Callable[..., Any]]) -> None:
    """Run granian as the receiver runs it; `load` makes the application in granian's child."""
    Granian(
        "receiver",
        address=settings.host,
        port=port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,  # while it guesses the version, granian waits for ever
        workers=settings.web_processes,
        blocking_threads=settings.web_threads,
        # Counts connections, not requests: silent ones hold a place until they time out.
        backpressure=_let_in(settings.web_connections),
        http1_settings=HTTP1Settings(header_read_timeout=10_000),
        websockets=False,
        ssl_cert=settings.tls_cert,
        ssl_key=settings.tls_key,
        ssl_protocol_min=SSLProtocols.tls12,
        respawn_failed_workers=True,
        workers_kill_timeout=30,
        log_level=LogLevels.error,
        log_access=False,  # the path holds the secret
    ).serve(target_loader=load, wrap_loader=False)


def _let_in(connections: int) -> int:
    """How many connections can be open at once, with the descriptors that the system grants."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OWN_FILES
    granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < hard:
        # All there are: a TLS connection counts only from the end of its handshake on.
        highest = granted if hard == resource.RLIM_INFINITY else hard
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, highest), hard))
    return max(1, granted - _OWN_FILES)


def _load(settings: Settings) -> Callable[..., Any]:
    """In granian's child: an engine, pools and locks of its own."""
    lifeline.tie_to_parent_process()
    logs.configure(settings.log_format)
    failpoints.arm(settings.failpoint)
    descriptors.watch()
    engine = open_engine(settings, patience_s=PATIENCE_S, answer_within_s=ANSWER_WITHIN_S)
    app: Callable[..., Any] = create_app(settings, engine)
    if settings.one_core:
        app = OneCore(app)
    gc.collect()
    gc.freeze()  # what is there now stays: nobody has to look through it for garbage
    recording = going_on(settings, SystemClock())
    if recording is not None:
        app = RecordingFront(app, recording, PATH)
    if not settings.trusted_proxies:
        return app
    proxies = [proxy.strip() for proxy in settings.trusted_proxies.split(",")]
    wrapped: Callable[..., Any] = wrap_wsgi_with_proxy_headers(app, proxies)
    return wrapped
