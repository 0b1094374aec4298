"""The web process: granian in front of the Flask application.

In: settings. Out: a listening port, until a signal. Killed here: requests that were not answered
are called again by 8x8.

granian shares its port (SO_REUSEPORT), so a second receiver on the same port would start without
a word and take half the triggers; the port is therefore reserved first and held.
"""

import ctypes
import functools
import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from granian import Granian
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels

from receiver import failpoints, logs
from receiver.app import create_app, open_engine
from receiver.settings import Misconfigured, Settings


def run(settings: Settings) -> None:
    """Serve the trigger URLs until SIGTERM or Ctrl-C. Raises Misconfigured, DatabaseUnusable."""
    settings.check_web()
    _check_tls(settings.tls_cert, settings.tls_key)
    open_engine(settings).dispose()  # its sentence, instead of a crash in the child
    reserved = reserve(settings.host, settings.port)
    port = int(reserved.getsockname()[1])
    scheme = "https" if settings.tls_cert else "http"
    announce(settings.host, port, f"Receiver listens on {scheme}://{settings.host}:{port}.")
    Granian(
        "receiver",
        address=settings.host,
        port=port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,  # while it guesses the version, granian waits for ever
        workers=1,
        blocking_threads=settings.web_threads,
        backpressure=settings.web_threads * 8,
        http1_settings=HTTP1Settings(header_read_timeout=10_000),
        websockets=False,
        ssl_cert=settings.tls_cert,
        ssl_key=settings.tls_key,
        ssl_protocol_min=SSLProtocols.tls12,
        workers_kill_timeout=30,
        log_level=LogLevels.error,
        log_access=False,  # the path holds the secret
    ).serve(target_loader=functools.partial(_load, settings), wrap_loader=False)


def reserve(host: str, port: int) -> socket.socket:
    """A bound socket that keeps others off the port; keep it open. Raises Misconfigured."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        reserved.bind((host, port))
    except OSError as error:
        reserved.close()
        raise Misconfigured(
            f"Port {port} on {host} cannot be used: {error.strerror}. "
            "End what listens there, or set CRM_RECEIVER_PORT."
        ) from None
    # Only now may granian join: with the option set before, a second receiver could, too.
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return reserved


def announce(host: str, port: int, sentence: str) -> None:
    """Print a sentence once somebody really listens; gives up silently after a minute."""

    def probe() -> None:
        for _ in range(600):
            with socket.socket() as attempt:
                attempt.settimeout(1)
                if attempt.connect_ex((host, port)) == 0:
                    click.echo(sentence)
                    return
            threading.Event().wait(0.1)

    threading.Thread(target=probe, daemon=True).start()


def die_with_parent() -> None:
    """Ask the kernel (Linux) for SIGTERM when the parent dies, even of SIGKILL."""
    parent = os.getppid()
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    except (OSError, AttributeError):
        return  # another system: there the supervisor's own signals must do
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def _load(settings: Settings) -> Callable[..., Any]:
    """In granian's child: an engine, pools and locks of its own."""
    die_with_parent()
    logs.configure(settings.log_format)
    failpoints.arm(settings.failpoint)
    return create_app(settings, open_engine(settings))


def _check_tls(cert: Path | None, key: Path | None) -> None:
    if cert is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key)
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise Misconfigured(
            f"Certificate {cert} and key {key} cannot be used: {reason}. "
            "Check CRM_RECEIVER_TLS_CERT and CRM_RECEIVER_TLS_KEY."
        ) from None
