"""How clients are told to trust the simulator's certificate, in the words of their own shells.

In: the CA file. Out: lines that a shell takes, and a trust store for Java beside the file.
Killed here: the trust store is made again at the next call.
"""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import (
    PKCS12Certificate,
    serialize_java_truststore,
)

JAVA_PASSWORD = "changeit"  # noqa: S105 Java's own default; it protects no secret


def variables(url: str, ca: Path | None) -> dict[str, str]:
    """What to set so that Python, curl, Node and Java trust the simulator.

    CRM_SIM_URL and CRM_SIM_CA are for this command line. ca: None where it serves plain http.
    Raises OSError and ValueError where the CA file is none or the trust store cannot be written.
    """
    found = {"CRM_SIM_URL": url}
    if ca is None:
        return found
    path = str(ca.absolute())
    store = java_trust_store(ca)
    java = f"-Djavax.net.ssl.trustStore={store} -Djavax.net.ssl.trustStorePassword={JAVA_PASSWORD}"
    return found | {
        "CRM_SIM_CA": path,
        "REQUESTS_CA_BUNDLE": path,  # Python: requests
        "SSL_CERT_FILE": path,  # Python: ssl, httpx; Go; Ruby
        "CURL_CA_BUNDLE": path,
        "NODE_EXTRA_CA_CERTS": path,
        "JAVA_TOOL_OPTIONS": java,
    }


def export_lines(values: Mapping[str, str]) -> list[str]:
    """The variables as lines that a POSIX shell takes: eval "$(crm-simulator env)"."""
    return [f"export {name}={shlex.quote(value)}" for name, value in values.items()]


def java_trust_store(ca: Path) -> Path:
    """A PKCS 12 file beside the CA file with the CA as a trusted certificate."""
    certificate = x509.load_pem_x509_certificate(ca.read_bytes())
    entry = PKCS12Certificate(certificate, b"crm-simulator")
    encryption = BestAvailableEncryption(JAVA_PASSWORD.encode())
    path = ca.absolute().with_suffix(".p12")
    scratch = path.with_suffix(f".{os.getpid()}")
    scratch.write_bytes(serialize_java_truststore([entry], encryption))
    scratch.replace(path)  # a Java that starts meanwhile reads the old one or the new one
    return path
