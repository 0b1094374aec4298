"""Engines, sessions, instants and migrations, for this package's tables and the receiver's.

In: a SQLAlchemy URL. Out: an engine on SQLite (WAL, synchronous=FULL, writers queue up, a file
that was deleted or replaced is noticed) or on PostgreSQL (READ COMMITTED, bounded waits). Killed
in a migration: each runs in a transaction, so the database is at one revision or the next.

    DatabaseUnusable    the database cannot be reached or opened
      NotMigrated       its tables are not at the revision that this version needs
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, cast

from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    CursorResult,
    DateTime,
    Dialect,
    Engine,
    MetaData,
    Result,
    Text,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    DisconnectionError,
    IntegrityError,
    NoSuchModuleError,
    OperationalError,
    ProgrammingError,
    StatementError,
)
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeDecorator, TypeEngine

T = TypeVar("T")

_ASKED_AGAIN_AFTER_S = 0.00025
_PATIENCE_S = "patience_s"  # in a SQLite connection's info


class Base(DeclarativeBase):
    """The External CRM's own tables."""


class DatabaseUnusable(Exception):
    """The database cannot be reached or opened; the message says what to do."""


class NotMigrated(DatabaseUnusable):
    """The tables are missing or old; the message names the command."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware instant: timestamptz on PostgreSQL, ISO 8601 text in UTC on SQLite, whose text
    order is time order."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Text on SQLite, timestamptz elsewhere."""
        return dialect.type_descriptor(
            Text() if dialect.name == "sqlite" else DateTime(timezone=True)
        )

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """The value for the database; a naive datetime is refused."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("An instant without a time zone cannot be stored.")
        value = value.astimezone(UTC)
        return value.isoformat(timespec="microseconds") if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """The instant as it was stored, aware, in UTC."""
        if value is None:
            return None
        return datetime.fromisoformat(value) if isinstance(value, str) else value.astimezone(UTC)


def make_engine(url: str, patience_s: float = 5.0, answer_within_s: float = 70.0) -> Engine:
    """An engine on the database at `url`; nothing is opened yet.

    patience_s: how long a statement waits for somebody else's lock. answer_within_s: how long one
    waits for PostgreSQL to say anything; by default longer than its own statement_timeout.

    Raises DatabaseUnusable where the URL is none, or names a database we do not support.
    """
    try:
        backend = make_url(url).get_backend_name()
        if backend == "sqlite":
            engine = create_engine(
                url,
                hide_parameters=True,
                connect_args={"timeout": patience_s},
                pool_use_lifo=True,  # each keeps a cache of its own: use few, and those often
            )
            event.listen(engine, "connect", partial(_configure_sqlite, patience_s))
            event.listen(engine, "begin", _begin_sqlite)
            _give_up_lost_files(engine)
            return engine
        if backend == "postgresql":
            options = (
                f"-c lock_timeout={patience_s * 1000:.0f} -c statement_timeout=60000"
                " -c synchronous_commit=on"  # whatever the server's default is
                # In any other zone the driver cannot read back the first and last day of all.
                " -c TimeZone=UTC"
            )
            engine = create_engine(
                url,
                hide_parameters=True,  # records and secrets stay out of error messages
                isolation_level="READ COMMITTED",
                connect_args={
                    "connect_timeout": 2,
                    "client_encoding": "utf-8",  # a database made as SQL_ASCII asks for none
                    "tcp_user_timeout": 5000,  # a server that vanished is noticed
                    "options": options,
                },
            )
            event.listen(engine, "do_connect", partial(_connect_bounded, answer_within_s))
            return engine
    except (ArgumentError, NoSuchModuleError, ValueError) as error:  # ValueError: of the port
        raise DatabaseUnusable(
            "The database URL is not usable. "
            "Use sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME."
        ) from error
    except ModuleNotFoundError as error:
        raise DatabaseUnusable(
            f"The driver for this database is not installed ({error.name}). Install "
            "crm-trigger-kit[postgres], and use postgresql+psycopg://USER@HOST/NAME."
        ) from error
    raise DatabaseUnusable(
        f"The database must be SQLite or PostgreSQL, not {backend}. "
        "Use sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME."
    )


def session_factory(engine: Engine) -> sessionmaker[Session]:
    """Sessions for changes; on SQLite each takes the write lock when it begins."""
    return sessionmaker(engine, expire_on_commit=False)


def read_session(engine: Engine) -> Session:
    """A session for pages and look-ups, which blocks no writer."""
    session = Session(engine, expire_on_commit=False)
    # Said to the connection, not the engine: an engine with options of its own is slow to make.
    session.connection(execution_options={"read_only": True})
    return session


def execute_by_itself(engine: Engine, execute: Callable[[Connection], T]) -> T:
    """What `execute` makes of a connection on which each statement is a transaction of its own, and
    so one round trip to PostgreSQL instead of three.

    On SQLite it may be called again, until the engine's patience is over: a writer that waits for
    the lock asks for it in ever longer intervals, in which a busy neighbour always comes first.
    """
    with _committing_each(engine) as connection:
        if engine.dialect.name != "sqlite":
            return execute(connection)
        driver: Any = connection.connection.driver_connection
        patience_s = connection.info[_PATIENCE_S]
        deadline = time.monotonic() + patience_s
        driver.execute("PRAGMA busy_timeout = 0")
        try:
            while True:
                try:
                    return execute(connection)
                except OperationalError as error:
                    if not _is_locked(error) or time.monotonic() >= deadline:
                        raise
                time.sleep(_ASKED_AGAIN_AFTER_S)
        finally:
            driver.execute(f"PRAGMA busy_timeout = {patience_s * 1000:.0f}")


def _committing_each(engine: Engine) -> Connection:
    connection = engine.connect()
    if engine.dialect.name != "postgresql":
        return connection.execution_options(no_begin=True)
    try:
        return connection.execution_options(isolation_level="AUTOCOMMIT")
    except engine.dialect.loaded_dbapi.Error as error:  # a lost connection: it comes bare
        connection.invalidate()
        connection.close()
        raise OperationalError("SET autocommit", None, error) from error


def _is_locked(error: OperationalError) -> bool:
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


class Migrations:
    """One package's Alembic tree and its own version table in the shared database."""

    def __init__(self, package: str, version_table: str) -> None:
        self.package = package
        self.version_table = version_table

    def upgrade(self, engine: Engine) -> None:
        """Bring the package's tables to the newest revision. Raises DatabaseUnusable."""
        with self._connect(engine) as connection, _foreign_keys_off(connection):
            config = self._config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def check(self, engine: Engine) -> None:
        """Raise NotMigrated unless the tables are at the newest revision."""
        head = ScriptDirectory.from_config(self._config()).get_current_head()
        with self._connect(engine) as connection:
            context = MigrationContext.configure(
                connection, opts={"version_table": self.version_table}
            )
            current = context.get_current_revision()
        if current != head:
            raise NotMigrated(
                f"The tables of {self.package} are at revision {current or 'none'}, "
                f"this version needs {head}."
            )

    def _config(self) -> Config:
        config = Config()
        config.set_main_option("script_location", str(files(self.package) / "migrations"))
        config.set_main_option("path_separator", "os")
        config.attributes["version_table"] = self.version_table
        return config

    @contextmanager
    def _connect(self, engine: Engine) -> Iterator[Connection]:
        try:
            with engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            shown = engine.url.render_as_string(hide_password=True)
            raise DatabaseUnusable(
                f"The database {shown} cannot be used: {first_line(error.orig)}. "
                "Check the database URL, and that it is there and may be written."
            ) from error


