"""The API down, overloaded, refusing; the budget of calls: what waits, what goes on, what is said.

All of it holds for the workers of one database together, so most tests have two.
"""

from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from external_crm.rows import Key
from receiver.crm_api import BadAnswer, CrmApiError, Refused, Temporary
from receiver.gate import Limits
from receiver.models import Hold
from receiver.trigger import Event
from tests.receiver_world import CASE, CUSTOMER, FOLLOWUP, START, TASK, World

DOWN = Temporary("The CRM API answered with HTTP 503.")


def customers(world: World, number: int, error: CrmApiError | None = None) -> list[Key]:
    """So many customers, a trigger each, and the error that reads of them raise."""
    keys = [world.crm.put(CUSTOMER, f"A{n}") for n in range(number)]
    for key in keys:
        world.receive(key)
        if error is not None:
            world.crm.errors[key] = error
    return keys


def holds(world: World) -> dict[str, Hold]:
    return {hold.name: hold for hold in world.read(lambda s: s.query(Hold).all())}


# --- Retry-After ----------------------------------------------------------------------------------


def test_a_retry_after_is_obeyed_by_all_workers_and_all_records(world: World) -> None:
    customers(world, 5, Temporary("The CRM API answered with HTTP 429.", 120))
    one, other = world.worker(), world.worker()
    world.run(one)
    assert len(world.crm.reads) == 1  # the rest of the batch is not sent either
    world.clock.advance(119)
    assert world.run(other) == 0
    world.crm.errors.clear()
    world.clock.advance(1)
    assert other.run_once() == 1  # one record first
    world.run_until_idle()
    assert {row.state for row in world.inbox()} == {"done"}
    assert {row.attempts for row in world.inbox()} == {0}
    assert holds(world) == {}


# --- the circuit ----------------------------------------------------------------------------------


def test_an_outage_stops_the_calls_while_triggers_are_received(world: World) -> None:
    customers(world, 40, DOWN)
    worker = world.worker(limits=Limits(circuit_after=5))
    with capture_logs() as said:
        world.run(worker)
    assert len(world.crm.reads) == 5
    assert holds(world)["circuit"].reason == str(DOWN)
    assert [entry["what"] for entry in said if entry["event"] == "stopped"] == ["circuit"]
    late = world.receive(world.crm.put(CUSTOMER, "B1"))
    assert world.run(world.worker()) == 0
    assert world.trigger(late).state == "waiting"


def test_an_outage_is_counted_over_all_workers_and_claims(world: World) -> None:
    customers(world, 5, DOWN)
    for worker in [world.worker(batch_size=1) for _ in range(5)]:
        worker.run_once()
    assert "circuit" in holds(world)


def test_an_answer_in_between_counts_the_outage_anew(world: World) -> None:
    keys = customers(world, 9, DOWN)
    del world.crm.errors[keys[4]]
    for _ in keys:
        world.worker(batch_size=1).run_once()
    assert holds(world) == {}


def test_one_record_probes_until_the_api_answers(world: World) -> None:
    keys = customers(world, 40, DOWN)
    one, other = world.worker(), world.worker()
    world.run(one)
    reads = len(world.crm.reads)
    for _ in range(10):
        world.clock.advance(30)
        one.run_once()
        other.run_once()
    assert len(world.crm.reads) == reads + 10
    world.crm.errors.clear()
    world.clock.advance(30)
    with capture_logs() as said:
        world.run_until_idle()
    assert [entry["what"] for entry in said if entry["event"] == "resumed"] == ["circuit"]
    assert all(world.row(key) is not None for key in keys)
    assert {row.attempts for row in world.inbox()} == {0}


def test_a_probe_whose_worker_died_is_made_again(world: World) -> None:
    customers(world, 10, DOWN)
    world.run()
    world.crm.errors.clear()
    world.clock.advance(30)
    assert len(world.worker().claim(world.clock.now()).rows) == 1  # and is never heard of again
    assert world.run() == 0
    world.clock.advance(30)
    assert world.run() > 1


