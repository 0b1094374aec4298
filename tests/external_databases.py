"""Databases of the External CRM for tests: migrated once, then copied or emptied."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from external_crm.db import MIGRATIONS as EXTERNAL_CRM_MIGRATIONS
from external_crm.db import DatabaseUnusable, make_engine
from receiver.db import MIGRATIONS

POSTGRESQL_URL = os.environ.get("TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1")
NAME = f"crm_trigger_kit_test_{os.getpid()}"


def migrate(engine: Engine) -> None:
    """Both trees, as `crm-receiver migrate` runs them."""
    EXTERNAL_CRM_MIGRATIONS.upgrade(engine)
    MIGRATIONS.upgrade(engine)


def make_sqlite_template(folder: Path) -> Path:
    """A migrated, empty SQLite file to copy."""
    path = folder / "template.db"
    engine = make_engine(f"sqlite:///{path}")
    migrate(engine)
    engine.dispose()
    return path


def sqlite_engine(template: Path, folder: Path) -> Engine:
    """An engine on a copy of the template."""
    path = folder / "external_crm.db"
    shutil.copy(template, path)
    return make_engine(f"sqlite:///{path}")


def skip_without_postgresql() -> None:
    """Skip with one line where there is no server; where one is demanded, fail."""
    server = make_engine(f"{POSTGRESQL_URL}/postgres")
    try:
        server.connect().close()
    except (DatabaseUnusable, DBAPIError) as error:
        if os.environ.get("TEST_DEMAND_POSTGRESQL"):
            raise
        pytest.skip(f"PostgreSQL is not there (TEST_POSTGRESQL_URL): {type(error).__name__}")
    finally:
        server.dispose()


def make_postgresql() -> Iterator[Engine]:
    """An engine on a migrated database of its own, dropped at the end; skips without a server."""
    skip_without_postgresql()
    server = make_engine(f"{POSTGRESQL_URL}/postgres").execution_options(
        isolation_level="AUTOCOMMIT"
    )
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {NAME}"))
    engine = make_engine(f"{POSTGRESQL_URL}/{NAME}")
    try:
        migrate(engine)
        yield engine
    finally:
        engine.dispose()
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)"))
        server.dispose()


def empty(engine: Engine) -> None:
    """Remove all rows but those that migrations made."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "TRUNCATE customers, cases, followups, tasks, sync_state, audit_entries, "
                "inbox_triggers, inbox_rejects, receiver_holds, receiver_api_use, "
                "receiver_custom_fields, receiver_heartbeats, "
                "receiver_alarms, receiver_totals, receiver_inbox_counts RESTART IDENTITY"
            )
        )
