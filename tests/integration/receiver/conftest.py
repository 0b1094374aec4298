"""A migrated External CRM for every test here, on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests import external_databases
from tests.receiver_world import World


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return external_databases.make_sqlite_template(tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Engine]:
    yield from external_databases.make_postgresql()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(
    request: pytest.FixtureRequest, sqlite_template: Path, tmp_path: Path
) -> Iterator[Engine]:
    if request.param == "postgresql":
        shared: Engine = request.getfixturevalue("postgresql")
        external_databases.empty(shared)
        yield shared
        return
    own = external_databases.sqlite_engine(sqlite_template, tmp_path)
    yield own
    own.dispose()


@pytest.fixture
def sqlite(sqlite_template: Path, tmp_path: Path) -> Iterator[Engine]:
    own = external_databases.sqlite_engine(sqlite_template, tmp_path)
    yield own
    own.dispose()


@pytest.fixture
def world(engine: Engine) -> World:
    return World(engine)
