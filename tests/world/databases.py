"""One database a side for all worlds of a process, put back to its first state for each.

A fresh engine would compile every statement anew, which costs more than a world does.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from external_crm.db import make_engine
from simulator.db import open_database
from tests import external_databases


class Databases:
    """The Local CRM's SQLite file, and the External CRM on SQLite or PostgreSQL."""

    def __init__(self, folder: Path, outside: Engine) -> None:
        """outside: migrated and empty."""
        self.local = open_database(folder / "local.db")
        self.outside = outside
        for engine in (self.local, self.outside):
            event.listen(engine, "connect", _hurry)
            engine.dispose()  # what was opened before has the old setting
        self._templates = {
            engine: _copy(engine)
            for engine in (self.local, self.outside)
            if engine.dialect.name == "sqlite"
        }

    def restore(self) -> None:
        """Both as they were after their migrations: no row, every counter at its beginning."""
        for engine in (self.local, self.outside):
            if engine in self._templates:
                with closing(engine.raw_connection()) as pooled:
                    self._templates[engine].backup(pooled.dbapi_connection)
            else:
                external_databases.empty(engine)

    def close(self) -> None:
        """Close all connections."""
        for template in self._templates.values():
            template.close()
        self.local.dispose()
        self.outside.dispose()


@contextmanager
def databases_on(backend: str, folder: Path) -> Iterator[Databases]:
    """Databases of this process's own. backend: sqlite or postgresql."""
    folder.mkdir(parents=True, exist_ok=True)
    if backend == "sqlite":
        engine = make_engine(f"sqlite:///{external_databases.make_sqlite_template(folder)}")
        with closing(Databases(folder, engine)) as databases:
            yield databases
        return
    for engine in external_databases.make_postgresql():
        with closing(Databases(folder, engine)) as databases:
            yield databases


def _hurry(connection: Any, _record: Any) -> None:
    """Durability is not what worlds are about: their processes die between two calls."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF")
    else:
        connection.execute("SET synchronous_commit = off")
        connection.commit()


def _copy(engine: Engine) -> sqlite3.Connection:
    memory = sqlite3.connect(":memory:")
    with closing(engine.raw_connection()) as pooled:
        pooled.dbapi_connection.backup(memory)  # type: ignore[union-attr]
    return memory
