"""The figures of the demo's screen, read from both databases."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from scripts.demonstration.observe import Figures, delivered_events, observe

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def local() -> Iterator[sqlite3.Connection]:
    """An outbox as the simulator keeps it."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(
            "CREATE TABLE deliveries (kind, event, state, attempt_count, created_at)"
        )
        yield connection


@pytest.fixture
def external() -> Iterator[sqlite3.Connection]:
    """An inbox as the receiver keeps it."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE inbox_triggers (cause, state, received_at)")
        yield connection


def test_nothing_has_happened_yet(local: sqlite3.Connection, external: sqlite3.Connection) -> None:
    figures = observe(local, external, NOW)

    assert figures == Figures()
    assert figures.settled


def test_triggers_are_counted_along_the_path(
    local: sqlite3.Connection, external: sqlite3.Connection
) -> None:
    _deliver(local, "DELIVERED", 1)
    _deliver(local, "DELIVERED", 3)
    _deliver(local, "WAITING", 2)
    _deliver(local, "WAITING", 0)
    _deliver(local, "EXHAUSTED", 8)
    _receive(external, "trigger", "done")
    _receive(external, "trigger", "waiting")
    _receive(external, "verification", "waiting")
    _receive(external, "trigger", "dead")

    figures = observe(local, external, NOW)

    assert (figures.sent, figures.retried, figures.failing) == (4, 3, 1)
    assert (figures.delivered, figures.on_their_way, figures.exhausted) == (2, 2, 1)
    assert (figures.received, figures.applied, figures.waiting, figures.dead) == (3, 1, 2, 1)
    assert not figures.settled


def test_the_lag_is_the_age_of_the_oldest_trigger_without_effect(
    local: sqlite3.Connection, external: sqlite3.Connection
) -> None:
    _deliver(local, "DELIVERED", 1, age_s=60)
    _deliver(local, "WAITING", 1, age_s=3)
    _receive(external, "trigger", "done", age_s=50)
    _receive(external, "trigger", "waiting", age_s=7)

    assert observe(local, external, NOW).lag_s == 7


def test_an_event_counts_as_delivered_only_when_it_was(local: sqlite3.Connection) -> None:
    _deliver(local, "DELIVERED", 1)
    _deliver(local, "WAITING", 1, event="DELETE")

    assert delivered_events(local) == [("case", "edit")]


def _deliver(
    local: sqlite3.Connection, state: str, attempts: int, age_s: float = 0, event: str = "EDIT"
) -> None:
    values = ("CASE", event, state, attempts, _ago(age_s))
    local.execute("INSERT INTO deliveries VALUES (?, ?, ?, ?, ?)", values)


def _receive(external: sqlite3.Connection, cause: str, state: str, age_s: float = 0) -> None:
    external.execute("INSERT INTO inbox_triggers VALUES (?, ?, ?)", (cause, state, _ago(age_s)))


def _ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).isoformat(timespec="microseconds")
