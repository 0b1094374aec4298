"""Whether a trigger URL can be reached and trusted from here, without calling it.

In: a URL, the TLS context that triggers are sent with. Out: a Finding: what is so, and what to do.
A connection and a TLS handshake, no request: nothing is stored on the other side.
"""

import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from simulator.triggers.deadline import PHASES, Deadline
from simulator.triggers.failures import sentence_for

# OpenSSL's verify codes.
_EXPIRED, _NOT_YET_VALID = 10, 9
_NAME_MISMATCH = (62, 64)  # host name, address


@dataclass(frozen=True)
class Finding:
    """What is known of one server that boxes name."""

    server: str  # host and port; the rest of a trigger URL may hold a secret
    reachable: bool
    sentence: str
    advice: str = ""  # what to do; nothing where all is well


def check_servers(urls: Iterable[str], tls: ssl.SSLContext, timeout_s: float) -> list[Finding]:
    """One finding for each server, in the order of the URLs."""
    servers = dict.fromkeys(_server_of(url) for url in urls if url)
    return [check_server(host, port, secure, tls, timeout_s) for host, port, secure in servers]


def check_server(
    host: str, port: int, secure: bool, tls: ssl.SSLContext, timeout_s: float
) -> Finding:
    """Whether a server accepts a connection and shows a certificate that is trusted."""
    server = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    with Deadline(timeout_s) as deadline:
        try:
            with deadline.connect(host, port) as connection:
                version = "no TLS"
                if secure:
                    deadline.phase = PHASES[1]
                    with tls.wrap_socket(connection, server_hostname=host) as secured:
                        version = secured.version() or "TLS"
        except (OSError, UnicodeError) as error:
            return Finding(server, False, sentence_for(error, server, deadline), _advice(error))
    return Finding(server, True, f"{server} is reached and trusted ({version}).")


def _server_of(url: str) -> tuple[str, int, bool]:
    parts = urlsplit(url)
    secure = parts.scheme.lower() != "http"
    return parts.hostname or "", parts.port or (443 if secure else 80), secure


def _advice(error: Exception) -> str:
    match error:
        case ssl.SSLCertVerificationError() if error.verify_code in _NAME_MISMATCH:
            return (
                "Put the name that the certificate is for into the box, or give the receiver a "
                "certificate for this name."
            )
        case ssl.SSLCertVerificationError() if error.verify_code in (_EXPIRED, _NOT_YET_VALID):
            return "Give the receiver a certificate that is valid now, or set this machine's clock."
        case ssl.SSLCertVerificationError():
            return (
                "Start the simulator with --trigger-ca and the receiver's CA. 8x8 itself trusts "
                "public authorities only, and wants the intermediate certificates sent along."
            )
        case ssl.SSLError():
            return "See that the receiver speaks https on this port, with TLS 1.2 or newer."
        case socket.gaierror() | UnicodeError():
            return "Correct the host name in the box, or see why it cannot be resolved here."
        case ConnectionRefusedError():
            return "Start the receiver, or correct the port in the box."
        case TimeoutError():
            return "See whether a firewall stands between, and whether the receiver is up."
    return "See whether the receiver is up and reached from here."
