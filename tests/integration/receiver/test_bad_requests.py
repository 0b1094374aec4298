"""Requests that no 8x8 sends, at the real web process, byte for byte.

Each gets an answer of its own or a closed connection, never a 200 nor a failure of ours; nothing
of it is taken for a trigger, the secret stays out of the log, and the next trigger is stored.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from external_crm.db import database_file, read_session
from receiver.models import InboxTrigger, Reject
from tests import external_databases

SECRET = "a-secret-of-24-characters"
URL = f"/8x8/{SECRET}"


class Web:
    """`crm-receiver web` on a port of its own."""

    def __init__(self, engine: Engine, port: int) -> None:
        self.engine = engine
        self.port = port

    def send(self, target: bytes, method: bytes = b"GET", after: bytes = b"") -> int | None:
        """The status for one request line, or None where the connection was closed."""
        head = b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            try:
                connection.sendall(method + b" " + target + head + (after or b"\r\n"))
                with connection.makefile("rb") as answer:
                    line = answer.readline()
            except ConnectionError:
                return None
        return int(line.split()[1]) if line else None

    def rows(self, table: type) -> list:
        with read_session(self.engine) as session:
            return list(session.scalars(select(table)))


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "web.log"


@pytest.fixture(scope="module")
def web(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory, log: Path
) -> Iterator[Web]:
    engine = external_databases.sqlite_engine(sqlite_template, tmp_path_factory.mktemp("web"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    settings = {
        "DATABASE_URL": f"sqlite:///{database_file(engine)}",
        "SECRET": SECRET,
        "PORT": str(port),
    }
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "receiver", "web"],
            env=os.environ | {f"CRM_RECEIVER_{name}": value for name, value in settings.items()},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdout.readline().startswith("Receiver listens")
        yield Web(engine, port)
        process.terminate()
    engine.dispose()


MANY = "&".join(f"p{n}={n}" for n in range(5000)).encode()
BAD = {
    "a query of 100 KB": b"?AccountID=1&pad=" + b"y" * 100_000,
    "an id of 100 KB": b"?AccountID=" + b"1" * 100_000,
    "5,000 parameters and no id": b"?" + MANY,
    "5,000 times the same id": b"?" + b"&".join([b"AccountID=1"] * 5000),
    "a path of 100 KB": b"/case/" + b"x" * 100_000 + b"?AccountID=1",
    "a NUL": b"?AccountID=1\x00",
    "an escaped NUL": b"?AccountID=1%00",
    "an escaped NUL in the path": b"/case%00/edit?AccountID=1&CaseID=2",
    "a bare line feed": b"?AccountID=1\nX: y",
    "an escaped line feed": b"?AccountID=1%0d%0aX:%20y",
    "an escape sequence": b"?AccountID=\x1b[31m",
    "an eight-bit escape sequence": b"?AccountID=\x9b31m",
    "half an escape": b"?AccountID=1%",
    "no escape": b"?AccountID=%zz",
    "an escaped escape": b"?AccountID=%2531",
    "UTF-8": "?AccountID=é".encode(),
    "no UTF-8": b"?AccountID=\xe9",
    "escaped UTF-8 in the path": b"/%C3%A9/edit?AccountID=1",
    "half a character in the path": b"/case/edit%C3?AccountID=1&CaseID=2",
    "overlong UTF-8": b"?AccountID=%C0%AE",
    "full-width digits": b"?AccountID=%EF%BC%91",
    "a semicolon": b"?AccountID=1;CaseID=2",
    "an array": b"?AccountID[]=1",
    "another case": b"?accountid=1",
    "a quote": b"?AccountID=1'--",
    "a traversal": b"/../8x8?AccountID=1",
    "a fragment": b"?#AccountID=1",
    "nothing": b"?",
}


@pytest.mark.parametrize("tail", BAD.values(), ids=BAD)
def test_what_is_no_trigger_leaves_no_trigger(web: Web, log: Path, tail: bytes) -> None:
    before = len(web.rows(InboxTrigger))
    status = web.send(URL.encode() + tail)
    if tail.startswith(b"?AccountID=1&pad="):  # there is a trigger in it, and it is too long
        assert status in (200, 414)
        before += status == 200
    else:
        assert status in (400, 404, 414, 431, None)
    assert len(web.rows(InboxTrigger)) == before
    for kept in web.rows(Reject):
        assert (kept.line + kept.reason).isprintable()
        assert (kept.line + kept.reason).isascii()
        assert SECRET not in kept.line + kept.reason
    assert web.send(f"{URL}?AccountID=77".encode()) == 200
    assert SECRET not in log.read_text(errors="replace")
    assert "Traceback" not in log.read_text(errors="replace")


def test_a_trigger_among_few_parameters_of_others_is_stored(web: Web) -> None:
    before = len(web.rows(InboxTrigger))
    assert web.send(f"{URL}?x=%00%ff&AccountID=%37%38&y=\u00e9".encode()) == 200
    rows = web.rows(InboxTrigger)
    assert len(rows) == before + 1
    assert rows[-1].record_id == "78"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "HEAD", "BREW"])
def test_other_methods_store_nothing(web: Web, method: str) -> None:
    before = len(web.rows(InboxTrigger))
    status = web.send(f"{URL}?AccountID=1".encode(), method.encode())
    assert status in (400, 405)
    assert len(web.rows(InboxTrigger)) == before


@pytest.mark.parametrize(
    "line",
    [
        b"CONNECT 127.0.0.1:443 HTTP/1.1",
        b"GET",
        b"GET /",
        b"\x16\x03\x01\x02\x00\x01",
        b"\x00" * 99,
    ],
    ids=["CONNECT", "no target", "no version", "TLS", "NULs"],
)
def test_what_is_no_request_is_hung_up_on(web: Web, line: bytes) -> None:
    with socket.create_connection(("127.0.0.1", web.port), timeout=60) as connection:
        connection.sendall(line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answer:
            status = answer.readline().split()[1:2]
    assert status in ([], [b"400"], [b"404"], [b"405"])
    assert web.send(f"{URL}?AccountID=77".encode()) == 200


def test_a_post_with_a_body_of_any_kind_is_taken_by_its_url(web: Web) -> None:
    before = len(web.rows(InboxTrigger))
    after = b"Content-Length: 11\r\n\r\n\x00\xff\x00\xff\x00\xff\x00\xff\x00\xff\x00"
    assert web.send(f"{URL}?AccountID=79".encode(), b"POST", after) == 200
    assert len(web.rows(InboxTrigger)) == before + 1