def test_one_bad_record_neither_opens_the_circuit_nor_keeps_it_open(world: World) -> None:
    poison = customers(world, 1, Temporary("No complete answer within 15 s."))[0]
    for _ in range(8):
        world.run()
        world.clock.advance(61)
    assert holds(world) == {}
    others = [world.crm.put(TASK, f"T{n}", ACCOUNTNUM="B1") for n in range(6)]
    world.crm.put(CUSTOMER, "B1")
    for key in others:
        world.receive(key, account="B1")
        world.crm.errors[key] = DOWN
    world.run()
    assert "circuit" in holds(world)
    world.crm.errors = {poison: world.crm.errors[poison]}
    world.clock.advance(61)
    world.run()
    assert holds(world) == {}
    assert all(world.row(key) is not None for key in others)


def test_a_day_of_outage_brings_nothing_nearer_to_dead(world: World) -> None:
    keys = customers(world, 10, DOWN)
    worker = world.worker(max_attempts=1)
    while world.clock.now() < START + timedelta(days=1):
        worker.run_once()
        world.clock.advance(3600)
    world.crm.errors.clear()
    world.run_until_idle()
    assert all(world.row(key) is not None for key in keys)


# --- refused credentials --------------------------------------------------------------------------


def test_after_one_refusal_nothing_else_is_sent(world: World) -> None:
    customers(world, 20, Refused("The password is wrong."))
    world.run()
    assert len(world.crm.reads) == 1  # an account may be locked after a few wrong passwords
    assert {row.attempts for row in world.inbox()} == {0}


def test_only_a_probe_of_the_refused_kind_resumes(world: World) -> None:
    world.crm.put(CUSTOMER, "A1")
    case = world.crm.put(CASE, "C1", ACCOUNTNUM="A1")
    followup = world.crm.put(FOLLOWUP, "F1", ACCOUNTNUM="A1", CASENUM="C1")
    world.crm.errors[followup] = Refused("No right to Get a Followup.", FOLLOWUP)
    world.receive(followup, case="C1")
    world.run()
    for _ in range(5):
        world.receive(case)
        world.clock.advance(30)
        world.run()
    assert holds(world)["credentials"].kind == "followup"
    assert set(world.crm.reads) == {followup}
    world.crm.errors.clear()
    world.clock.advance(60)
    world.run()
    assert holds(world) == {}
    assert world.row(followup) is not None
    assert world.row(case) is not None


def test_an_answer_that_was_under_way_does_not_resume(world: World) -> None:
    early, late = world.worker(batch_size=1), world.worker()
    customers(world, 3)
    under_way = early.fetch(early.claim(world.clock.now()))
    for number in range(1, 3):
        world.crm.errors[Key(CUSTOMER, f"A{number}")] = Refused("The password is wrong.")
    late.run_once()
    early.apply(under_way, world.clock.now())
    assert "credentials" in holds(world)


def test_a_record_that_can_never_be_read_dies_alone(world: World) -> None:
    keys = customers(world, 5)
    world.crm.errors[keys[0]] = BadAnswer("Error 9: not allowed.", "<WAPI>")  # as CrmApi tells it
    worker = world.worker(max_attempts=3)
    for _ in range(4):
        world.run(worker)
        world.clock.advance(61)
    assert [world.row(key) is not None for key in keys] == [False, True, True, True, True]
    assert world.inbox()[0].state == "dead"
    assert holds(world) == {}


# --- the budget -----------------------------------------------------------------------------------


def test_all_workers_together_keep_to_the_budget(world: World) -> None:
    customers(world, 40)
    workers = [world.worker(limits=Limits(calls_per_s=5)) for _ in range(3)]
    made = []
    for _ in range(10):
        before = len(world.crm.reads)
        for worker in workers:
            while worker.run_once():
                pass
        made.append(len(world.crm.reads) - before)
        world.clock.advance(1)
    assert made == [5, 5, 5, 5, 5, 5, 5, 5, 0, 0]
    assert {row.state for row in world.inbox()} == {"done"}


