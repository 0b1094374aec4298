"""Which calls a fault hits, how often, and when it is over."""

from datetime import timedelta
from typing import Any

import pytest

from simulator.chance import Chance
from simulator.clock import ManualClock
from simulator.events import Events
from simulator.faults.models import FAULTS, NewFault
from simulator.faults.registry import MOST_IN_FORCE, FaultNotFound, Registry, TooManyFaults
from simulator.faults.rules import ApiCall, Call, TriggerCall
from simulator.triggers.urls import Event, Kind
from tests.conftest import MORNING

READ = ApiCall(Kind.CUSTOMER, "Get", "10000000", "")
LISTED = ApiCall(Kind.CASE, "Get", None, "STATUS=Open")
SENT = TriggerCall(Kind.CUSTOMER, Event.EDIT, "10000000", delivery=3, attempt=1)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(MORNING)


@pytest.fixture
def faults(clock: ManualClock) -> Registry:
    return registry(clock, "seed")


def registry(clock: ManualClock, seed: str) -> Registry:
    return Registry(clock, Chance(seed), Events(clock, seed))


def add(faults: Registry, name: str, **parameters: Any) -> int:
    return faults.add(NewFault.model_validate({"fault": name, **parameters}).root).id


def hits(faults: Registry, *calls: Call) -> list[int]:
    """For each call the fault that hits it, 0 for none."""
    return [fired.id if (fired := faults.on_call(call)) else 0 for call in calls]


def test_without_a_fault_nothing_is_hit(faults: Registry) -> None:
    assert hits(faults, READ, LISTED, SENT) == [0, 0, 0]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, [1, 1, 1, 1, 1, 1]),
        ({"nth": 2}, [0, 1, 0, 0, 0, 0]),
        ({"first": 2}, [1, 1, 0, 0, 0, 0]),
        ({"every": 3}, [0, 0, 1, 0, 0, 1]),
        ({"probability": 0}, [0, 0, 0, 0, 0, 0]),
        ({"probability": 1}, [1, 1, 1, 1, 1, 1]),
        ({"times": 2}, [1, 1, 0, 0, 0, 0]),
        ({"every": 2, "times": 1}, [0, 1, 0, 0, 0, 0]),
    ],
)
def test_a_fault_chooses_among_its_calls(
    faults: Registry, parameters: dict[str, Any], expected: list[int]
) -> None:
    add(faults, "storm", **parameters)

    assert hits(faults, *[SENT, READ] * 6)[::2] == expected


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        ("http_error", {}, [1, 1, 0]),
        ("http_error", {"kind": "Case"}, [0, 1, 0]),
        ("http_error", {"record": "10000000"}, [1, 0, 0]),
        ("http_error", {"action": "Add"}, [0, 0, 0]),
        ("storm", {"record": "10000000"}, [0, 0, 1]),
        ("storm", {"event": "Create"}, [0, 0, 0]),
        ("storm", {"event": "Edit", "kind": "Customer"}, [0, 0, 1]),
    ],
)
def test_a_fault_hits_its_own_kind_of_call(
    faults: Registry, name: str, parameters: dict[str, Any], expected: list[int]
) -> None:
    add(faults, name, **parameters)

    assert hits(faults, READ, LISTED, SENT) == expected


def test_calls_are_counted_for_each_record_if_wanted(faults: Registry) -> None:
    other = ApiCall(Kind.CUSTOMER, "Get", "10000001", "")
    add(faults, "http_error", nth=2, per_record=True)

    assert hits(faults, READ, other, other, READ, READ) == [0, 0, 1, 1, 0]


def test_the_same_number_of_another_kind_is_another_record(faults: Registry) -> None:
    task = ApiCall(Kind.TASK, "Get", "10000000", "")
    add(faults, "http_error", first=1, per_record=True)

    assert hits(faults, READ, task, READ, task) == [1, 1, 0, 0]


def test_of_several_faults_the_first_added_hits_and_all_count(faults: Registry) -> None:
    add(faults, "http_error", nth=2)
    add(faults, "timeout", nth=2)
    add(faults, "empty_reply", first=1)

    assert hits(faults, READ, READ, READ) == [3, 1, 0]
    assert [(one.counted, one.fired) for one in faults.all()] == [(2, 1), (2, 0), (1, 1)]


def test_a_fault_is_over_after_its_seconds(faults: Registry, clock: ManualClock) -> None:
    number = add(faults, "timeout", for_s=10)
    assert hits(faults, READ) == [1]
    clock.advance(timedelta(seconds=9))
    assert hits(faults, READ) == [1]
    assert faults.may_hold(number)
    clock.advance(timedelta(seconds=1))

    assert hits(faults, READ) == [0]
    assert not faults.may_hold(number)
    [listed] = faults.all()
    assert (listed.fired, listed.in_force, listed.ends_at) == (2, False, clock.now())


def test_what_a_fault_holds_may_be_held_on_after_its_last_time(faults: Registry) -> None:
    number = add(faults, "timeout", times=1)
    hits(faults, READ)

    assert not faults.get(number).in_force
    assert faults.may_hold(number)
    faults.clear(number)
    assert not faults.may_hold(number)


def test_cleared_faults_are_gone_and_numbers_go_on_until_a_reset(faults: Registry) -> None:
    first, second = add(faults, "storm"), add(faults, "timeout", nth=1)
    faults.clear(first)
    with pytest.raises(FaultNotFound, match="There is no fault 1"):
        faults.get(first)
    hits(faults, READ)  # the second is over now

    assert faults.clear_all() == 0
    assert faults.all() == []
    assert add(faults, "storm") == second + 1
    faults.reset()
    assert add(faults, "storm") == 1


def test_a_seed_and_a_call_draw_the_same_whatever_came_before(clock: ManualClock) -> None:
    calls = [TriggerCall(Kind.CASE, Event.EDIT, str(n), n, attempt=1) for n in range(40)]

    def drawn(seed: str, order: list[TriggerCall]) -> dict[int, int]:
        faults = registry(clock, seed)
        add(faults, "lose_answer", probability=0.5)
        return dict(zip([c.delivery for c in order], hits(faults, *order), strict=True))

    once = drawn("seed", calls)
    assert drawn("seed", calls[::-1]) == once
    assert drawn("other", calls) != once
    assert 5 < sum(once.values()) < 35


def test_many_faults_that_are_over_are_forgotten(faults: Registry) -> None:
    for _ in range(MOST_IN_FORCE):
        add(faults, "storm")
    with pytest.raises(TooManyFaults, match="Clear some first"):
        add(faults, "storm")
    faults.clear_all()
    for _ in range(150):
        add(faults, "http_error", times=1)
        hits(faults, READ)

    assert [one.id for one in faults.all()] == list(range(MOST_IN_FORCE + 51, MOST_IN_FORCE + 151))


def test_every_fault_can_be_added_with_nothing_but_its_name(faults: Registry) -> None:
    assert [add(faults, name) for name in FAULTS] == list(range(1, len(FAULTS) + 1))
    assert all(one.in_force for one in faults.all())