def run_migrations(metadata: MetaData) -> None:
    """What a tree's env.py does: its migrations, on the connection that `upgrade` hands over.

    Tables of other trees in the same database are none of its business.
    """
    tables = set(metadata.tables)
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=context.config.attributes["version_table"],
        include_name=lambda name, kind, _parents: kind != "table" or name in tables,
        render_as_batch=True,
        transactional_ddl=True,  # SQLite can, once BEGIN is ours: a killed one leaves nothing
    )
    with context.begin_transaction(), _taking_its_time(connection):
        context.run_migrations()


def insert_missing(
    session: Session, table: type[DeclarativeBase], rows: list[dict[str, Any]]
) -> None:
    """Insert the rows whose keys are not there; somebody else may insert the same meanwhile."""
    on_postgresql = session.get_bind().dialect.name == "postgresql"
    into = postgresql.insert if on_postgresql else sqlite.insert
    # By the connection: the session would keep books of rows that nobody asks it for.
    own = table.metadata.tables[table.__tablename__]
    session.connection().execute(into(own).on_conflict_do_nothing(), rows)


def rows_changed(result: Result[Any]) -> int:
    """How many rows a statement changed."""
    return int(cast("CursorResult[Any]", result).rowcount)


MIGRATIONS = Migrations("external_crm", "external_crm_version")


