"""A database that is locked, full, damaged, gone and back: what is answered, stored, retried, said.

Whatever happens to it, a 200 was stored, every other trigger was answered with 503 so that 8x8
calls again, the worker buries nothing for it, and both go on by themselves once it is back.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from external_crm import audit
from external_crm.db import database_file, make_engine, read_session
from external_crm.rows import Key
from receiver.app import create_app
from receiver.models import InboxTrigger
from receiver.settings import Settings
from receiver.trigger import Event
from tests.external_databases import POSTGRESQL_URL
from tests.integration.receiver.test_cli import run
from tests.loopback_crm_api import LoopbackCrmApi
from tests.receiver_world import CASE, CUSTOMER, World

SECRET = "a-secret-of-24-characters"
SETTINGS = Settings(secret=SECRET)
A1, C1 = Key(CUSTOMER, "A1"), Key(CASE, "C1")
OLD, NEW = "Old", "New"


@dataclass
class Receiver:
    """Both sides of a receiver on one database, in this process."""

    world: World
    call: Callable[[str], int]

    def stores(self, record_id: str) -> bool:
        """Whether a trigger is stored; if not, the answer must be one after which 8x8 retries."""
        status = self.call(f"AccountID={record_id}")
        assert status in (200, 503)
        kept = {row.record_id for row in self.world.inbox()} if status == 200 else {record_id}
        assert record_id in kept
        return status == 200

    def works(self) -> bool:
        """Whether the worker could do all that is due; else the process waits and goes on."""
        try:
            self.world.run()
        except SQLAlchemyError:
            return False
        return True

    def recovers(self) -> None:
        """All that was received takes effect, and nothing counts as a failure of a record."""
        assert self.stores("A9")
        for _ in range(3):
            self.world.clock.advance(61)
            assert self.works()
        assert {row.state for row in self.world.inbox()} == {"done"}
        assert {row.attempts for row in self.world.inbox()} == {0}
        assert self.world.row(C1)["subject"] == NEW
        assert audit.verify(self.world.history(C1)) is None
        assert len(self.world.history(C1)) == 2


def receiver_on(engine: Engine) -> Receiver:
    """A case is out, and a trigger announces its next version."""
    world = World(engine)
    for number in "A1", "A2", "A9":
        world.crm.put(CUSTOMER, number)
    world.crm.put(CASE, "C1", ACCOUNTNUM="A1", SUBJECT=OLD)
    world.receive(C1, Event.CREATE)
    world.run()
    world.crm.put(CASE, "C1", SUBJECT=NEW, DESCRIPTION="x" * 200_000)
    world.receive(C1)
    app = create_app(SETTINGS, engine, world.clock)

    def call(query: str) -> int:
        response = app.test_client().get(f"/8x8/{SECRET}?{query}")
        assert (response.status_code == 503) == ("Retry-After" in response.headers)
        return response.status_code

    return Receiver(world, call)


# --- SQLite ---------------------------------------------------------------------------------------


@pytest.fixture
def impatient(sqlite: Engine) -> Engine:
    """Nobody waits long for a lock."""
    event.listen(sqlite, "connect", lambda c, _r: c.execute("PRAGMA busy_timeout=10"))
    sqlite.dispose()
    return sqlite


def test_sqlite_locked_by_somebody_else(impatient: Engine) -> None:
    receiver = receiver_on(impatient)
    other = impatient.raw_connection()
    other.execute("BEGIN IMMEDIATE")  # type: ignore[attr-defined]
    assert not receiver.stores("A2")
    assert not receiver.works()
    other.execute("ROLLBACK")  # type: ignore[attr-defined]
    other.close()
    receiver.recovers()


def test_sqlite_locked_while_a_batch_is_fetched_keeps_the_lease_until_it_runs_out(
    impatient: Engine,
) -> None:
    receiver = receiver_on(impatient)
    worker = receiver.world.worker()
    fetched = worker.fetch(worker.claim(receiver.world.clock.now()))
    with impatient.connect() as other:
        other.exec_driver_sql("SELECT 1")  # begins IMMEDIATE
        with pytest.raises(DBAPIError, match="locked"):
            worker.apply(fetched, receiver.world.clock.now())
    (row,) = [row for row in receiver.world.inbox() if row.state == "waiting"]
    assert row.ticket == fetched.claim.ticket
    receiver.recovers()


def test_sqlite_full(sqlite: Engine) -> None:
    """As many pages as there are now, and not one more."""
    limit = [0]
    receiver = receiver_on(sqlite)
    event.listen(
        sqlite, "connect", lambda c, _r: c.execute(f"PRAGMA max_page_count={limit[0] or 2**30}")
    )
    with sqlite.connect() as connection:
        limit[0] = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    sqlite.dispose()
    assert not receiver.works()  # the case has grown
    answers = {receiver.stores("A2") for _ in range(500)}
    assert answers == {True, False}  # what still fitted in was stored
    limit[0] = 0
    sqlite.dispose()
    receiver.recovers()


def test_sqlite_file_gone_and_back(sqlite: Engine) -> None:
    receiver = receiver_on(sqlite)
    path = database_file(sqlite)
    path.rename(path.with_suffix(".away"))
    for _ in range(2):
        assert not receiver.stores("A2")
        assert not receiver.works()
    assert not path.exists()  # an empty one would look like a fresh start
    path.with_suffix(".away").rename(path)
    receiver.recovers()


def test_sqlite_damaged_and_mended(sqlite: Engine) -> None:
    """The inbox is whole, the table of cases is not: no record is to blame, nothing is buried."""
    receiver = receiver_on(sqlite)
    path = database_file(sqlite)
    with sqlite.connect() as connection:
        page_size = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
        root = connection.exec_driver_sql(
            "SELECT rootpage FROM sqlite_master WHERE name = 'cases'"
        ).scalar_one()
    with sqlite.execution_options(read_only=True).connect() as connection:
        raw = connection.connection.dbapi_connection
        raw.rollback()
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    sqlite.dispose()
    whole = path.read_bytes()
    start = (root - 1) * page_size
    _write_at(path, start, b"\xff" * page_size)
    for _ in range(10):
        assert not receiver.works()
        receiver.world.clock.advance(61)
    assert receiver.stores("A2")
    assert {row.attempts for row in receiver.world.inbox()} == {0}
    sqlite.dispose()
    _write_at(path, start, whole[start : start + page_size])
    receiver.recovers()


def _write_at(path: Path, start: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(data)


# --- PostgreSQL -----------------------------------------------------------------------------------


@dataclass
class Server:
    """The PostgreSQL server as its administrator has it, and one of its databases."""

    admin: Engine
    database: str

    def run(self, *statements: str) -> None:
        with self.admin.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def hang_up(self) -> int:
        """End all connections to the database, as a restart of the server does."""
        query = text(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = :name"
        )
        with self.admin.connect() as connection:
            return connection.execute(query, {"name": self.database}).scalar_one()


@pytest.fixture
def server(engine: Engine) -> Iterator[Server]:
    admin = make_engine(f"{POSTGRESQL_URL}/postgres").execution_options(
        isolation_level="AUTOCOMMIT"
    )
    yield Server(admin, engine.url.database)
    admin.dispose()
    engine.dispose()


@pytest.fixture
def own(engine: Engine) -> Iterator[Engine]:
    """A second engine on the same database, to listen to."""
    own = make_engine(engine.url.render_as_string(hide_password=False))
    yield own
    own.dispose()


on_postgresql = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)


@on_postgresql
def test_postgresql_hangs_up_under_load_and_every_200_was_stored(
    engine: Engine, server: Server
) -> None:
    receiver = receiver_on(engine)
    calls, hung_up = 400, 0
    done = threading.Event()

    def hang_up_again_and_again() -> int:
        ended = 0
        while not done.is_set():
            ended += server.hang_up()
        return ended

    with ThreadPoolExecutor(9) as pool:
        hanging_up = pool.submit(hang_up_again_and_again)
        ids = [f"N{number}" for number in range(calls)]
        statuses = list(pool.map(lambda i: receiver.call(f"AccountID={i}"), ids))
        done.set()
        hung_up = hanging_up.result()
    assert hung_up > 0
    assert set(statuses) <= {200, 503}
    assert 503 in statuses
    engine.dispose()
    stored = {row.record_id for row in receiver.world.inbox()}
    assert {i for i, status in zip(ids, statuses, strict=True) if status == 200} <= stored


@on_postgresql
def test_postgresql_hangs_up_between_any_two_statements_of_the_worker(
    own: Engine, server: Server
) -> None:
    """Each statement of claim, apply and release is the one that finds the connection ended."""
    receiver = receiver_on(own)
    fail_at, seen = [0], [0]

    @event.listens_for(own, "before_cursor_execute")
    def hang_up_once(connection, *_: object) -> None:
        seen[0] += 1
        if seen[0] == fail_at[0]:
            server.hang_up()

    failures = 0
    for number in range(1, 200):
        receiver.world.crm.put(CASE, "C1", SUBJECT=f"Version {number}")
        receiver.world.receive(C1)
        fail_at[0], seen[0] = number, 0
        failures += not receiver.works()
        through = seen[0] < number
        fail_at[0] = 0
        receiver.world.clock.advance(61)
        assert receiver.works()
        assert receiver.world.row(C1)["subject"] == f"Version {number}"
        if through:
            break
    assert failures > 10
    assert {(row.state, row.attempts) for row in receiver.world.inbox()} == {("done", 0)}
    entries = receiver.world.history(C1)
    assert len(entries) == number + 1  # one effect each
    assert audit.verify(entries) is None


@on_postgresql
def test_postgresql_database_renamed_away_and_back(engine: Engine, server: Server) -> None:
    receiver = receiver_on(engine)
    engine.dispose()
    server.hang_up()
    server.run(f"ALTER DATABASE {server.database} RENAME TO {server.database}_away")
    try:
        for _ in range(2):
            assert not receiver.stores("A2")
            assert not receiver.works()
    finally:
        server.run(f"ALTER DATABASE {server.database}_away RENAME TO {server.database}")
    receiver.recovers()


@dataclass
class Tenant:
    """A receiver that is an ordinary role of the server, as in production."""

    name: str
    engine: Engine
    owner: Engine
    receiver: Receiver

    def alter(self, *statements: str) -> None:
        """Run statements as the database's owner; ROLE stands for our name."""
        with self.owner.begin() as connection:
            for statement in statements:
                connection.execute(text(statement.replace("ROLE", self.name)))


