"""The state of the whole simulator: back to the first start, kept under a name, brought back.

In: the services. Out: an empty Local CRM, or a snapshot file in the data folder. A snapshot is the
database: records and their versions, the twelve boxes, CRM API access, deliveries with their
attempts. Killed midway: the database is as it was before or as it was to be, never between; of
a snapshot half written nothing is found.

    NoSuchSnapshot      nothing is kept under the name; a sentence
    SnapshotUnusable    the file cannot be written or read; a sentence

Triggers that are under way while the database is replaced are cut off: what they would write down
belongs to deliveries that are gone.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from simulator.db import SCHEMA_VERSION, Base
from simulator.local_crm import custom_fields
from simulator.local_crm.first_start import fill_at_first_start
from simulator.services import Services, change_settings

_SUFFIX = ".db"


class NoSuchSnapshot(Exception):
    """Nothing is kept under the name; the message names what is."""


class SnapshotUnusable(Exception):
    """A snapshot cannot be written or read; the message says why."""


@dataclass(frozen=True)
class Snapshot:
    """A kept state."""

    name: str
    size_bytes: int


def reset(services: Services) -> None:
    """As just started for the first time, with the settings and the clock of the start: no record,
    box, delivery, fault or event, an empty journal; numbers begin anew. Inside an app's context.
    """
    services.stop_jobs()
    services.wait_for_jobs()
    with services.at_rest():
        services.faults.reset()
        change_settings(services.first_settings)
        with services.sessions.begin() as session:
            custom_fields.remove_all(session)
            for table in reversed(Base.metadata.sorted_tables):
                session.execute(table.delete())
            fill_at_first_start(session, services.first_settings)
        services.clock.reset(services.frozen_at_start)
        services.chance.reset(services.first_settings.chaos_seed)
        services.journal.reset()
        services.fetches.reset()
        services.events.reset(services.chance.seed)
    services.dispatcher.resume()


def snapshots(services: Services) -> list[Snapshot]:
    """What is kept, by name."""
    found = sorted(_folder(services).glob(f"*{_SUFFIX}"))
    return [Snapshot(path.stem, path.stat().st_size) for path in found]


def keep(services: Services, name: str) -> Snapshot:
    """Keep the present state under a name, in place of what was kept under it. It waits for
    triggers that are under way. Raises SnapshotUnusable.
    """
    path = _path(services, name)
    half = path.with_suffix(".half")
    with _saying_why(name):
        path.parent.mkdir(exist_ok=True)
        half.unlink(missing_ok=True)
        with (
            services.dispatcher.hold(),
            _connection(services) as live,
            closing(sqlite3.connect(half)) as target,
        ):
            live.backup(target)
        half.replace(path)
        return Snapshot(name, path.stat().st_size)


def restore(services: Services, name: str) -> None:
    """Bring a kept state back. Raises NoSuchSnapshot, SnapshotUnusable."""
    path = _existing(services, name)
    services.stop_jobs()
    services.wait_for_jobs()
    with (
        _saying_why(name),
        services.at_rest(),
        _connection(services) as live,
        closing(sqlite3.connect(path)) as source,
    ):
        _refuse_other_schema(source, name)
        source.backup(live)
        # What was read or held back since is not what is there now.
        services.fetches.reset()
        services.dispatcher.forget_held_back()


def forget(services: Services, name: str) -> None:
    """Keep that state no longer. Raises NoSuchSnapshot."""
    _existing(services, name).unlink(missing_ok=True)


def _refuse_other_schema(source: sqlite3.Connection, name: str) -> None:
    (version,) = source.execute("PRAGMA user_version").fetchone()
    if version != SCHEMA_VERSION:
        raise SnapshotUnusable(
            f"The snapshot {name} was kept by another version of the simulator. Keep it anew."
        )


def _folder(services: Services) -> Path:
    return services.settings.data_dir / "snapshots"


def _path(services: Services, name: str) -> Path:
    return _folder(services) / f"{name}{_SUFFIX}"


def _existing(services: Services, name: str) -> Path:
    path = _path(services, name)
    if not path.exists():
        names = ", ".join(one.name for one in snapshots(services))
        there = f"There is: {names}." if names else "There is none yet."
        raise NoSuchSnapshot(f"There is no snapshot {name}. {there}")
    return path


@contextmanager
def _connection(services: Services) -> Iterator[sqlite3.Connection]:
    """The driver's own connection: SQLAlchemy has no word for a backup."""
    with closing(services.engine.raw_connection()) as raw:
        yield cast(sqlite3.Connection, raw.driver_connection)


@contextmanager
def _saying_why(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise SnapshotUnusable(f"The snapshot {name} cannot be used: {error}.") from error
