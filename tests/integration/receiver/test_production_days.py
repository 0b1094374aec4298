"""The receiver's bad days in production, with real processes: crowds, guesses, deaths, full disks.

Whatever happens, a 200 was stored, all else was answered within bounds with what makes 8x8 call
again, and what was stored is applied once in the end.
"""

import os
import resource
import socket
import ssl
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest
import trustme
from sqlalchemy import Engine, func, select

from external_crm.db import make_engine, read_session
from external_crm.models import AuditEntry
from receiver.models import InboxTrigger, Reject, State
from tests import external_databases
from tests.served_receiver import SECRET, Serving, children, every_customer
from tests.small_disk import Cluster, SmallDisk, cluster, small_disk

CROWD = 5000
PATIENCE_S = 30  # no answer may take as long


@pytest.fixture
def descriptors() -> Iterator[None]:
    """As many as this process may have; enough for a crowd."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CROWD + 500
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"A crowd needs {wanted} descriptors, and {hard} may be had.")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def serving(database_url: str, **settings: str) -> Iterator[Serving]:
    """A receiver that has begun to listen and to work."""
    running = Serving(database_url, **settings)
    try:
        running.says("Receiver listens", "Worker reads")
        yield running
    finally:
        running.close()


def triggers(port: int, accounts: range, threads: int = 8) -> dict[str, int]:
    """What triggers for these accounts are answered with; 0: the connection broke."""

    def send(some: range) -> dict[str, int]:
        answered = {}
        connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        for account in some:
            try:
                connection.request("GET", f"/8x8/{SECRET}?AccountID={account}")
                with connection.getresponse() as answer:
                    answered[str(account)] = answer.status
                    if answer.status == 503:
                        assert answer.headers["Retry-After"] == "1"
                    answer.read()
            except TimeoutError:
                raise AssertionError("A trigger was left without an answer.") from None
            except OSError:
                answered[str(account)] = 0
                connection.close()
        connection.close()
        return answered

    with ThreadPoolExecutor(threads) as pool:
        parts = pool.map(send, (accounts[n::threads] for n in range(threads)))
        return {account: status for part in parts for account, status in part.items()}


def applied_once(running: Serving, engine: Engine, least: set[str]) -> None:
    """Return once nothing waits; at least these records were stored, and each has one effect."""
    while True:
        with read_session(engine) as session:
            states = dict(
                session.execute(
                    select(InboxTrigger.state, func.count()).group_by(InboxTrigger.state)
                ).all()
            )
            if set(states) <= {State.DONE}:
                break
        running.says("applied")
    with read_session(engine) as session:
        stored = set(session.scalars(select(InboxTrigger.record_id)))
        effects = Counter(session.scalars(select(AuditEntry.record_id)))
    assert least <= stored
    assert stored == set(effects)
    assert set(effects.values()) <= {1}


# --- crowds and guesses ---------------------------------------------------------------------------


REQUEST = f"GET /8x8/{SECRET}?AccountID=1 HTTP/1.1\r\nHost: x\r\n".encode()


@pytest.mark.usefixtures("descriptors")
def test_five_thousand_slow_connections_keep_no_trigger_out(sqlite: Engine) -> None:
    """Most send a byte now and then, some nothing more after a trigger of their own."""
    with every_customer() as api, serving(str(sqlite.url), CRM_API_URL=api) as running:
        address = "127.0.0.1", running.port
        with ExitStack() as open_ones:
            crowd = [
                open_ones.enter_context(socket.create_connection(address, PATIENCE_S))
                for _ in range(CROWD)
            ]
            for idle in crowd[:200]:
                idle.sendall(REQUEST + b"\r\n")
            for n in range(3):
                for dripping in crowd[200:]:
                    dripping.sendall(REQUEST[n : n + 1])
                accounts = range(n * 50, n * 50 + 50)
                assert set(triggers(running.port, accounts).values()) == {200}
                assert running.get("/livez")[0] == running.get("/readyz")[0] == 200


def test_tls_connections_that_use_up_all_descriptors_do_so_for_seconds(
    sqlite: Engine, tmp_path: Path
) -> None:
    """granian's listener does not come back from that; the process is started anew."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    files = {"TLS_CERT": str(tmp_path / "cert.pem"), "TLS_KEY": str(tmp_path / "key.pem")}
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with serving(str(sqlite.url), **files) as running, ExitStack() as open_ones:
        (granian,) = children(running.child("web"))
        resource.prlimit(granian, resource.RLIMIT_NOFILE, (100, 100))
        for _ in range(150):
            address = "127.0.0.1", running.port
            open_ones.enter_context(socket.create_connection(address, PATIENCE_S))
        running.says("out of descriptors")
        while True:
            try:
                with (
                    socket.create_connection(("127.0.0.1", running.port), PATIENCE_S) as plain,
                    trusting.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
                ):
                    secure.sendall(REQUEST + b"Connection: close\r\n\r\n")
                    assert secure.recv(100).startswith(b"HTTP/1.1 200 ")
                    return
            except ConnectionError:
                assert running.process.poll() is None


