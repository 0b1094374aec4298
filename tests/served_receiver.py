"""`crm-receiver serve` as real processes, and a CRM API that knows every customer."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote_plus

SECRET = "a-secret-of-24-characters"
LONGEST_S = 120  # until a test gives up; nothing is measured


class Serving:
    """A running `serve`, which says on standard output what happens."""

    def __init__(
        self, database_url: str, command: Sequence[str] = ("serve",), **settings: str
    ) -> None:
        """command: `serve`, or what runs the receiver in its place."""
        own = {
            "DATABASE_URL": database_url,
            "SECRET": SECRET,
            "CRM_API_URL": "http://127.0.0.1:9",
            "TENANT": "demo",
            "USERNAME": "crmapi",
            "PASSWORD": "hush-hush",
            "PORT": str(free_port()),
            "SCHEDULE": "quick",
            **settings,
        }
        self.port = int(own["PORT"])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "receiver", *command],
            env=os.environ | {f"CRM_RECEIVER_{name}": value for name, value in own.items()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._said = b""
        self.bytes_said = 0
        self._ended = False
        self._heard = threading.Condition()
        # All the time: with nobody to read what it says, it would wait for that.
        self._hearing = threading.Thread(target=self._hear, daemon=True)
        self._hearing.start()

    def says(self, *sentences: str) -> None:
        """Return once it said all of these, in any order; what it said before is forgotten."""
        missing = [sentence.encode() for sentence in sentences]
        with self._heard:
            while not all(sentence in self._said for sentence in missing):
                assert not self._ended, f"It ended before it said {sentences}: {self._said!r}"
                self._wait_for_more()
            end = max(self._said.index(sentence) + len(sentence) for sentence in missing)
            self._said = self._said[end:]

    def is_silent_for_good(self) -> None:
        """Return once no process is left that could say anything."""
        with self._heard:
            while not self._ended:
                self._wait_for_more()

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of one request."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as got:
                return got.status, got.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def trigger(self, account: str) -> int:
        """The status that a trigger is answered with."""
        return self.get(f"/8x8/{SECRET}?AccountID={account}")[0]

    def child(self, command: str) -> int:
        """The process id of its child that runs this command."""
        return next(pid for pid in children(self.process.pid) if command in arguments(pid))

    def close(self) -> None:
        """Leave no process behind."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            finally:
                if self.process.poll() is None:
                    os.killpg(self.process.pid, signal.SIGKILL)
                    self.process.wait()
        self._hearing.join(LONGEST_S)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _wait_for_more(self) -> None:
        said = self.bytes_said
        more = self._heard.wait_for(lambda: self._ended or self.bytes_said > said, LONGEST_S)
        assert more, f"Nothing more was said: {self._said[-2000:]!r}"

    def _hear(self) -> None:
        assert self.process.stdout is not None
        while more := os.read(self.process.stdout.fileno(), 65_536):
            with self._heard:
                self._said += more
                self.bytes_said += len(more)
                self._heard.notify_all()
        with self._heard:
            self._ended = True
            self._heard.notify_all()


def children(pid: int) -> list[int]:
    """The process ids of its direct children, as Linux tells them."""
    return [
        int(child)
        for tasks in Path(f"/proc/{pid}/task").glob("*/children")
        for child in tasks.read_text().split()
    ]


def arguments(pid: int) -> list[str]:
    """The command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _EveryCustomer(BaseHTTPRequestHandler):
    """Answers each GET of a customer with that customer."""

    def do_POST(self) -> None:
        body = unquote_plus(self.rfile.read(int(self.headers["Content-Length"])).decode())
        found = re.search(r"<ACCOUNTNUM>(\w+)</ACCOUNTNUM>", body)
        number = found[1] if found else ""
        reply = (
            '<WAPI><REPLY STATUS="0" ERROR_STR="" ERROR_CODE="0"><ITEM><LASTNAME>Lovelace'
            f"</LASTNAME><ACCOUNTNUM>{number}</ACCOUNTNUM></ITEM></REPLY></WAPI>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def every_customer() -> Iterator[str]:
    """The URL of a CRM API in which every customer is there."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _EveryCustomer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
