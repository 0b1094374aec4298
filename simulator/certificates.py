"""The simulator's own certificate authority, its server certificate, and those it issues to others.

In: a data folder, the host to serve, names. Out: ca.pem, ca.key, server.pem, server.key in the
folder, and certificates in memory. Killed here: a half-written set does not fit together or is
missing a file, and is made anew.
"""

import ssl
from collections.abc import Sequence
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


@dataclass(frozen=True)
class Issued:
    """A certificate with its chain, and its key; both PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """A certificate authority whose certificate is a file that clients keep."""

    def __init__(self, path: Path, ca: trustme.CA) -> None:
        self.path = path
        self._ca = ca

    @property
    def pem(self) -> bytes:
        """The CA's certificate."""
        return self._ca.cert_pem.bytes()

    def issue(self, names: Sequence[str]) -> Issued:
        """A certificate for host names and addresses. Raises ValueError for what is neither."""
        issued = self._ca.issue_cert(*dict.fromkeys(names))
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        return Issued(chain, issued.private_key_pem.bytes())


def own_authority(folder: Path) -> Authority:
    """The authority kept in the folder, or a new one. Raises OSError.

    Clients keep ca.pem, so it must not change at every start.
    """
    path, key = folder / "ca.pem", folder / "ca.key"
    try:
        return Authority(path, trustme.CA.from_pem(path.read_bytes(), key.read_bytes()))
    except (FileNotFoundError, ValueError):
        made = trustme.CA()
        folder.mkdir(parents=True, exist_ok=True)
        _write_private(key, made.private_key_pem.bytes())
        made.cert_pem.write_to_path(str(path))
        return Authority(path, made)


def own_certificates(authority: Authority, host: str) -> Certificates:
    """Certificates for `host` and the loopback names; those of an earlier start where they fit."""
    folder = authority.path.parent
    found = Certificates(authority.path, folder / "server.pem", folder / "server.key")
    if not _still_fit(found, host):
        issued = authority.issue((*LOOPBACK_NAMES, host))
        _write_private(found.key, issued.key)
        found.certificate.write_bytes(issued.certificate)
    return found


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 and newer with that certificate. Raises OSError (ssl.SSLError is one)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context


def _still_fit(found: Certificates, host: str) -> bool:
    """Whether the kept set is whole, names `host` and is valid for another week."""
    if not found.certificate.exists():
        return False
    try:
        server_context(found.certificate, found.key)
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
