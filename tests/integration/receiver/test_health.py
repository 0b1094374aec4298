"""/livez and /readyz, asked in-process on both databases."""

import threading
from datetime import datetime
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, delete, text

from external_crm.db import session_factory
from receiver import heartbeat
from receiver.app import create_app
from receiver.heartbeat import beating
from receiver.models import Heartbeat
from receiver.settings import Settings
from tests.receiver_world import TestClock

SECRET = "a-secret-of-24-characters"


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def app(engine: Engine, clock: TestClock) -> Flask:
    return create_app(Settings(secret=SECRET), engine, clock)


def beat(engine: Engine, clock: TestClock, name: str = "host/work-1", restarts: int = 0) -> None:
    with session_factory(engine).begin() as session:
        now = clock.now()
        session.merge(Heartbeat(name=name, started_at=now, beat_at=now, restarts=restarts))


def test_with_a_worker_alive_the_receiver_is_ready(
    client: FlaskClient, engine: Engine, clock: TestClock
) -> None:
    beat(engine, clock, restarts=3)
    clock.advance(2)
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json == {
        "ready": True,
        "problems": [],
        "workers": [
            {"name": "host/work-1", "alive": True, "silent_s": 2.0, "up_s": 2.0, "restarts": 3}
        ],
        "oldest_waiting_s": None,
    }


def test_a_silent_worker_is_named(client: FlaskClient, engine: Engine, clock: TestClock) -> None:
    beat(engine, clock)
    clock.advance(60)
    beat(engine, clock, "host/work-2")
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json is not None
    assert response.json["problems"] == ["Worker host/work-1 has been silent for 60 s."]
    assert client.get("/livez").status_code == 200


def test_without_a_worker_triggers_are_stored_and_readyz_says_so(
    client: FlaskClient, clock: TestClock
) -> None:
    assert client.get(f"/8x8/{SECRET}?AccountID=1").status_code == 200
    clock.advance(90)
    assert client.get(f"/8x8/{SECRET}?AccountID=2").status_code == 200
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json is not None
    assert response.json["problems"][0].startswith("No worker runs")
    assert response.json["oldest_waiting_s"] == 90.0


def test_missing_migrations_are_named_with_their_command(
    client: FlaskClient, engine: Engine
) -> None:
    with engine.begin() as connection:
        old = connection.scalar(text("SELECT version_num FROM receiver_version"))
        connection.execute(text("UPDATE receiver_version SET version_num = '0001'"))
    try:
        response = client.get("/readyz")
    finally:
        with engine.begin() as connection:
            connection.execute(text("UPDATE receiver_version SET version_num = :v"), {"v": old})
    assert response.status_code == 503
    assert response.json is not None
    (problem,) = response.json["problems"]
    assert problem.startswith("The tables of receiver are at revision 0001")
    assert problem.endswith("Run `crm-receiver migrate`.")


def test_a_store_that_is_gone_is_a_sentence(
    sqlite: Engine, clock: TestClock, tmp_path: Path
) -> None:
    client = create_app(Settings(secret=SECRET), sqlite, clock).test_client()
    assert client.get("/readyz").status_code == 503  # no worker; the file has been seen
    (tmp_path / "external_crm.db").rename(tmp_path / "away")
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json is not None
    (problem,) = response.json["problems"]
    assert problem == "The store cannot be reached: the database file is gone."
    assert str(tmp_path) not in response.text
    (tmp_path / "away").rename(tmp_path / "external_crm.db")


def test_readyz_blocks_no_writer_and_waits_for_none(sqlite: Engine, clock: TestClock) -> None:
    """Somebody holds the write lock; a probe reads beside it."""
    client = create_app(Settings(secret=SECRET), sqlite, clock).test_client()
    beat(sqlite, clock)
    with sqlite.begin() as writer:
        writer.execute(delete(Heartbeat).where(Heartbeat.name == "nobody"))
        assert client.get("/readyz").status_code == 200


def test_a_forgotten_worker_is_no_problem_for_ever(engine: Engine, clock: TestClock) -> None:
    beat(engine, clock, "gone/work-1")
    clock.advance(3600)
    with beating(session_factory(engine), clock, "host/work-1", 0):
        pass
    app = create_app(Settings(secret=SECRET), engine, clock)
    response = app.test_client().get("/readyz")
    assert response.json is not None
    assert response.json["workers"] == []  # one was forgotten, the other took its leave


def test_a_heartbeat_goes_on_after_whatever_went_wrong(
    engine: Engine, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver's own error, which SQLAlchemy does not know, ended it for good once."""
    monkeypatch.setattr(heartbeat, "BEAT_EVERY_S", 0.001)
    beats: list[None] = []
    goes_on = threading.Event()

    class Clock:
        def now(self) -> datetime:
            beats.append(None)  # the first one is for the start
            if len(beats) == 2:
                raise ConnectionError("the server went away")
            if len(beats) == 4:
                goes_on.set()
            return clock.now()

    with beating(session_factory(engine), Clock(), "host/work-1", 0):
        assert goes_on.wait(30)
        status = create_app(Settings(secret=SECRET), engine, clock).test_client().get("/readyz")
    assert status.status_code == 200
