"""`crm-receiver serve` with real processes: what is killed comes again, or goes with the rest."""

import json
import os
import resource
import signal
import socket
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, text

from external_crm.db import read_session
from external_crm.models import LIVE_TABLES, AuditEntry
from external_crm.rows import Kind
from receiver.models import Heartbeat, InboxTrigger
from tests import external_databases
from tests.served_receiver import Serving, children, every_customer

Serve = Callable[..., Serving]


@pytest.fixture
def serve(sqlite: Engine) -> Iterator[Serve]:
    """Starts `serve` on a migrated SQLite file."""
    with ExitStack() as stack:

        def start(**settings: str) -> Serving:
            serving = Serving(str(sqlite.url), **settings)
            stack.callback(serving.close)
            return serving

        yield start


def started(serving: Serving) -> Serving:
    serving.says("Receiver listens", "Worker reads")
    return serving


def test_with_the_supervisor_everything_ends_even_by_sigkill(serve: Serve) -> None:
    serving = started(serve())
    assert serving.trigger("1") == 200
    serving.process.kill()
    serving.is_silent_for_good()  # web, granian's own child and worker held its output open
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", serving.port)) != 0


def test_started_again_it_goes_on(serve: Serve, sqlite: Engine) -> None:
    first = started(serve())
    assert first.trigger("10000001") == 200  # the CRM API is away: it stays in the inbox
    first.process.kill()
    first.is_silent_for_good()
    with every_customer() as api:
        again = serve(CRM_API_URL=api, PORT=str(first.port))
        again.says("Receiver listens", "applied")  # the worker may be the quicker one
        again.close()
    assert customers(sqlite) == ["10000001"]


def test_a_killed_worker_is_started_again_and_readyz_says_so(serve: Serve) -> None:
    serving = started(serve())
    os.kill(serving.child("work"), signal.SIGKILL)
    serving.says("process ended")
    serving.says("Worker reads")
    assert serving.trigger("1") == 200
    status, body = serving.get("/readyz")
    (worker,) = json.loads(body)["workers"]
    assert (status, worker["alive"]) == (200, True)
    assert worker["restarts"] == 1