@pytest.fixture
def tenant(engine: Engine, server: Server) -> Iterator[Tenant]:
    name = f"{server.database}_role"
    server.run(f"DROP ROLE IF EXISTS {name}", f"CREATE ROLE {name} LOGIN")
    own = make_engine(engine.url.set(username=name).render_as_string(hide_password=False))
    with engine.begin() as connection:
        for what in "TABLES", "SEQUENCES":
            connection.execute(text(f"GRANT ALL ON ALL {what} IN SCHEMA public TO {name}"))
    yield Tenant(name, own, engine, receiver_on(own))
    own.dispose()
    with engine.begin() as connection:
        connection.execute(text(f"DROP OWNED BY {name}"))
    server.run(f"DROP ROLE {name}")


@on_postgresql
def test_postgresql_lets_no_further_connection_in(tenant: Tenant) -> None:
    tenant.alter("ALTER USER ROLE CONNECTION LIMIT 0")
    tenant.engine.dispose()
    assert not tenant.receiver.stores("A2")
    assert not tenant.receiver.works()
    tenant.alter("ALTER USER ROLE CONNECTION LIMIT 10")
    tenant.receiver.recovers()


@on_postgresql
def test_a_right_that_was_revoked_buries_nothing_however_long_it_lasts(tenant: Tenant) -> None:
    tenant.alter("REVOKE UPDATE ON cases FROM ROLE")
    for _ in range(12):  # more often than a record may fail
        assert not tenant.receiver.works()
        tenant.receiver.world.clock.advance(61)
    assert tenant.receiver.stores("A2")  # receiving goes on
    rows = tenant.receiver.world.inbox()
    assert {row.state for row in rows} == {"waiting", "done"}
    assert "permission denied for table cases" in {row.last_error for row in rows}
    tenant.alter("GRANT UPDATE ON cases TO ROLE")
    tenant.receiver.recovers()


