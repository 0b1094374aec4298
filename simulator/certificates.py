"""The simulator's own certificate authority and server certificate, kept in the data folder.

In: a folder and the host to serve. Out: paths of ca.pem, server.pem, server.key. Killed here:
a half-written set does not fit together or is missing a file, and is made anew.
"""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.exceptions import InvalidSignature

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Certificates:
    """What the server presents, and the CA that a client checks it against."""

    ca: Path
    certificate: Path
    key: Path


def own_certificates(folder: Path, host: str) -> Certificates:
    """Certificates for `host` and the loopback names; those of an earlier start where they fit.

    Clients keep ca.pem, so it must not change at every start.
    """
    found = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    if not _still_fit(found, host):
        folder.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        issued = authority.issue_cert(*dict.fromkeys((*LOOPBACK_NAMES, host)))
        _write_private(found.key, issued.private_key_pem.bytes())
        found.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        authority.cert_pem.write_to_path(str(found.ca))
    return found


def server_context(certificates: Certificates) -> ssl.SSLContext:
    """TLS 1.2 and newer with that certificate. Raises OSError (ssl.SSLError is one)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificates.certificate, certificates.key)
    return context


def _still_fit(found: Certificates, host: str) -> bool:
    """Whether the kept set is whole, names `host` and is valid for another week."""
    try:
        server_context(found)
        leaf = x509.load_pem_x509_certificate(found.certificate.read_bytes())
        leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(found.ca.read_bytes()))
    except (OSError, ValueError, InvalidSignature):
        return False
    if leaf.not_valid_after_utc < datetime.now(UTC) + timedelta(days=7):
        return False
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    try:
        return ip_address(host) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        return host in names.get_values_for_type(x509.DNSName)


def _write_private(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600, exist_ok=False)  # private before there is anything in it
    path.write_bytes(content)
