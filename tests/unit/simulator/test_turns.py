"""Writers of one process take turns: nobody waits in vain beside one who writes again and again."""

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from simulator import turns
from simulator.db import open_database, read_session, session_factory
from simulator.turns import Turns


@pytest.fixture
def engine(tmp_path: Path, queue: list[Turns]) -> Iterator[Engine]:
    engine = open_database(tmp_path / "crm.db")
    yield engine
    engine.dispose()


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> list[Turns]:
    """The turns of the engine that is made, to see who waits."""
    made: list[Turns] = []

    class Seen(Turns):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    monkeypatch.setattr(turns, "Turns", Seen)
    return made


def until_waiting(lock: Turns, count: int) -> None:
    while lock.waiting < count:
        os.sched_yield()


def test_who_asked_first_writes_first(engine: Engine, queue: list[Turns]) -> None:
    done: list[str] = []
    sessions = session_factory(engine)

    def write(what: str) -> None:
        with sessions.begin() as session:
            session.connection()
            done.append(what)

    others = [Thread(target=write, args=(f"other {n}",)) for n in range(3)]
    with sessions.begin() as session:
        session.connection()
        for number, other in enumerate(others):
            other.start()
            until_waiting(queue[0], number + 1)
        with read_session(engine) as reading:  # who reads waits for nobody
            reading.connection()
        done.append("one")
    write("one again")
    for other in others:
        other.join()
    assert done == ["one", "other 0", "other 1", "other 2", "one again"]


@pytest.mark.parametrize("ends", ["rollback", "error", "forgotten"])
def test_a_turn_ends_however_its_transaction_ends(engine: Engine, ends: str) -> None:
    session = Session(engine)
    session.connection()
    if ends == "rollback":
        session.rollback()
    elif ends == "error":
        with pytest.raises(OperationalError):
            session.connection().exec_driver_sql("no SQL")
        session.close()
    else:
        session.connection().invalidate()
        session.close()
    with session_factory(engine).begin() as other:
        assert other.connection().exec_driver_sql("SELECT 1").scalar() == 1


def test_who_has_waited_too_long_leaves_it_to_the_database(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "PATIENCE_S", 0.0)
    with session_factory(engine).begin() as session:
        session.connection().exec_driver_sql("PRAGMA busy_timeout=0")
        with read_session(engine) as reading:  # the connection that comes next
            reading.connection().exec_driver_sql("PRAGMA busy_timeout=0")
        with pytest.raises(OperationalError, match="locked"), Session(engine) as other:
            other.connection()
    with session_factory(engine).begin() as session:
        session.connection()


def test_who_gives_up_waiting_is_left_out() -> None:
    lock = Turns()
    assert lock.take(0)
    assert not lock.take(0)
    assert lock.waiting == 0
    lock.give()
    assert lock.take(0)