@on_postgresql
def test_a_right_on_the_inbox_that_was_revoked_is_503(tenant: Tenant) -> None:
    tenant.alter("REVOKE INSERT ON inbox_triggers FROM ROLE")
    assert not tenant.receiver.stores("A2")
    tenant.alter("GRANT INSERT ON inbox_triggers TO ROLE")
    tenant.receiver.recovers()


@on_postgresql
def test_postgresql_turned_read_only(tenant: Tenant) -> None:
    """As after a failover to a standby."""
    tenant.alter("ALTER USER ROLE SET default_transaction_read_only = on")
    tenant.engine.dispose()
    for _ in range(12):
        assert not tenant.receiver.stores("A2")
        assert not tenant.receiver.works()
        tenant.receiver.world.clock.advance(61)
    tenant.alter("ALTER USER ROLE RESET default_transaction_read_only")
    tenant.engine.dispose()
    tenant.receiver.recovers()


@on_postgresql
@pytest.mark.parametrize("table", ["inbox_triggers", "cases"])
def test_a_table_that_is_locked_is_not_waited_for_long(
    engine: Engine, own: Engine, table: str
) -> None:
    def be_impatient(connection, _record) -> None:
        connection.autocommit = True
        connection.execute("SET lock_timeout = '50ms'")
        connection.autocommit = False

    own.dispose()
    event.listen(own, "connect", be_impatient)
    receiver = receiver_on(own)
    with engine.connect() as other:
        other.execute(text(f"LOCK TABLE {table} IN EXCLUSIVE MODE"))
        assert receiver.stores("A2") == (table == "cases")
        assert not receiver.works()
    receiver.recovers()


