"""An empty, migrated External CRM on SQLite."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests import external_databases


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return external_databases.make_sqlite_template(tmp_path_factory.mktemp("template"))


@pytest.fixture
def engine(sqlite_template: Path, tmp_path: Path) -> Iterator[Engine]:
    own = external_databases.sqlite_engine(sqlite_template, tmp_path)
    yield own
    own.dispose()
