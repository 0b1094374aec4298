"""A test's own receivers: certificates for them, and WSGI apps served over https.

In: what the simulator issued, an app. Out: files, and a URL that answers until `stop`. Killed
here: the files stay in the system's temporary folder.
"""

import shutil
import ssl
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from wsgiref.types import WSGIApplication

from simulator.certificates import server_context
from simulator.serving import Server, listen

_HOST = "127.0.0.1"


@dataclass(frozen=True)
class Certificate:
    """A receiver's certificate (with its chain), its key, and the CA that clients trust."""

    cert_path: Path
    key_path: Path
    ca_path: Path

    def context(self) -> ssl.SSLContext:
        """For a server that presents it."""
        return server_context(self.cert_path, self.key_path)


def scratch_folder(until: ExitStack) -> Path:
    """A folder that is removed with the stack. (A TemporaryDirectory would be removed with a
    warning at the end of a process that has forgotten it.)
    """
    folder = Path(mkdtemp(prefix="crm-simulator-"))
    until.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


class Receivers:
    """What was made for one test; `stop` leaves no thread, port or file of it."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._folder: Path | None = None
        self._numbers = count(1)

    def keep(self, certificate: str, key: str, ca: str) -> Certificate:
        """The PEM texts as files."""
        if self._folder is None:
            self._folder = scratch_folder(self._open)
        stem = self._folder / f"receiver-{next(self._numbers)}"
        kept = Certificate(*(stem.with_suffix(end) for end in (".pem", ".key", ".ca.pem")))
        kept.key_path.touch(mode=0o600)
        for path, text in zip(
            (kept.cert_path, kept.key_path, kept.ca_path), (certificate, key, ca), strict=True
        ):
            path.write_text(text, encoding="ascii")
        return kept

    def serve(self, app: WSGIApplication, certificate: Certificate) -> str:
        """The URL at which the app answers, without a slash at the end."""
        with listen(_HOST, 0) as listener:
            server = Server(app, listener, certificate.context(), "receiver")
        server.start()
        self._open.callback(server.stop)
        return f"https://{_HOST}:{server.port}"

    def stop(self) -> None:
        """Stop all, and begin anew."""
        self._folder = None
        self._open.close()
