"""The port: reserved before anything else starts, held until the end.

granian shares its port (SO_REUSEPORT), so a second receiver on the same port would start without
a word and take half the triggers.
"""

import socket
import threading

import click

from receiver.settings import Misconfigured


def reserve(host: str, port: int) -> socket.socket:
    """A bound socket that keeps others off the port; keep it open. Raises Misconfigured."""
    reserved = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
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
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as attempt:
                attempt.settimeout(1)
                if attempt.connect_ex((host, port)) == 0:
                    click.echo(sentence)
                    return
            threading.Event().wait(0.1)

    threading.Thread(target=probe, daemon=True).start()