def test_a_worker_that_cannot_be_started_takes_nothing_along(serve: Serve) -> None:
    serving = started(serve())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.prlimit(serving.process.pid, resource.RLIMIT_NOFILE, (3, hard))
    os.kill(serving.child("work"), signal.SIGKILL)
    serving.says("process not started")
    assert serving.trigger("1") == 200
    resource.prlimit(serving.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
    serving.says("Worker reads")


@pytest.mark.parametrize("whose", ["the web process", "granian's own child"])
def test_a_killed_web_process_is_started_again(serve: Serve, whose: str) -> None:
    serving = started(serve())
    web = serving.child("web")
    os.kill(web if whose == "the web process" else children(web)[0], signal.SIGKILL)
    if whose == "the web process":
        serving.says("process ended")
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", serving.port))  # nobody takes the port meanwhile
        serving.says("Receiver listens")
    while True:  # granian starts its own child anew without a word
        try:
            assert serving.trigger("1") == 200
            return
        except OSError:
            assert serving.process.poll() is None


def test_sigterm_gives_leases_back(serve: Serve, sqlite: Engine) -> None:
    """A worker that waits for a slow CRM API is asked to end: its rows wait for no lease."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = {"CRM_API_TIMEOUT_S": "1", "FETCH_THREADS": "1", "SCHEDULE": "standard"}
        serving = started(serve(CRM_API_URL=url, **settings))
        for account in ("1", "2", "3"):
            assert serving.trigger(account) == 200
        silent.accept()[0].close()
        serving.says("claimed")
        serving.close()
    with closing(sqlite3.connect(str(sqlite.url.database))) as connection:
        held = connection.execute("SELECT count(*) FROM inbox_triggers WHERE ticket IS NOT NULL")
        assert held.fetchone() == (0,)


def test_sigterm_answers_what_is_in_flight(postgresql: Engine) -> None:
    """Triggers wait for a table that somebody locked, and nobody new is let in any more."""
    external_databases.empty(postgresql)
    url = postgresql.url.render_as_string(hide_password=False)
    with ExitStack() as stack, postgresql.connect() as neighbour:
        serving = Serving(url)
        stack.callback(serving.close)
        started(serving)
        pool = stack.enter_context(ThreadPoolExecutor(4))
        neighbour.execute(text("LOCK TABLE inbox_triggers IN SHARE MODE"))
        answers = [pool.submit(serving.trigger, str(n)) for n in range(4)]
        while not waiting_writers(postgresql):
            assert serving.process.poll() is None
        serving.process.terminate()
        while is_open(serving.port):
            assert serving.process.poll() is None
        neighbour.rollback()
        # 503 where this machine took longer than a request waits for the store.
        assert {answer.result() for answer in answers} <= {200, 503}
        assert serving.process.wait(60) == 0


def waiting_writers(engine: Engine) -> int:
    """How many statements that store a trigger wait for a lock."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO inbox_triggers%'"
    )
    with engine.connect() as connection:
        return int(connection.execute(text(waiting)).scalar_one())


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_posts_whose_body_never_comes_keep_nobody_out(serve: Serve) -> None:
    serving = started(serve(WEB_THREADS="2"))
    with ExitStack() as open_ones:
        for path in [f"/8x8/wrong?AccountID={n}" for n in range(20)] + ["/nowhere"] * 20:
            slow = open_ones.enter_context(socket.create_connection(("127.0.0.1", serving.port)))
            slow.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n".encode())
        assert serving.trigger("1") == 200


def test_a_trusted_proxy_names_the_client(serve: Serve) -> None:
    serving = started(serve(TRUSTED_PROXIES="127.0.0.1"))
    with socket.create_connection(("127.0.0.1", serving.port)) as proxy:
        proxy.sendall(
            b"GET /8x8/wrong HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.9\r\n"
            b"Connection: close\r\n\r\n"
        )
        assert b" 404 " in proxy.recv(1000)
    serving.says("203.0.113.9")


def test_localhost_is_where_it_listens(serve: Serve) -> None:
    assert started(serve(HOST="localhost")).trigger("1") == 200


def test_many_web_and_worker_processes_share_one_postgresql(postgresql: Engine) -> None:
    """Each customer is named by two triggers, in whatever process they and their reads end up."""
    external_databases.empty(postgresql)
    url = postgresql.url.render_as_string(hide_password=False)
    numbers = [str(number) for number in range(1, 61)] * 2
    with every_customer() as api, ExitStack() as stack:
        serving = Serving(
            url, CRM_API_URL=api, WEB_PROCESSES="2", WORK_PROCESSES="3", BATCH_SIZE="5"
        )
        stack.callback(serving.close)
        serving.says("Receiver listens", *["Worker reads"] * 3)
        with ThreadPoolExecutor(8) as agents:
            assert set(agents.map(serving.trigger, numbers)) == {200}
        serving.says(*(f" trigger={row}\n" for row in range(1, len(numbers) + 1)))
        with read_session(postgresql) as session:
            assert session.scalar(select(func.count()).select_from(Heartbeat)) == 3
    with read_session(postgresql) as session:
        assert set(session.scalars(select(InboxTrigger.state))) == {"done"}
        assert set(session.scalars(select(LIVE_TABLES[Kind.CUSTOMER].c.account_id))) == set(numbers)
        assert session.scalar(select(func.count()).select_from(AuditEntry)) == 60


def customers(engine: Engine) -> list[str]:
    """Which customers are outside, in order."""
    path = Path(str(engine.url.database))
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT account_id FROM customers ORDER BY account_id")
        return [number for (number,) in found]
