"""The store is full, restarted or away: 503, no lie, and by itself 200 again."""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from external_crm.db import database_file, make_engine, read_session
from receiver.app import create_app
from receiver.settings import Settings
from tests import external_databases

SECRET = "a-secret-of-24-characters"


@pytest.fixture(params=["front", "flask"])
def settings(request: pytest.FixtureRequest) -> Settings:
    return Settings(secret=SECRET, wsgi_front=request.param == "front")


def caller(settings: Settings, engine: Engine) -> Callable[[int], int]:
    """Calls a trigger URL in-process; the status."""
    app = create_app(settings, engine)

    def call(account: int) -> int:
        response = app.test_client().get(f"/8x8/{SECRET}?AccountID={account}")
        if response.status_code == 503:
            assert response.headers["Retry-After"] == "1"
        return response.status_code

    return call


def stored(engine: Engine) -> set[int]:
    with read_session(engine) as session:
        return {int(n) for n in session.scalars(text("SELECT record_id FROM inbox_triggers"))}


def test_a_full_disk_is_503_until_there_is_room(settings: Settings, sqlite: Engine) -> None:
    call = caller(settings, sqlite)
    assert call(0) == 200
    room: list[Any] = [0]  # as many pages as there are, and no more

    def limit(connection: Any, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count={room[0] or 1}")

    event.listen(sqlite, "checkout", limit)
    codes = [call(number) for number in range(1, 2000)]
    assert set(codes) == {200, 503}
    full_from = codes.index(503) + 1
    assert call(2000) == 503
    room[0] = 1_000_000
    assert call(2001) == 200
    assert stored(sqlite) == {*range(full_from), 2001}


def test_a_neighbour_who_writes_is_asked_for_the_lock_until_it_is_free(
    settings: Settings, sqlite: Engine
) -> None:
    call = caller(settings, sqlite)
    neighbour = sqlite3.connect(str(database_file(sqlite)), isolation_level=None)
    neighbour.execute("BEGIN IMMEDIATE")
    refused: list[object] = []

    def go_on(context: object) -> None:
        refused.append(context)
        if len(refused) == 3:
            neighbour.execute("COMMIT")

    event.listen(sqlite, "handle_error", go_on)
    assert call(1) == 200
    assert len(refused) == 3
    assert stored(sqlite) == {1}
    neighbour.close()


@pytest.fixture
def server(postgresql: Engine) -> Iterator[Engine]:
    """What a database administrator does, from another database."""
    external_databases.empty(postgresql)
    url = f"{external_databases.POSTGRESQL_URL}/postgres"
    server = make_engine(url).execution_options(isolation_level="AUTOCOMMIT")
    yield server
    server.dispose()


def throw_out(server: Engine) -> None:
    """End all connections, as a restart does."""
    with server.connect() as connection:
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": external_databases.NAME},
        )


def test_a_database_restarted_under_load_loses_nothing_that_was_answered_with_200(
    settings: Settings, postgresql: Engine, server: Engine
) -> None:
    call = caller(settings, postgresql)
    with ThreadPoolExecutor(16) as pool:
        answers = {number: pool.submit(call, number) for number in range(600)}
        for _ in range(5):
            throw_out(server)
        codes = {number: answer.result() for number, answer in answers.items()}
    assert set(codes.values()) <= {200, 503}
    assert {number for number, code in codes.items() if code == 200} <= stored(postgresql)
    throw_out(server)
    assert 200 in (call(1000), call(1001))  # at the latest with the second


def test_a_database_that_is_away_is_503_until_it_is_back(
    settings: Settings, postgresql: Engine, server: Engine
) -> None:
    call = caller(settings, postgresql)
    assert call(1) == 200

    def let_in(whether: str) -> None:
        with server.connect() as connection:
            name = external_databases.NAME
            connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {whether}"))

    let_in("false")
    try:
        throw_out(server)
        assert [call(number) for number in (2, 3, 4)] == [503, 503, 503]
    finally:
        let_in("true")
    assert call(5) == 200
    assert stored(postgresql) == {1, 5}
