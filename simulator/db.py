"""The simulator's SQLite database: engine, sessions, and how instants are kept.

In: a path. Out: an engine whose writers queue up instead of failing, and a session factory. Those
of this process take turns (see `turns`); another process waits for five seconds at most.
Killed here: SQLite rolls the open transaction back at the next start.

A plain file in WAL mode serves tests too: in-memory SQLite shared between threads crashed
the interpreter or answered "table is locked".
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Dialect, Engine, Select, Text, create_engine, event, func, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.types import TypeDecorator

from simulator.turns import take_turns


class Base(DeclarativeBase):
    """All tables of the simulator."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware instant, kept as ISO 8601 text in UTC: text order is time order."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """Text for the database; a naive datetime is refused."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("An instant without a time zone cannot be stored.")
        return value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """The instant as it was stored, aware, in UTC."""
        return None if value is None else datetime.fromisoformat(value)


# Raised with every change of a table: a file made before it cannot be used any more.
SCHEMA_VERSION = 4
MOST_COUNTED = 10_000  # by `count_to_most`


class DatabaseUnusable(Exception):
    """The database file cannot be opened; the message says what to do."""


def open_database(path: Path, *, durable: bool = True) -> Engine:
    """An engine on the file at `path`, created if it is not there, with all tables of Base.

    durable=False: what was committed survives the end of the process, but no power cut.
    Raises DatabaseUnusable with a sentence for the operator.
    """
    # Errors are logged, and parameters may hold secrets: a trigger URL, a hash.
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 5}, hide_parameters=True)
    event.listen(engine, "connect", _configure_durable if durable else _configure_quick)
    take_turns(engine)
    event.listen(engine, "begin", _begin)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _refuse_other_schema(engine, path)
        Base.metadata.create_all(engine)
    except (DatabaseError, OSError) as error:
        engine.dispose()
        reason = getattr(error, "orig", error)
        raise DatabaseUnusable(
            f"The Local CRM database {path} cannot be opened ({reason}). "
            "Name another file with CRM_SIM_DATABASE, or make this one readable and writable."
        ) from error
    return engine


def _refuse_other_schema(engine: Engine, path: Path) -> None:
    """Raise DatabaseUnusable for a file with tables of another version; stamp a new one."""
    with engine.begin() as connection:
        version = connection.exec_driver_sql("PRAGMA user_version").scalar()
        is_new = not connection.exec_driver_sql("SELECT 1 FROM sqlite_master LIMIT 1").first()
        if is_new:
            connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif version != SCHEMA_VERSION:
            engine.dispose()
            raise DatabaseUnusable(
                f"The Local CRM database {path} was made by another version of the simulator. "
                "Name another file with CRM_SIM_DATABASE, or delete this one and seed anew."
            )


def session_factory(engine: Engine, info: dict[Any, Any] | None = None) -> sessionmaker[Session]:
    """Sessions for changes: each takes the write lock when it begins, and has `info` in it."""
    return sessionmaker(engine, expire_on_commit=False, info=info)


def read_session(engine: Engine) -> Session:
    """A session for pages and replies: it sees one consistent state and blocks no writer."""
    session = Session(engine, expire_on_commit=False)
    # Said to the connection, not the engine: an engine with options of its own is slow to make.
    session.connection(execution_options={"read_only": True})
    return session


def read_connection(engine: Engine) -> Connection:
    """What `read_session` is, for rows without objects: it costs half as much."""
    return engine.connect().execution_options(read_only=True)


def count_to_most(session: Session, rows: Select[Any]) -> int:
    """How many rows there are, or MOST_COUNTED + 1 if they are more: a count that a page can afford
    however large the table is.
    """
    some = rows.order_by(None).limit(MOST_COUNTED + 1).subquery()
    return session.scalar(select(func.count()).select_from(some)) or 0


def _configure_durable(connection: Any, _record: Any) -> None:
    _configure(connection, "synchronous=FULL")


def _configure_quick(connection: Any, _record: Any) -> None:
    _configure(connection, "synchronous=OFF")


def _configure(connection: Any, durability: str) -> None:
    connection.isolation_level = None  # SQLAlchemy's events below decide when a transaction begins
    for pragma in ("journal_mode=WAL", durability, "foreign_keys=ON", "busy_timeout=5000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # A deferred BEGIN that later writes loses updates without an error; IMMEDIATE waits instead.
    read_only = connection.get_execution_options().get("read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
