"""Rule 11: where the API answers with old data, one later read of each touched record heals it."""

from datetime import datetime, timedelta

import pytest

from external_crm.rows import Policy
from receiver.models import InboxTrigger
from receiver.trigger import Event
from tests.receiver_world import CASE, CUSTOMER, FOLLOWUP, START, TASK, World

SETTLE_S = 60.0


@pytest.fixture
def world(world: World) -> World:
    world.policy = Policy(recheck_after_s=SETTLE_S)
    return world


def run(world: World) -> None:
    world.run(world.worker(settle_after_s=SETTLE_S))


def settles(world: World) -> list[InboxTrigger]:
    return [row for row in world.inbox() if row.cause == "settle"]


def due(world: World) -> list[datetime]:
    return [row.due_at for row in settles(world) if row.state == "waiting"]


def test_a_stale_answer_is_healed_by_the_settle_read(world: World) -> None:
    customer = world.crm.put(CUSTOMER, "A1", FIRSTNAME="Ada")
    world.crm.stale[customer] = dict(world.crm.records[customer])
    world.crm.put(CUSTOMER, "A1", FIRSTNAME="Grace")
    row_id = world.receive(customer)
    run(world)
    assert world.trigger(row_id).state == "done"
    assert world.row(customer)["first_name"] == "Ada"
    world.crm.stale.clear()
    world.clock.advance(SETTLE_S - 1)
    run(world)
    assert world.row(customer)["first_name"] == "Ada"
    world.clock.advance(1)
    run(world)
    assert world.row(customer)["first_name"] == "Grace"
    assert world.history(customer)[-1].cause == "settle"


def test_a_record_that_a_stale_answer_brought_back_goes_again(world: World) -> None:
    customer = world.crm.put(CUSTOMER, "A1")
    world.receive(customer)
    run(world)
    world.clock.advance(SETTLE_S)
    run(world)
    world.crm.stale[customer] = dict(world.crm.records[customer])
    world.crm.remove(customer)
    world.receive(customer, Event.DELETE)
    run(world)
    assert world.row(customer) is not None
    world.crm.stale.clear()
    for _ in range(2):  # the settle read, and the same again once its not-found is believed
        world.clock.advance(SETTLE_S)
        run(world)
    assert world.row(customer) is None


def test_it_counts_from_the_arrival_of_the_last_trigger_not_from_its_read(world: World) -> None:
    customer = world.crm.put(CUSTOMER, "A1")
    world.receive(customer)
    world.clock.advance(10)
    world.receive(customer)
    world.clock.advance(20)  # the worker was away
    run(world)
    assert due(world) == [START + timedelta(seconds=10 + SETTLE_S)]


def test_a_record_that_is_touched_again_is_read_once_and_later(world: World) -> None:
    customer = world.crm.put(CUSTOMER, "A1")
    for _ in range(5):
        world.receive(customer)
        run(world)
        world.clock.advance(10)
    assert due(world) == [START + timedelta(seconds=40 + SETTLE_S)]


def test_a_settle_read_is_no_touch(world: World) -> None:
    customer = world.crm.put(CUSTOMER, "A1")
    world.receive(customer)
    run(world)
    world.clock.advance(SETTLE_S)
    run(world)
    assert [row.state for row in settles(world)] == ["done"]
    assert len(world.crm.reads) == 2


def test_a_parent_without_a_trigger_counts_from_the_read_that_touched_it(world: World) -> None:
    world.crm.put(CUSTOMER, "A1")
    world.crm.put(CASE, "C1", ACCOUNTNUM="A1")
    followup = world.crm.put(FOLLOWUP, "F1", ACCOUNTNUM="A1", CASENUM="C1")
    world.receive(followup, case="C1")
    world.clock.advance(7)
    run(world)
    rows = {row.kind: row for row in settles(world)}
    assert rows["followup"].due_at == START + timedelta(seconds=SETTLE_S)
    for kind in ("case", "customer"):
        assert rows[kind].due_at == START + timedelta(seconds=7 + SETTLE_S)
    assert (rows["case"].account_id, rows["case"].case_id) == ("A1", "C1")
    world.clock.advance(SETTLE_S)
    run(world)
    assert {row.state for row in world.inbox()} == {"done"}


def test_a_verified_child_counts_from_its_own_read_however_old_its_trigger(world: World) -> None:
    customer = world.crm.put(CUSTOMER, "A1")
    task = world.crm.put(TASK, "T1", ACCOUNTNUM="A1")
    world.receive(task)
    run(world)
    world.clock.advance(SETTLE_S)
    run(world)
    world.crm.stale[task] = dict(world.crm.records[task])
    world.crm.remove(customer, task)
    world.receive(customer, Event.DELETE)
    run(world)  # verifies the task, which a stale answer still shows
    assert world.row(task) is not None
    assert world.clock.now() + timedelta(seconds=SETTLE_S) in due(world)
    world.crm.stale.clear()
    for _ in range(3):
        world.clock.advance(SETTLE_S)
        run(world)
    assert (world.row(task), world.row(customer)) == (None, None)


def test_a_touch_that_a_settle_read_under_way_may_not_show_gets_one_of_its_own(
    world: World,
) -> None:
    customer = world.crm.put(CUSTOMER, "A1")
    world.receive(customer)
    run(world)
    world.clock.advance(SETTLE_S)
    first, second = (world.worker(settle_after_s=SETTLE_S) for _ in range(2))
    settling = first.fetch(first.claim(world.clock.now()))
    world.receive(customer)
    second.run_once()
    own = world.clock.now() + timedelta(seconds=SETTLE_S)
    assert own in due(world)
    first.apply(settling, world.clock.now())
    assert due(world) == [own]


def test_a_trigger_covered_by_a_settle_read_gets_a_settle_read(world: World) -> None:
    customer = world.crm.put(CUSTOMER, "A1")
    world.receive(customer)
    run(world)
    world.clock.advance(SETTLE_S - 1)
    row_id = world.receive(customer)
    slow, quick = (world.worker(settle_after_s=SETTLE_S) for _ in range(2))
    fetched = slow.fetch(slow.claim(world.clock.now()))
    world.clock.advance(1)
    quick.run_once()
    slow.apply(fetched, world.clock.now())
    assert world.trigger(row_id).verdict == "covered"
    assert due(world) == [world.clock.now() + timedelta(seconds=SETTLE_S - 1)]


def test_without_the_setting_no_record_is_read_again(world: World) -> None:
    world.receive(world.crm.put(CUSTOMER, "A1"))
    world.run()
    assert settles(world) == []