def first_line(error: object) -> str:
    """The first line of a message, the driver's where there is one, for a sentence."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0].rstrip(".") if lines else "no reason given"


# What writing a row may raise; the last three come bare from drivers and JSON, for odd values.
WRITE_ERRORS = (StatementError, ArithmeticError, TypeError, ValueError)


def is_about_the_row(error: Exception) -> bool:
    """Whether one of WRITE_ERRORS was raised because of the values that were to be written.

    Everything else, rights and missing tables included, is trouble of the database itself, which
    the next row would meet as well: what waits for it must go on waiting.
    """
    if isinstance(error, DataError | IntegrityError) or not isinstance(error, DBAPIError):
        return True  # refused, or not even to be converted
    if isinstance(error.orig, sqlite3.Error):
        return "binding parameter" in str(error.orig)
    state = getattr(error.orig, "sqlstate", None)
    if state is None:  # never sent: a type that the driver does not know, or a lost connection
        return isinstance(error, ProgrammingError)
    return str(state).startswith("54")  # a limit, such as that of an index entry


def database_file(engine: Engine) -> Path | None:
    """The SQLite file, or None elsewhere and in memory."""
    name = engine.url.database
    if engine.dialect.name != "sqlite" or not name or name == ":memory:":
        return None
    return Path(name)


@contextmanager
def _taking_its_time(connection: Connection) -> Iterator[None]:
    """An index over a long history may take longer than any statement of a request."""
    if connection.dialect.name != "postgresql":
        yield
        return
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    driver: Any = connection.connection.driver_connection
    bound, driver.longest_wait_s = getattr(driver, "longest_wait_s", None), None
    try:
        yield
    finally:
        driver.longest_wait_s = bound  # the pool hands it out again


@contextmanager
def _foreign_keys_off(connection: Connection) -> Iterator[None]:
    """SQLite rebuilds a table to alter it, which with foreign keys on would empty its children."""
    if connection.dialect.name != "sqlite":
        yield
        return
    raw: Any = connection.connection.dbapi_connection
    raw.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
        broken = raw.execute("PRAGMA foreign_key_check").fetchall()
        if broken:
            raise DatabaseUnusable(f"The migration left {len(broken)} rows without their parents.")
    finally:
        raw.execute("PRAGMA foreign_keys=ON")


def _configure_sqlite(patience_s: float, connection: Any, record: ConnectionPoolEntry) -> None:
    record.info[_PATIENCE_S] = patience_s
    connection.isolation_level = None  # SQLAlchemy's begin event below decides
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _connect_bounded(answer_within_s: float, *connecting: Any) -> Any:
    # Here, since psycopg is not installed where nobody uses PostgreSQL.
    from external_crm.bounded_waits import BoundedConnection  # noqa: PLC0415

    _dialect, _record, arguments, options = connecting
    connection = BoundedConnection.connect(*arguments, **options)
    connection.longest_wait_s = answer_within_s
    return connection


def _give_up_lost_files(engine: Engine) -> None:
    """SQLite goes on writing into a file that was deleted or replaced, and all of it is lost.

    A connection whose file is no longer the one at its path is not used again, and where there
    was a file once, no empty one is created in its place.
    """
    path = database_file(engine)
    if path is None:
        return
    seen: set[tuple[int, int]] = set()

    def refuse_to_create(*_: Any) -> None:
        if seen and not path.exists():
            raise sqlite3.OperationalError("the database file is gone")

    def remember(_connection: Any, record: ConnectionPoolEntry) -> None:
        identity = record.info["file"] = _identity(path)
        seen.update([identity] if identity else [])

    def compare(_connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        if record.info["file"] != _identity(path):
            raise DisconnectionError("The database file is not the one that was opened.")

    event.listen(engine, "do_connect", refuse_to_create)
    event.listen(engine, "connect", remember)
    event.listen(engine, "checkout", compare)


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode, or None where there is no such file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _begin_sqlite(connection: Connection) -> None:
    # A deferred BEGIN that later writes loses updates without an error; IMMEDIATE queues instead.
    options = connection.get_execution_options()
    if not options.get("no_begin", False):
        read_only = options.get("read_only", False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
