"""Certificate and key before they are served: what is wrong with them, in a sentence.

In: two readable files. Out: None, or the sentence.
"""

import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509


def problem(cert: Path, key: Path) -> str | None:
    """Why 8x8 could not connect with these files, as far as they tell; None if they are good."""
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key, password=_no_password)
    except _Encrypted:
        return f"Key {key} is protected by a password: store it without one, readable by you alone."
    except (ssl.SSLError, OSError, ValueError) as error:
        return f"Certificate {cert} and key {key} cannot be used: {_reason(error)}."
    leaf = x509.load_pem_x509_certificates(cert.read_bytes())[0]
    now = datetime.now(UTC)
    if leaf.not_valid_after_utc < now:
        return f"Certificate {cert} expired on {leaf.not_valid_after_utc:%Y-%m-%d}: renew it."
    if leaf.not_valid_before_utc > now:
        return (
            f"Certificate {cert} is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} "
            "UTC: look at this machine's clock."
        )
    return None


def is_authority(ca: Path) -> bool:
    """Whether a file holds certificates by which others could be checked."""
    try:
        ssl.create_default_context(cafile=str(ca))
    except ssl.SSLError:
        return False
    return True


def _reason(error: Exception) -> str:
    """In words; OpenSSL names some reasons in its message alone, and with blanks."""
    said = str(error).upper().replace(" ", "_")
    return next((words for name, words in _REASONS.items() if name in said), str(error).rstrip("."))


_REASONS = {
    "KEY_VALUES_MISMATCH": "the key belongs to another certificate",
    "NO_START_LINE": "one of them holds no PEM text",
    "PEM_LIB": "one of them holds no PEM text of its kind",
}


class _Encrypted(Exception):
    """The key asks for a password; OpenSSL would ask for it on the terminal."""


def _no_password() -> bytes:
    raise _Encrypted