def test_a_hundred_thousand_wrong_secrets_cost_no_row_and_few_lines(sqlite: Engine) -> None:
    guess = b"GET /8x8/%020d/case/edit?AccountID=1&CaseID=2 HTTP/1.1\r\nHost: x\r\n\r\n"

    def guesses(first: int, port: int) -> int:
        refused = 0
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
            for start in range(first, first + 25_000, 100):
                connection.sendall(b"".join(guess % n for n in range(start, start + 100)))
                answered, rest = 0, b""
                while answered < 100:
                    came = connection.recv(65_536)
                    assert came
                    answered += (rest + came).count(b"404 Not Found") - rest.count(b"404 Not Found")
                    rest = came[-12:]
                refused += answered
        return refused

    with serving(str(sqlite.url)) as running, ThreadPoolExecutor(4) as pool:
        before = running.bytes_said
        guessing = [pool.submit(guesses, n * 25_000, running.port) for n in range(4)]
        assert set(triggers(running.port, range(20), threads=1).values()) == {200}
        assert sum(done.result() for done in guessing) == 100_000
        running.says("wrong secret")
        assert running.bytes_said - before < 20_000
    with read_session(sqlite) as session:
        assert session.scalar(select(func.count()).select_from(InboxTrigger)) == 20
        assert session.scalar(select(func.count()).select_from(Reject)) == 0


# --- deaths ---------------------------------------------------------------------------------------


def test_a_worker_killed_after_each_claim_applies_everything_once(sqlite: Engine) -> None:
    """Killed with rows in its hands, again and again, sooner than any supervisor would start it."""
    with every_customer() as api, serving(str(sqlite.url)) as web:
        assert set(triggers(web.port, range(1000, 1200)).values()) == {200}
        web.close()
        names = {
            "DATABASE_URL": str(sqlite.url),
            "CRM_API_URL": api,
            "TENANT": "demo",
            "USERNAME": "crmapi",
            "PASSWORD": "hush-hush",
            "SCHEDULE": "quick",
            "BATCH_SIZE": "10",
        }
        environment = os.environ | {f"CRM_RECEIVER_{name}": value for name, value in names.items()}
        for _ in range(6):
            with subprocess.Popen(
                [sys.executable, "-m", "receiver", "work"],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            ) as worker:
                assert worker.stderr is not None
                assert any(b"claimed" in line for line in worker.stderr)
                worker.kill()
        with serving(str(sqlite.url), CRM_API_URL=api) as again:
            applied_once(again, sqlite, {str(n) for n in range(1000, 1200)})


# --- disks and databases --------------------------------------------------------------------------


