"""A Local CRM with many customers, and a simulator on it in a process of its own.

In: a folder and how many customers. Out: a database with customers alone (what a GET by number
meets), and a server over plain HTTP that also answers with canned replies:

    POST /canned?n=17   a view of the same app that returns the bytes which the 17th GET gives
    POST /bare?n=17     the same bytes from a WSGI callable in front of the app, without Flask

`python -m scripts.benchmarks.local_crm FOLDER ACCOUNT...` serves until its input is closed.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, quote_plus

from flask import Response, request
from rich.console import Console
from rich.progress import track
from sqlalchemy.orm import Session

from simulator.db import open_database, session_factory
from simulator.local_crm.changes import Author
from simulator.local_crm.fake_data import CHUNK, FakeData
from simulator.local_crm.models import Origin
from simulator.server import Simulator
from simulator.settings import Settings
from simulator.web import csrf

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONTENT_TYPE = "application/x-www-form-urlencoded"


def settings_for(folder: Path) -> Settings:
    """Plain HTTP on a free port."""
    return Settings(data_dir=folder, tls=False, port=0)


def fill(
    folder: Path,
    customers: int,
    *,
    customers_only: bool = True,
    before: Callable[[Session], None] | None = None,
) -> None:
    """A database with so many customers, and with what is theirs if that is wanted.

    before: what is done to the empty database.
    """
    folder.mkdir(parents=True, exist_ok=True)
    engine = open_database(settings_for(folder).database_path)
    source = FakeData(customers, 1, NOW, Author(Origin.BULK, "benchmark"))
    sessions = session_factory(engine)
    if before is not None:
        with sessions.begin() as session:
            before(session)
    chunks = range(-(-customers // CHUNK))
    for _ in track(chunks, f"{customers:,} customers", console=Console(stderr=True)):
        with sessions.begin() as session:
            source.add_chunk(session, customers_only=customers_only)
    engine.dispose()


def get_body(account: str) -> bytes:
    """A request for one customer, percent-encoded as a careful client sends it."""
    xml = (
        "<WAPI><TENANT>demo</TENANT><USERNAME>crmapi</USERNAME><PASSWORD>crmapi-demo</PASSWORD>"
        f'<COMMAND OBJECT="Customer" ACTION="GET"><ACCOUNTNUM>{account}</ACCOUNTNUM></COMMAND>'
        "</WAPI>"
    )
    return b"xml_query=" + quote_plus(xml).encode()


class Server(AbstractContextManager["Server"]):
    """The simulator on a folder, in a process of its own that a module of the benchmarks runs."""

    def __init__(self, folder: Path, accounts: Iterable[str], module: str = __name__) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(folder), *accounts],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None  # noqa: S101 it is a pipe
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("The simulator did not start; what it said stands above.")
        self.pid = self._process.pid
        self.said: dict[str, Any] = json.loads(line)
        self.port = int(self.said["port"])

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.communicate()  # closes its input, and waits


def add_canned(app: Any, replies: list[bytes]) -> None:
    """The two canned addresses; before the app has answered any request."""

    def canned() -> Response:
        request.get_data()
        reply = replies[int(request.args["n"])]
        return Response(reply, content_type="text/xml; charset=ISO-8859-1")

    csrf.exempt(canned)
    app.add_url_rule("/canned", view_func=canned, methods=["POST"])
    through_flask: Callable[..., Iterable[bytes]] = app.wsgi_app

    def bare(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/bare":
            return through_flask(environ, start_response)
        environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        reply = replies[int(parse_qs(environ["QUERY_STRING"])["n"][0])]
        length = ("Content-Length", str(len(reply)))
        start_response("200 OK", [("Content-Type", "text/xml; charset=ISO-8859-1"), length])
        return [reply]

    app.wsgi_app = bare


def replies_of(app: Any, accounts: Iterable[str]) -> list[bytes]:
    """What the API answers for each account."""
    client = app.test_client()
    return [
        client.post("/WAPI/wapi.php", data=get_body(a), content_type=CONTENT_TYPE).data
        for a in accounts
    ]


def _serve(folder: Path, accounts: list[str]) -> None:
    with Simulator(settings_for(folder), ticking=False) as simulator:
        replies: list[bytes] = []
        add_canned(simulator.app, replies)
        replies += replies_of(simulator.app, accounts)
        print(json.dumps({"port": simulator.url.rpartition(":")[2]}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), sys.argv[2:])