def test_parents_are_part_of_the_budget(world: World) -> None:
    for n in range(6):
        world.crm.put(CUSTOMER, f"A{n}")
        world.crm.put(CASE, f"C{n}", ACCOUNTNUM=f"A{n}")
        followup = world.crm.put(FOLLOWUP, f"F{n}", ACCOUNTNUM=f"A{n}", CASENUM=f"C{n}")
        world.receive(followup, Event.CREATE, account=f"A{n}", case=f"C{n}")
    worker = world.worker(limits=Limits(calls_per_s=6))
    for second in range(1, 4):
        world.run(worker)
        assert len(world.crm.reads) == 6 * second
        world.clock.advance(1)


def test_what_nobody_could_foresee_is_saved_up_for_afterwards(world: World) -> None:
    for n in range(10):
        world.crm.put(CUSTOMER, f"A{n}")
        world.receive(world.crm.put(CASE, f"C{n}", ACCOUNTNUM=f"A{n}"), account="A0")
    worker = world.worker(limits=Limits(calls_per_s=2))
    for _ in range(15):
        world.run(worker)
        world.clock.advance(1)
    assert len(world.crm.reads) <= 2 * 15 + 2
    world.run_until_idle()
    assert len(world.crm.reads) == 20


def test_a_budget_below_one_call_a_second_still_moves(world: World) -> None:
    world.crm.put(CUSTOMER, "A1")
    world.crm.put(CASE, "C1", ACCOUNTNUM="A1")
    followup = world.crm.put(FOLLOWUP, "F1", ACCOUNTNUM="A1", CASENUM="C1")
    world.receive(followup, case="C1")
    late = world.receive(Key(CASE, "C1"))
    worker = world.worker(limits=Limits(calls_per_s=0.1))
    world.run(worker)
    assert world.row(followup) is not None
    world.clock.advance(29)
    assert world.run(worker) == 0
    world.clock.advance(1)
    world.run(worker)
    assert world.trigger(late).state == "done"


# --- the clock ------------------------------------------------------------------------------------


@pytest.mark.parametrize("step_s", [-3600, -86_400])
def test_a_clock_that_steps_back_loses_nothing_and_delays_little(
    world: World, step_s: float
) -> None:
    """What was stored stays, what waited by the old clock waits no longer than ever, and it is
    said; the order of reads never came from the clock."""
    failing, gone, healthy = (world.crm.put(CUSTOMER, f"A{n}") for n in range(3))
    worker = world.worker(limits=Limits(calls_per_s=50, circuit_after=2))
    world.receive(gone)
    world.run(worker)
    world.crm.errors[failing] = DOWN
    world.crm.remove(gone)
    for key in (failing, gone):
        world.receive(key)
    world.run(worker)
    dead = world.worker()
    world.receive(healthy)
    assert dead.claim(world.clock.now()) is not None  # and is never heard of again
    world.crm.errors.clear()
    world.crm.put(CUSTOMER, "A2", FIRSTNAME="Grace")
    world.clock.advance(step_s)
    with capture_logs() as said:
        world.run(worker)
    assert [e["by_s"] for e in said if e["event"] == "clock stepped back"] == [-step_s]
    fresh = world.receive(healthy)
    world.run(worker)
    assert world.trigger(fresh).state == "done"
    world.clock.advance(60)
    world.run(worker)
    assert world.row(failing) is not None
    assert world.row(healthy)["first_name"] == "Grace"
    assert world.row(gone) is not None  # doubted for as long as both clocks say
    world.clock.advance(-step_s)
    world.run_until_idle()
    assert world.row(gone) is None
    assert {row.state for row in world.inbox()} == {"done"}


def test_a_clock_that_steps_back_while_the_api_is_probed_goes_on_probing(world: World) -> None:
    customers(world, 6, DOWN)
    worker = world.worker()
    world.run(worker)
    world.crm.errors.clear()
    world.clock.advance(-3600)
    world.run(worker)
    world.clock.advance(60)
    world.run(worker)
    assert {row.state for row in world.inbox()} == {"done"}