# --- the process ----------------------------------------------------------------------------------


@contextmanager
def work_process(database: Path, api: LoopbackCrmApi) -> Iterator[subprocess.Popen]:
    """`crm-receiver work`, with its events as JSON on standard error."""
    names = {
        "DATABASE_URL": f"sqlite:///{database}",
        "CRM_API_URL": api.url,
        "TENANT": "acme",
        "USERNAME": "api",
        "PASSWORD": "pw",
        "SCHEDULE": "quick",
        "LOG_FORMAT": "json",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "receiver", "work"],
        env=os.environ | {f"CRM_RECEIVER_{name}": value for name, value in names.items()},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def wait_for(process: subprocess.Popen, name: str) -> dict:
    """The next event of this name."""
    for line in process.stderr:
        said = json.loads(line)
        if said["event"] == name:
            return said
    raise AssertionError(f"The worker ended before it said {name!r}.")


def test_a_worker_process_outlives_its_database(sqlite: Engine) -> None:
    path = database_file(sqlite)
    world = World(sqlite)
    api = LoopbackCrmApi().start()
    api.put(A1, FIRSTNAME="Ada")
    with work_process(path, api) as process:
        world.receive(A1)
        assert wait_for(process, "applied")["record"] == "customer A1"
        path.rename(path.with_suffix(".away"))
        for _ in range(3):
            assert wait_for(process, "store unavailable")["reason"] == "the database file is gone"
        path.with_suffix(".away").rename(path)
        api.put(A1, FIRSTNAME="Grace")
        world.receive(A1)
        assert wait_for(process, "applied")["outcome"] == "applied"
        process.terminate()
        assert process.wait(timeout=30) == 0
    api.stop()
    assert world.row(A1)["first_name"] == "Grace"
    with read_session(sqlite) as session:
        assert {row.attempts for row in session.scalars(select(InboxTrigger))} == {0}


def test_the_doctor_finds_tables_that_a_crash_empties(postgresql: Engine, tmp_path: Path) -> None:
    url = postgresql.url.render_as_string(hide_password=False)
    with postgresql.connect() as connection:
        fsync = connection.execute(text("SHOW fsync")).scalar()
    try:
        with postgresql.begin() as connection:
            connection.execute(text("ALTER TABLE inbox_rejects SET UNLOGGED"))
        said = run(tmp_path / "no.db", "doctor", DATABASE_URL=url).stdout
    finally:
        with postgresql.begin() as connection:
            connection.execute(text("ALTER TABLE inbox_rejects SET LOGGED"))
    assert "weak  durability" in said
    if fsync == "on":  # else that is told first
        assert "PostgreSQL keeps inbox_rejects unlogged" in said