def refused_then_taken(running: Serving, disk: SmallDisk, taken: Callable[[], bool]) -> set[str]:
    """Triggers while the disk is filled, until all are refused; then again with room. What was
    answered with 200."""
    codes = triggers(running.port, range(1000, 1100))
    assert set(codes.values()) == {200}
    disk.fill()
    first = 2000
    while 200 in (more := triggers(running.port, range(first, first + 100))).values():
        codes |= more
        first += 100
    codes |= more
    assert set(codes.values()) <= {200, 503}
    assert running.get("/livez")[0] == 200
    disk.make_room()
    assert taken()
    last = triggers(running.port, range(9000, 9100))
    assert set(last.values()) == {200}
    return {account for account, code in (codes | last).items() if code == 200}


def test_a_full_disk_under_sqlite_is_503_until_there_is_room(
    sqlite_template: Path, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        api = stack.enter_context(every_customer())
        disk = stack.enter_context(small_disk(tmp_path / "disk", 12))
        engine = external_databases.sqlite_engine(sqlite_template, disk.folder)
        stack.callback(engine.dispose)
        running = stack.enter_context(serving(str(engine.url), CRM_API_URL=api))
        stored = refused_then_taken(running, disk, lambda: running.trigger("1") == 200)
        applied_once(running, engine, stored)


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that the user postgres can reach; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="receiver-days-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def on_own_server(folder: Path, **settings: str) -> Iterator[tuple[Serving, Engine, Cluster]]:
    """A receiver on a PostgreSQL server that nobody else uses."""
    with every_customer() as api, cluster(folder) as server:
        engine = make_engine(server.url)
        try:
            external_databases.migrate(engine)
            with serving(server.url, CRM_API_URL=api, **settings) as running:
                yield running, engine, server
        finally:
            engine.dispose()


def test_a_full_disk_under_postgresql_is_503_until_there_is_room(reachable: Path) -> None:
    """Out of room for its log of writes the server ends, and an administrator starts it again."""
    with (
        small_disk(reachable / "disk", 96) as disk,
        on_own_server(disk.folder / "server") as (running, engine, server),
    ):

        def taken() -> bool:
            server.start()  # where it ended; else it says that it runs
            return 200 in (running.trigger("1"), running.trigger("2"))

        stored = refused_then_taken(running, disk, taken)
        engine.dispose()
        applied_once(running, engine, stored)


def test_postgresql_restarted_under_load_loses_nothing(reachable: Path) -> None:
    """`immediate` is a crash: the server recovers from its log of writes."""
    several = {"WEB_PROCESSES": "2", "WORK_PROCESSES": "2"}
    with on_own_server(reachable / "server", **several) as (running, engine, server):
        codes: dict[str, int] = {}
        with ThreadPoolExecutor(1) as pool:
            for n, how in enumerate(("fast", "immediate")):
                accounts = range(1000 + n * 300, 1300 + n * 300)
                load = pool.submit(triggers, running.port, accounts)
                running.says("stored")
                server.restart(how)
                codes |= load.result()
        assert set(codes.values()) <= {200, 503}
        last = triggers(running.port, range(9000, 9050))
        assert set(last.values()) <= {200, 503}  # each process finds its old connections ended
        assert list(last.values()).count(503) <= 20
        engine.dispose()
        stored = {account for account, code in (codes | last).items() if code == 200}
        applied_once(running, engine, stored)


def test_a_frozen_postgresql_keeps_nobody_waiting(reachable: Path) -> None:
    """Its machine pauses or its disk hangs: it says nothing, and no connection breaks."""
    with on_own_server(reachable / "server") as (running, engine, server):
        before = triggers(running.port, range(1, 9))
        assert set(before.values()) == {200}
        with server.frozen():
            assert set(triggers(running.port, range(100, 116)).values()) == {503}
            assert running.get("/readyz")[0] == 503
        after = triggers(running.port, range(200, 240), threads=1)
        assert list(after.values())[-1] == 200
        stored = {account for account, code in (before | after).items() if code == 200}
        applied_once(running, engine, stored)
