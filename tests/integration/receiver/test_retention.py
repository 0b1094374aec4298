"""What is old is forgotten in small steps, but for what a waiting trigger may still ask for."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from external_crm.db import session_factory
from receiver import inbox, repair, retention
from receiver.alarm import Bounds
from receiver.crm_api import BadAnswer
from receiver.messenger import Nobody
from receiver.models import Reject
from receiver.repair import DeadChoice
from receiver.retention import Ages
from receiver.trigger import Event
from receiver.upkeep import Upkeep
from tests.receiver_world import CASE, CUSTOMER, World

DAY = 86_400.0


def tend(world: World, **ages: int) -> None:
    Upkeep(world.engine, world.clock, Nobody(), Bounds(), Ages(**ages)).run_once()


def ids(world: World) -> list[int]:
    return [row.id for row in world.inbox()]


def done(world: World, number: str) -> int:
    row = world.receive(world.crm.put(CUSTOMER, number))
    world.run()
    return row


def test_done_triggers_are_kept_for_their_days(world: World) -> None:
    old = done(world, "A1")
    world.clock.advance(DAY)
    young = done(world, "A2")
    world.clock.advance(29 * DAY + 60)
    tend(world, done=0)
    assert ids(world) == [old, young]
    tend(world, done=30)
    assert ids(world) == [young]
    assert world.row(world.crm.put(CUSTOMER, "A1")) is not None


def test_an_id_is_given_to_one_row_only(world: World) -> None:
    """The audit trail names the rows, and so it must name those that are forgotten."""
    old = done(world, "A1")
    world.clock.advance(31 * DAY)
    tend(world)
    assert ids(world) == []
    assert done(world, "A2") > old


def test_more_than_a_step_is_forgotten_in_steps(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "STEP", 2)
    for n in range(5):
        done(world, f"A{n}")
    world.clock.advance(31 * DAY)
    with session_factory(world.engine).begin() as session:
        assert retention.prune_done(session, world.clock.now(), Ages()) == 2
    assert len(ids(world)) == 3
    tend(world)
    assert ids(world) == []


def test_a_trigger_that_waits_keeps_what_explains_its_record(world: World) -> None:
    """A customer was deleted; a case of his is read again much later, and gone for that reason."""
    customer = world.crm.put(CUSTOMER, "A1")
    case = world.crm.put(CASE, "C1", ACCOUNTNUM="A1")
    world.receive(case, Event.CREATE, account="A1", case="C1")
    world.run()
    world.crm.remove(customer)
    world.receive(customer, Event.DELETE)
    world.crm.errors[case] = BadAnswer("Not now.", "")
    for _ in range(4):  # the customer goes; reads of his case fail
        world.run()
        world.clock.advance(60)
    assert world.row(customer) is None
    world.clock.advance(40 * DAY)
    tend(world)
    assert any(row.event == Event.DELETE for row in world.inbox())

    del world.crm.errors[case]
    world.crm.remove(case)
    world.run_until_idle()
    state = world.state(case)
    assert state is not None
    assert (state.state, state.unexplained_gone_at) == ("gone", None)
    world.clock.advance(31 * DAY)
    tend(world)
    assert ids(world) == []


def test_dead_and_dropped_triggers_are_kept_for_their_days(world: World) -> None:
    for number in ("A1", "A2"):
        key = world.crm.put(CUSTOMER, number)
        world.crm.errors[key] = BadAnswer("Nonsense.", "")
        world.receive(key)
    world.run(world.worker(max_attempts=1))
    with session_factory(world.engine).begin() as session:
        assert repair.drop_dead(session, DeadChoice(ids=(1,)), world.clock.now()) == 1
    world.clock.advance(89 * DAY)
    tend(world)
    assert ids(world) == [1, 2]
    world.clock.advance(2 * DAY)
    tend(world, dead=0)
    assert ids(world) == [1, 2]
    tend(world)
    assert ids(world) == []


def test_rejects_are_kept_for_their_days(world: World) -> None:
    for age in (31, 1):
        with session_factory(world.engine).begin() as session:
            then = world.clock.now() - timedelta(days=age)
            inbox.reject(session, "GET", f"?days={age}", "No id.", then)
    tend(world)
    assert world.read(lambda s: s.scalars(select(Reject.line)).all()) == ["?days=1"]
