"""On SQLite a worker leaves room for those who store triggers; on PostgreSQL nobody has to."""

import pytest

from external_crm.rows import Key, Kind
from receiver import courtesy
from receiver.courtesy import Courtesy
from tests.receiver_world import World


class Time:
    """Stands still unless somebody pauses or works."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(round(seconds, 3))
        self.now += seconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(courtesy, "time", time)
    return time


def test_in_a_burst_a_worker_takes_less_and_rests(world: World, time: Time) -> None:
    polite = Courtesy(world.engine, 100, time.pause)
    on_sqlite = world.engine.dialect.name == "sqlite"
    assert polite.before_a_step() == 100
    for worked_s, triggers, claims, rests in (
        (0.01, 5, 100, 0.001),  # 500 a second
        (0.01, 20, 25, 0.03),  # 2,000 a second
        (0.02, 150, 25, 0.06),  # thrice as long as the worker worked, the rest not counted
        (0.12, 300, 25, 0.3),
        (0.01, 0, 100, 0.001),
    ):
        time.pauses.clear()
        time.now += worked_s
        for number in range(triggers):
            world.receive(Key(Kind.CUSTOMER, str(number)))
        claimed = polite.before_a_step()
        assert (claimed, time.pauses) == ((claims, [rests]) if on_sqlite else (100, []))


def test_between_two_transactions_is_a_gap(world: World, time: Time) -> None:
    Courtesy(world.engine, 100, time.pause).between_transactions()
    assert time.pauses == ([0.001] if world.engine.dialect.name == "sqlite" else [])
