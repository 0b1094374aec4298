"""The clock itself: it runs, stands, moves forward, and never goes back."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from simulator import clock as module
from simulator.clock import ClockRefused, ControlledClock

MORNING = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Machine:
    """The machine's time, as a test sets it."""

    at = MORNING

    @classmethod
    def now(cls, zone: timezone) -> datetime:
        return cls.at.astimezone(zone)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> type[Machine]:
    monkeypatch.setattr(module, "datetime", Machine)
    monkeypatch.setattr(Machine, "at", MORNING)
    return Machine


def test_it_runs_with_the_machine_and_stands_when_frozen(machine: type[Machine]) -> None:
    clock = ControlledClock()
    machine.at += SECOND
    assert clock.now() == MORNING + SECOND
    clock.freeze()
    machine.at += SECOND
    assert clock.now() == MORNING + SECOND
    clock.resume()
    machine.at += SECOND
    assert clock.now() == MORNING + 2 * SECOND


def test_it_runs_on_from_where_it_was_moved_to(machine: type[Machine]) -> None:
    clock = ControlledClock()
    clock.advance(3600 * SECOND)
    machine.at += SECOND
    assert clock.now() == MORNING + 3601 * SECOND


def test_the_machine_going_back_does_not_stop_it(machine: type[Machine]) -> None:
    clock = ControlledClock()
    machine.at -= 3600 * SECOND
    assert clock.now() == MORNING
    machine.at += SECOND
    assert clock.now() == MORNING + SECOND


def test_a_reset_alone_may_go_back(machine: type[Machine]) -> None:
    clock = ControlledClock(MORNING + SECOND)
    with pytest.raises(ClockRefused) as refusal:
        clock.move_to(MORNING)
    assert refusal.value.field == "at"
    assert clock.now() == MORNING + SECOND
    clock.reset(MORNING)
    assert (clock.now(), clock.frozen) == (MORNING, True)
    clock.reset()
    machine.at += SECOND
    assert (clock.now(), clock.frozen) == (MORNING + SECOND, False)


def test_other_zones_are_the_same_instants_and_none_is_refused() -> None:
    paris = timezone(timedelta(hours=1))
    clock = ControlledClock(MORNING.astimezone(paris))
    assert clock.now() == MORNING
    assert clock.now().tzinfo is UTC
    with pytest.raises(ClockRefused, match="time zone"):
        clock.move_to(datetime(2027, 1, 1))  # noqa: DTZ001 what is refused
    with pytest.raises(ClockRefused, match="0 or more"):
        clock.advance(-SECOND)
    with pytest.raises(ClockRefused, match="9999"):
        clock.advance(timedelta(days=3_000_000))
