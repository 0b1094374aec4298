"""Rule 10: one list by parent instead of many reads; what a list does not hold proves nothing."""

import pytest

from external_crm.rows import Key
from receiver.crm_api import BadAnswer, Refused, Temporary
from receiver.models import Hold
from receiver.trigger import Event
from tests.receiver_world import CASE, CUSTOMER, FOLLOWUP, World


def followups(world: World, number: int, **fields: str) -> list[Key]:
    """So many follow-ups of a case that is out already, and a trigger each."""
    world.crm.put(CUSTOMER, "A1")
    world.receive(world.crm.put(CASE, "C1", ACCOUNTNUM="A1"))
    world.run()
    keys = [
        world.crm.put(FOLLOWUP, f"F{n}", ACCOUNTNUM="A1", CASENUM="C1", **fields)
        for n in range(number)
    ]
    for key in keys:
        world.receive(key, Event.CREATE, case="C1")
    world.crm.reads.clear()
    return keys


def run(world: World) -> None:
    world.run(world.worker(list_from=3))


def test_one_list_brings_all_followups_of_a_case(world: World) -> None:
    keys = followups(world, 20, BODY="Called")
    run(world)
    assert (world.crm.lists, world.crm.reads) == ([(FOLLOWUP, Key(CASE, "C1"))], [])
    assert {world.row(key)["body"] for key in keys} == {"Called"}
    assert {row.state for row in world.inbox()} == {"done"}


def test_one_list_brings_the_cases_of_a_customer_nobody_has_seen(world: World) -> None:
    customer = world.crm.put(CUSTOMER, "A1")
    keys = [world.crm.put(CASE, f"C{n}", ACCOUNTNUM="A1") for n in range(5)]
    for key in keys:
        world.receive(key)
    run(world)
    assert (world.crm.lists, world.crm.reads) == ([(CASE, customer)], [customer])
    assert {world.row(key)["customer_ref"] for key in keys} == {"A1"}


def test_what_a_capped_list_leaves_out_is_read_by_itself(world: World) -> None:
    keys = followups(world, 10)
    world.crm.list_cap = 4
    run(world)
    assert sorted(world.crm.reads) == sorted(keys[4:])
    assert all(world.row(key) is not None for key in keys)


def test_a_record_that_a_list_no_longer_holds_is_never_taken_for_deleted(world: World) -> None:
    keys = followups(world, 5)
    run(world)
    world.crm.put(CASE, "C2", ACCOUNTNUM="A1")
    world.crm.put(FOLLOWUP, "F0", CASENUM="C2")  # moved: no longer in the list of C1
    for key in keys:
        world.receive(key, case="C1")
    run(world)
    assert world.row(keys[0])["case_id"] == "C2"
    assert world.row(keys[0])["case_ref"] == "C2"


def test_a_deleted_record_goes_by_its_own_answers_only(world: World) -> None:
    keys = followups(world, 5)
    run(world)
    world.crm.remove(keys[0])
    for key in keys:
        world.receive(key, case="C1")
    run(world)
    assert world.row(keys[0]) is not None
    world.clock.advance(30)
    run(world)
    assert world.row(keys[0]) is None
    assert world.crm.reads == [keys[0], keys[0]]


def test_records_of_a_list_carry_the_ticket_of_their_claim(world: World) -> None:
    keys = followups(world, 5, BODY="old")
    slow, quick = world.worker(list_from=3, batch_size=5), world.worker()
    listed = slow.fetch(slow.claim(world.clock.now()))
    for key in keys:
        world.crm.put(FOLLOWUP, key.id, BODY="new")
        world.receive(key, case="C1")
    world.run(quick)
    slow.apply(listed, world.clock.now())
    assert {world.row(key)["body"] for key in keys} == {"new"}
    assert [world.trigger(row.id).verdict for row in listed.claim.rows] == ["covered"] * 5


@pytest.mark.parametrize(
    "error",
    [Temporary("No complete answer within 15 s."), BadAnswer("Not well-formed.", "<WAPI")],
    ids=["temporary", "bad answer"],
)
def test_a_list_that_fails_only_costs_a_call(world: World, error: Exception) -> None:
    keys = followups(world, 5)
    world.crm.errors[Key(CASE, "C1")] = error
    run(world)
    assert sorted(world.crm.reads) == sorted(keys)
    assert {row.attempts + row.postponed for row in world.inbox()} == {0}
    assert {row.state for row in world.inbox()} == {"done"}


def test_a_refused_list_holds_as_a_refused_read_does(world: World) -> None:
    followups(world, 5)
    world.crm.errors[Key(CASE, "C1")] = Refused("The password is wrong.")
    run(world)
    assert world.crm.reads == []
    assert world.read(lambda s: s.get(Hold, "credentials")) is not None


def test_no_list_where_it_saves_nothing(world: World) -> None:
    followups(world, 2)
    run(world)  # too few
    many = followups(world, 60)
    run(world)
    world.crm.lists.clear()
    for key in many[:4]:
        world.receive(key, case="C1")
    run(world)  # 60 would be read for the sake of 4
    assert world.crm.lists == []
