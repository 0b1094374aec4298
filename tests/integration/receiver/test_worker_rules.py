"""The rules that carry the correctness, each acted through inbox rows and seen in rows outside."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from external_crm.apply import apply
from external_crm.db import session_factory
from external_crm.rows import Batch, Cause, Found, Key, NotFound
from receiver import holds, work
from receiver.crm_api import BadAnswer, Refused, Temporary
from receiver.models import Hold
from receiver.settings import Settings
from receiver.trigger import Event
from tests.receiver_world import CASE, CUSTOMER, FOLLOWUP, TASK, World


def family(world: World) -> tuple[Key, Key, Key, Key]:
    """A customer with a case, its follow-up, and a task, all in the Local CRM."""
    return (
        world.crm.put(CUSTOMER, "A1", FIRSTNAME="Ada", LASTNAME="Byron"),
        world.crm.put(CASE, "C1", ACCOUNTNUM="A1", SUBJECT="Broken", STATUS="Open"),
        world.crm.put(FOLLOWUP, "F1", ACCOUNTNUM="A1", CASENUM="C1", BODY="Called"),
        world.crm.put(TASK, "T1", ACCOUNTNUM="A1", SUBJECT="Call back"),
    )


def bring_out(world: World, *keys: Key) -> None:
    for key in keys:
        world.receive(key, Event.CREATE, case="C1" if key.kind is FOLLOWUP else None)
    world.run()


# --- promises 2 and 4: a trigger takes effect, once --------------------------------------------


def test_a_followup_whose_case_and_customer_are_unknown_arrives_whole(world: World) -> None:
    customer, case, followup, _ = family(world)
    row_id = world.receive(followup, Event.CREATE, case="C1")
    world.run()
    row = world.row(followup)
    assert row is not None
    assert (row["body"], row["case_ref"], row["customer_ref"]) == ("Called", "C1", "A1")
    assert world.row(case)["subject"] == "Broken"
    assert world.row(customer)["first_name"] == "Ada"
    assert world.trigger(row_id).state == "done"
    assert [entry.cause_id for entry in world.history(customer)] == [row_id]


def test_ten_deliveries_leave_one_row_and_one_audit_entry(world: World) -> None:
    customer, *_ = family(world)
    for _ in range(10):
        world.receive(customer)
    world.run()
    assert [entry.action for entry in world.history(customer)] == ["created"]
    assert {row.state for row in world.inbox()} == {"done"}


def test_an_unchanged_record_gets_no_audit_entry_and_both_numbers(world: World) -> None:
    customer, *_ = family(world)
    bring_out(world, customer)
    before = world.state(customer)
    world.receive(customer)
    world.run()
    after = world.state(customer)
    assert len(world.history(customer)) == 1
    assert after.ticket > before.seq
    assert after.seq > after.ticket


def test_one_claim_reads_a_record_once_however_many_triggers_name_it(world: World) -> None:
    customer, *_ = family(world)
    for _ in range(5):
        world.receive(customer)
    world.run()
    assert world.crm.reads == [customer]


def test_a_parent_that_is_out_already_costs_no_read(world: World) -> None:
    customer, case, *_ = family(world)
    bring_out(world, customer)
    world.crm.reads.clear()
    world.receive(case)
    world.run()
    assert world.crm.reads == [case]


def test_a_trigger_that_arrives_during_the_fetch_is_read_again(world: World) -> None:
    customer, *_ = family(world)
    worker = world.worker()
    world.receive(customer)
    fetched = worker.fetch(worker.claim(world.clock.now()))
    world.crm.put(CUSTOMER, "A1", FIRSTNAME="Grace")
    late = world.receive(customer)
    worker.apply(fetched, world.clock.now())
    assert world.trigger(late).state == "waiting"
    world.run()
    assert world.row(customer)["first_name"] == "Grace"


def test_a_case_that_moves_to_another_customer_moves_outside(world: World) -> None:
    _, case, *_ = family(world)
    bring_out(world, case)
    world.crm.put(CUSTOMER, "A2", FIRSTNAME="Grace")
    world.crm.put(CASE, "C1", ACCOUNTNUM="A2")
    world.receive(case, account="A1")
    world.run()
    assert (world.row(case)["account_id"], world.row(case)["customer_ref"]) == ("A2", "A2")


# --- one read for all that waits for a record ---------------------------------------------------


def test_a_claim_takes_what_else_waits_for_its_records(world: World) -> None:
    customer, case, *_ = family(world)
    for _ in range(5):
        world.receive(customer)
        world.receive(case)
    claim = world.worker(batch_size=2).claim(world.clock.now())
    assert sorted(row.key for row in claim.rows) == [case] * 5 + [customer] * 5
    world.clock.advance(60)
    world.crm.reads.clear()
    world.worker(batch_size=2).run_once()
    assert sorted(world.crm.reads) == [case, customer]
    assert {row.verdict for row in world.inbox()} == {"applied"}


def test_what_waits_for_a_hot_record_is_taken_in_bounded_pieces(world: World) -> None:
    customer, *_ = family(world)
    for _ in range(25):
        world.receive(customer)
    worker = world.worker(batch_size=1)
    assert [worker.run_once() for _ in range(4)] == [10, 10, 5, 0]


def test_a_claim_takes_nothing_that_waits_for_later_or_costs_a_further_read(world: World) -> None:
    _, case, *_ = family(world)
    bring_out(world, case)
    world.receive(case)
    unknown_parent = world.receive(case, account="A9")
    claim = world.worker(batch_size=1).claim(world.clock.now())
    assert unknown_parent not in [row.id for row in claim.rows]
    world.worker(batch_size=1).run_once()
    assert world.trigger(unknown_parent).state == "done"


# --- the fence ------------------------------------------------------------------------------


def two_workers_orders() -> list[tuple[str, ...]]:
    """Every order of two workers' claim, fetch and apply that keeps each worker's own order."""
    phases = ["a:claim", "a:fetch", "a:apply", "b:claim", "b:fetch", "b:apply"]
    orders = []
    for order in itertools.permutations(phases):
        if all(
            [p for p in order if p[0] == w] == [f"{w}:{x}" for x in ("claim", "fetch", "apply")]
            for w in "ab"
        ):
            orders.append(order)
    return orders


@pytest.mark.parametrize("order", two_workers_orders(), ids=" ".join)
def test_reads_that_finish_in_the_wrong_order_leave_the_newer_data(
    world: World, order: tuple[str, ...]
) -> None:
    for edit_before in range(1, 6):
        _edit_between_phases(world, order, edit_before)


def _edit_between_phases(world: World, order: tuple[str, ...], edit_before: int) -> None:
    """Two workers go through their phases in the given order; one edit happens in between, and
    its trigger is stored at once. What is shown outside never goes back.
    """
    customer = world.crm.put(CUSTOMER, f"A{edit_before}", FIRSTNAME="Ada")
    workers = {name: world.worker() for name in "ab"}
    held: dict[str, Any] = {}
    shown: list[str] = []
    for step, phase in enumerate(order):
        if step == edit_before:
            world.crm.put(CUSTOMER, customer.id, FIRSTNAME="Grace")
            world.receive(customer)
        name, action = phase.split(":")
        worker = workers[name]
        if action == "claim":
            world.receive(customer)
            held[name] = worker.claim(world.clock.now())
        elif action == "fetch":
            held[name] = worker.fetch(held[name])
        else:
            worker.apply(held[name], world.clock.now())
            shown.append(world.row(customer)["first_name"])
    assert shown in (["Ada", "Ada"], ["Ada", "Grace"], ["Grace", "Grace"])
    world.run()
    assert world.row(customer)["first_name"] == "Grace"
    assert {row.state for row in world.inbox()} == {"done"}
    assert all(row.attempts == 0 for row in world.inbox())


def test_an_apply_waits_for_the_one_before_and_judges_by_what_that_wrote(world: World) -> None:
    customer, *_ = family(world)
    bring_out(world, customer)
    older, newer = world.worker(), world.worker()
    world.receive(customer)
    world.crm.put(CUSTOMER, "A1", FIRSTNAME="Grace")
    slow = older.fetch(older.claim(world.clock.now()))
    world.receive(customer)
    world.crm.put(CUSTOMER, "A1", FIRSTNAME="Edsger")
    quick = newer.fetch(newer.claim(world.clock.now()))
    read = Found(quick.answers[customer].row, world.clock.now(), Cause("trigger", None))
    with ThreadPoolExecutor(1) as pool, session_factory(world.engine).begin() as session:
        batch = Batch((read,), world.clock.now())
        apply(session, batch, quick.claim.ticket)
        waiting = pool.submit(older.apply, slow, world.clock.now())
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.5)
        session.commit()
        waiting.result(timeout=30)
    assert world.row(customer)["first_name"] == "Edsger"
    names = [(entry.before or {}).get("first_name") for entry in world.history(customer)]
    assert names == [None, "Ada"]
    assert [world.trigger(row.id).verdict for row in slow.claim.rows] == ["covered"]


def test_an_overtaken_read_is_released_alone_and_read_again(world: World) -> None:
    customer, case, *_ = family(world)
    quick, slow = world.worker(), world.worker()
    world.receive(customer)
    first = quick.claim(world.clock.now())
    overtaken, beside = world.receive(customer), world.receive(case)
    late = slow.fetch(slow.claim(world.clock.now()))
    # An older ticket, but written after the later one was drawn: nothing is known.
    quick.apply(quick.fetch(first), world.clock.now())
    slow.apply(late, world.clock.now())
    row = world.trigger(overtaken)
    assert (row.state, row.ticket, row.attempts, row.postponed) == ("waiting", None, 0, 0)
    assert row.due_at == world.clock.now()
    assert world.trigger(beside).verdict == "applied"  # the rest of the batch is not held up
    world.run()
    assert world.trigger(overtaken).verdict == "unchanged"


def test_a_late_find_never_revives_a_deleted_record(world: World) -> None:
    customer, *_ = family(world)
    bring_out(world, customer)
    slow = world.worker()
    late = world.receive(customer)
    found = slow.fetch(slow.claim(world.clock.now()))
    world.crm.remove(customer)
    world.receive(customer, Event.DELETE)
    world.run_until_idle()
    assert world.row(customer) is None
    slow.apply(found, world.clock.now())
    assert world.row(customer) is None
    assert world.trigger(late).state == "done"
    assert [entry.action for entry in world.history(customer)] == ["created", "deleted"]


def test_a_tombstone_that_is_confirmed_keeps_out_what_was_read_before(world: World) -> None:
    customer, *_ = family(world)
    world.receive(customer)
    hidden = world.crm.records.pop(customer)
    world.run_until_idle()
    slow = world.worker()
    world.receive(customer)
    world.crm.records[customer] = hidden  # there again, for a moment
    found = slow.fetch(slow.claim(world.clock.now()))
    world.crm.remove(customer)
    world.receive(customer)
    world.run()
    slow.apply(found, world.clock.now())
    assert world.row(customer) is None


def test_a_not_found_that_is_not_believed_keeps_nothing_out(world: World) -> None:
    customer, *_ = family(world)
    bring_out(world, customer)
    before = world.state(customer)
    world.crm.remove(customer)
    world.receive(customer)
    world.run()
    after = world.state(customer)
    assert (after.ticket, after.seq) == (before.ticket, before.seq)
    assert after.first_not_found_at == world.clock.now()


def test_only_the_owner_of_a_lease_may_give_a_trigger_back(world: World) -> None:
    customer, *_ = family(world)
    row_id = world.receive(customer)
    zombie, successor = world.worker(), world.worker()
    stale = zombie.claim(world.clock.now())
    world.clock.advance(21)
    claim = successor.claim(world.clock.now())
    assert claim is not None
    assert claim.ticket > stale.ticket
    world.crm.errors[customer] = BadAnswer("Nonsense.", "<x/>")
    zombie.apply(zombie.fetch(stale), world.clock.now())
    row = world.trigger(row_id)
    assert (row.ticket, row.attempts) == (claim.ticket, 0)


def test_whoever_finds_a_trigger_in_effect_finishes_it(world: World) -> None:
    customer, *_ = family(world)
    row_id = world.receive(customer)
    zombie, successor = world.worker(), world.worker()
    late = zombie.fetch(zombie.claim(world.clock.now()))
    world.clock.advance(21)
    again = successor.fetch(successor.claim(world.clock.now()))
    zombie.apply(late, world.clock.now())
    assert world.trigger(row_id).verdict == "applied"
    finished = world.trigger(row_id).finished_at
    world.clock.advance(1)
    successor.apply(again, world.clock.now())
    row = world.trigger(row_id)
    assert (row.verdict, row.finished_at) == ("applied", finished)


def test_a_worker_that_dies_after_its_claim_loses_nothing(world: World) -> None:
    customer, *_ = family(world)
    world.receive(customer)
    assert world.worker().claim(world.clock.now()) is not None  # and never heard of again
    assert world.run() == 0
    world.clock.advance(21)
    assert world.run() == 1
    assert world.row(customer)["first_name"] == "Ada"


def test_a_batch_that_fails_in_an_unexpected_way_is_given_back_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer, *_ = family(world)
    row_id = world.receive(customer)
    monkeypatch.setattr("receiver.worker.missing_parents", lambda *_: {}["no such key"])
    with pytest.raises(KeyError):
        world.worker().run_once()
    row = world.trigger(row_id)
    assert (row.state, row.ticket, row.attempts) == ("waiting", None, 0)
    assert row.due_at <= world.clock.now() + timedelta(seconds=1)


def test_a_lease_is_extended_while_its_batch_is_fetched(world: World) -> None:
    customer, *_ = family(world)
    world.receive(customer)
    worker = world.worker()
    claim = worker.claim(world.clock.now())
    world.clock.advance(15)
    worker.extend(claim)
    world.clock.advance(15)
    assert world.worker().claim(world.clock.now()) is None


def test_a_lease_that_was_lost_cannot_be_extended(world: World) -> None:
    customer, *_ = family(world)
    row_id = world.receive(customer)
    zombie, successor = world.worker(), world.worker()
    lost = zombie.claim(world.clock.now())
    world.clock.advance(21)
    successor.claim(world.clock.now())
    due_at = world.trigger(row_id).due_at
    world.clock.advance(5)
    zombie.extend(lost)
    assert world.trigger(row_id).due_at == due_at


# --- gone, parents, children ------------------------------------------------------------------


def test_a_not_found_is_believed_only_after_the_recheck_time(world: World) -> None:
    customer, *_ = family(world)
    bring_out(world, customer)
    world.crm.remove(customer)
    row_id = world.receive(customer, Event.DELETE)
    world.run()
    assert world.row(customer) is not None
    assert world.trigger(row_id).due_at == world.clock.now() + timedelta(seconds=30)
    world.clock.advance(30)
    world.run()
    assert world.row(customer) is None
    assert world.state(customer).state == "gone"
    assert [entry.action for entry in world.history(customer)] == ["created", "deleted"]
    assert world.trigger(row_id).attempts == 0


def test_belief_counts_from_when_the_read_was_sent_not_from_its_apply(world: World) -> None:
    customer, *_ = family(world)
    bring_out(world, customer)
    world.crm.remove(customer)
    quick, slow = world.worker(), world.worker()
    world.receive(customer, Event.DELETE)
    quick.run_once()
    row_id = world.receive(customer, Event.DELETE)
    early = slow.fetch(slow.claim(world.clock.now()))
    world.clock.advance(30)
    slow.apply(early, world.clock.now())
    assert world.row(customer) is not None
    assert world.trigger(row_id).state == "waiting"


def test_a_trigger_that_arrives_meanwhile_puts_the_belief_off(world: World) -> None:
    customer, *_ = family(world)
    bring_out(world, customer)
    world.crm.remove(customer)
    world.receive(customer, Event.DELETE)
    world.run()
    world.clock.advance(29)
    world.receive(customer, Event.EDIT)
    world.clock.advance(1)
    world.run()
    assert world.row(customer) is not None
    world.clock.advance(29)
    world.run()
    assert world.row(customer) is None


def test_a_verification_does_not_put_the_belief_off(world: World) -> None:
    customer, case, *_ = family(world)
    bring_out(world, customer, case)
    world.crm.remove(customer, case)
    world.clock.advance(30)
    world.receive(customer, Event.DELETE)
    world.run()
    world.clock.advance(20)
    world.receive(customer, Event.DELETE)  # sent again; the case is verified once more
    world.run()
    world.clock.advance(10)
    world.run()
    assert world.row(case) is None
    assert world.row(customer) is not None  # its own trigger does


def test_a_read_that_finds_the_record_clears_the_doubt(world: World) -> None:
    customer, *_ = family(world)
    bring_out(world, customer)
    hidden = world.crm.records.pop(customer)
    world.receive(customer)
    world.run()
    assert world.state(customer).first_not_found_at is not None
    world.crm.records[customer] = hidden
    world.clock.advance(30)
    world.run()
    assert world.state(customer).first_not_found_at is None
    assert world.row(customer) is not None


def test_a_delete_trigger_whose_record_is_found_deletes_nothing(world: World) -> None:
    customer, case, *_ = family(world)
    bring_out(world, customer, case)
    world.receive(customer, Event.DELETE)
    world.run()
    assert world.row(customer) is not None
    assert world.row(case) is not None
    causes = [(row.cause, row.kind) for row in world.inbox()]
    assert ("verification", "case") in causes  # each child goes by its own answer
    assert world.state(customer).ks > 0


def test_children_of_a_deleted_customer_go_each_by_its_own_read(world: World) -> None:
    customer, case, followup, task = family(world)
    bring_out(world, customer, case, followup, task)
    kept = world.crm.put(CASE, "C2", ACCOUNTNUM="A1", SUBJECT="Moved in time")
    bring_out(world, kept)
    world.crm.put(CUSTOMER, "A2")
    world.crm.put(CASE, "C2", ACCOUNTNUM="A2")  # by a silent channel, before the delete
    world.crm.remove(customer, case, followup, task)
    world.receive(customer, Event.DELETE)
    world.run_until_idle()
    assert [world.row(key) for key in (customer, case, followup, task)] == [None] * 4
    assert world.row(kept)["account_id"] == "A2"
    assert {row.state for row in world.inbox()} == {"done"}


def test_a_delete_trigger_cascades_once_however_often_it_is_put_back(world: World) -> None:
    customer, case, *_ = family(world)
    bring_out(world, customer, case)
    world.crm.remove(customer)
    row_id = world.receive(customer, Event.DELETE)
    world.run()
    world.clock.advance(29)
    world.receive(customer, Event.EDIT)  # puts the belief off
    world.clock.advance(1)
    world.run()
    assert world.trigger(row_id).due_at == world.clock.now() + timedelta(seconds=29)
    assert [row.kind for row in world.inbox() if row.cause == "verification"] == ["case"]


def test_a_delete_trigger_cascades_even_when_its_own_read_is_overtaken(world: World) -> None:
    customer, case, *_ = family(world)
    bring_out(world, customer, case)
    quick, slow = world.worker(), world.worker()
    world.receive(customer)
    first = quick.claim(world.clock.now())
    world.receive(customer, Event.DELETE)
    late = slow.fetch(slow.claim(world.clock.now()))
    quick.apply(quick.fetch(first), world.clock.now())
    slow.apply(late, world.clock.now())
    assert world.state(customer).ks > world.state(customer).seq
    assert [row.kind for row in world.inbox() if row.cause == "verification"] == ["case"]


@pytest.mark.parametrize("parent", [Key(CUSTOMER, "A1"), Key(CASE, "C1")], ids=str)
def test_a_followup_has_two_parents_whose_going_it_may_precede(world: World, parent: Key) -> None:
    customer, case, followup, _ = family(world)
    bring_out(world, customer, case, followup)
    worker, other = world.worker(), world.worker()
    world.crm.put(FOLLOWUP, "F1", BODY="Called again")
    row_id = world.receive(followup, case="C1")
    early = worker.fetch(worker.claim(world.clock.now()))
    world.receive(parent, Event.DELETE)
    other.apply(other.fetch(other.claim(world.clock.now())), world.clock.now())
    worker.apply(early, world.clock.now())
    assert world.trigger(row_id).state == "waiting"
    assert world.row(followup)["body"] == "Called"


def test_a_child_found_in_the_batch_that_loses_its_parent_is_applied_and_verified(
    world: World,
) -> None:
    customer, case, *_ = family(world)
    bring_out(world, customer, case)
    world.crm.remove(customer)
    world.receive(customer, Event.DELETE)
    world.run()
    world.clock.advance(30)
    world.crm.put(CASE, "C1", SUBJECT="Worse")
    row_id = world.receive(case)
    before = len(world.inbox())
    world.worker().run_once()
    assert world.row(customer) is None
    assert (world.row(case)["subject"], world.row(case)["customer_ref"]) == ("Worse", None)
    assert world.trigger(row_id).verdict == "applied"
    owed = [(row.cause, row.kind) for row in world.inbox()[before:]]
    assert ("verification", "case") in owed


def test_the_followups_of_a_deleted_case_go(world: World) -> None:
    customer, case, followup, task = family(world)
    bring_out(world, customer, case, followup, task)
    world.crm.remove(case, followup)
    world.receive(case, Event.DELETE)
    world.run_until_idle()
    assert [world.row(case), world.row(followup)] == [None, None]
    assert world.row(customer) is not None
    assert world.row(task) is not None


def test_a_child_that_comes_out_in_the_cascades_own_transaction_is_verified(world: World) -> None:
    customer, case, *_ = family(world)
    bring_out(world, customer)
    world.receive(customer, Event.DELETE)
    world.receive(case, Event.CREATE)
    world.worker().run_once()
    assert world.row(case) is not None
    assert [row.kind for row in world.inbox() if row.cause == "verification"] == ["case"]


@pytest.mark.parametrize("event", [None, Event.EDIT])
def test_children_of_a_customer_that_no_delete_trigger_named_go_too(
    world: World, event: Event | None
) -> None:
    customer, case, followup, task = family(world)
    bring_out(world, customer, case, followup, task)
    world.crm.remove(customer, case, followup, task)
    world.receive(customer, event)
    world.run_until_idle()
    assert [world.row(key) for key in (customer, case, followup, task)] == [None] * 4


def test_a_tombstone_that_stands_asks_for_no_child_again(world: World) -> None:
    customer, case, *_ = family(world)
    world.receive(customer)
    world.crm.remove(customer)
    world.run_until_idle()
    before = world.state(customer)
    world.receive(case)
    world.run()  # the case lives under a tombstone, which is verified and stands
    after = world.state(customer)
    assert world.row(case) is not None
    assert after.ticket > before.ticket
    assert after.ks == before.ks
    assert [row.kind for row in world.inbox() if row.cause == "verification"] == ["customer"]


def test_a_child_read_before_its_parent_was_seen_going_is_read_again(world: World) -> None:
    customer, case, *_ = family(world)
    bring_out(world, customer, case)
    worker = world.worker()
    world.crm.put(CASE, "C1", SUBJECT="Worse")
    row_id = world.receive(case)
    early = worker.fetch(worker.claim(world.clock.now()))
    world.receive(customer, Event.DELETE)
    other = world.worker()
    other.apply(other.fetch(other.claim(world.clock.now())), world.clock.now())
    worker.apply(early, world.clock.now())
    assert world.trigger(row_id).state == "waiting"
    assert world.row(case)["subject"] == "Broken"
    world.run()
    assert world.row(case)["subject"] == "Worse"
    assert world.trigger(row_id).attempts == 0


def test_a_child_found_under_a_tombstone_is_applied_and_its_parent_verified(world: World) -> None:
    customer, case, *_ = family(world)
    bring_out(world, customer)
    hidden = world.crm.records.pop(customer)
    world.receive(customer, Event.DELETE)
    world.run_until_idle()
    assert world.row(customer) is None
    world.crm.records[customer] = hidden  # the answers before were stale
    world.receive(case, Event.CREATE)
    world.run()
    assert world.row(case)["customer_ref"] == "A1"  # filled when the parent lived again
    assert world.row(customer) is not None


def test_a_child_waits_while_its_parent_is_doubted(world: World) -> None:
    customer, case, *_ = family(world)
    hidden = world.crm.records.pop(customer)
    row_id = world.receive(case, Event.CREATE)
    world.run()
    assert world.row(case) is None
    assert world.trigger(row_id).due_at == world.clock.now() + timedelta(seconds=30)
    assert world.trigger(row_id).attempts == 0
    world.crm.records[customer] = hidden
    world.clock.advance(30)
    world.run()
    assert world.row(case)["customer_ref"] == "A1"


def test_a_child_waits_while_its_parents_fetch_fails(world: World) -> None:
    customer, case, *_ = family(world)
    world.crm.errors[customer] = Temporary("The CRM API answered with HTTP 503.")
    row_id = world.receive(case, Event.CREATE)
    world.run()
    row = world.trigger(row_id)
    assert (row.state, row.attempts) == ("waiting", 0)
    assert "HTTP 503" in row.last_error
    del world.crm.errors[customer]
    world.run_until_idle()
    assert world.row(case)["customer_ref"] == "A1"


def test_the_parents_of_a_record_that_is_gone_already_are_brought_out(world: World) -> None:
    customer, case, followup, _ = family(world)
    world.crm.remove(followup)
    world.receive(followup, Event.DELETE, case="C1")
    world.run_until_idle()
    assert world.row(followup) is None
    assert world.row(case) is not None
    assert world.row(customer) is not None


def test_a_lost_child_waits_while_a_grandparent_cannot_be_read(world: World) -> None:
    _, case, followup, _ = family(world)
    world.crm.remove(followup)
    grandparent = world.crm.put(CUSTOMER, "A2")
    world.crm.put(CASE, "C1", ACCOUNTNUM="A2")  # moved, which no trigger has said yet
    world.crm.errors[grandparent] = Temporary("The CRM API answered with HTTP 503.")
    row_id = world.receive(followup, Event.DELETE, case="C1")
    world.run()
    world.clock.advance(30)
    world.run()
    assert world.trigger(row_id).state == "waiting"
    assert world.trigger(row_id).attempts == 0
    del world.crm.errors[grandparent]
    world.run_until_idle()
    assert world.row(case)["customer_ref"] == "A2"


# --- the guard ----------------------------------------------------------------------------------


def test_many_unexplained_absences_stop_the_tombstones(world: World) -> None:
    keys = [world.crm.put(CUSTOMER, f"A{n}") for n in range(20)]
    bring_out(world, *keys)
    lost = dict(world.crm.records)
    world.crm.records.clear()  # a rights mistake: everything is "not found"
    for key in keys:
        world.receive(key)
    world.run()
    world.clock.advance(30)
    world.run()
    alive = [key for key in keys if world.row(key) is not None]
    assert len(alive) == 10
    hold = world.read(lambda s: s.get(Hold, "tombstones"))
    assert "crm-receiver tombstones resume" in hold.reason
    world.clock.advance(3600)
    world.run()
    assert [key for key in keys if world.row(key) is not None] == alive
    world.crm.records.update(lost)
    for key in keys:
        world.receive(key)
    world.run_until_idle()
    assert all(world.row(key) is not None for key in keys)
    assert world.read(lambda s: s.get(Hold, "tombstones")) is None


def test_how_many_unexplained_removals_are_too_many_is_a_setting(world: World) -> None:
    world.policy = work.policy(Settings(tombstone_limit=2, tombstone_window_s=60))
    keys = [world.crm.put(CUSTOMER, f"A{n}") for n in range(4)]
    bring_out(world, *keys)
    world.crm.remove(*keys)
    for key in keys:
        world.receive(key)
    world.run()
    world.clock.advance(30)
    world.run()
    assert sum(world.row(key) is not None for key in keys) == 2
    assert sum(row.held for row in world.inbox()) == 2


def test_workers_that_remove_at_the_same_time_share_one_allowance(world: World) -> None:
    keys = [world.crm.put(CUSTOMER, f"A{n}") for n in range(20)]
    bring_out(world, *keys)
    world.crm.remove(*keys)
    for key in keys:
        world.receive(key)
    world.run()
    world.clock.advance(30)
    first, second = world.worker(batch_size=10), world.worker(batch_size=10)
    claims = [worker.claim(world.clock.now()) for worker in (first, second)]
    doubted = [
        NotFound(row.key, world.clock.now(), Cause("trigger", row.id), None, explained=False)
        for row in claims[0].rows
    ]
    answered = second.fetch(claims[1])
    with ThreadPoolExecutor(1) as pool, session_factory(world.engine).begin() as session:
        apply(session, Batch(tuple(doubted), world.clock.now()), claims[0].ticket)
        waiting = pool.submit(second.apply, answered, world.clock.now())
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.5)
        session.commit()
        waiting.result(timeout=30)
    assert sum(world.row(key) is not None for key in keys) == 10
    assert world.read(lambda s: s.get(Hold, "tombstones")) is not None


def test_an_operator_lets_the_tombstones_go_on(world: World) -> None:
    keys = [world.crm.put(TASK, f"T{n}", ACCOUNTNUM="A1") for n in range(15)]
    world.crm.put(CUSTOMER, "A1")
    bring_out(world, *keys)
    world.crm.remove(*keys)
    for key in keys:
        world.receive(key)
    world.run()
    world.clock.advance(30)
    world.run()
    with session_factory(world.engine).begin() as session:
        assert holds.allow_held(session, world.clock.now()) == 5
        assert holds.resume(session, "tombstones")
    world.run_until_idle()
    assert all(world.row(key) is None for key in keys)
    # The guard counts anew: one more within the five minutes is none too many.
    late = world.crm.put(TASK, "T99", ACCOUNTNUM="A1")
    bring_out(world, late)
    world.crm.remove(late)
    world.receive(late)
    world.run_until_idle()
    assert world.row(late) is None
    assert world.read(lambda s: s.get(Hold, "tombstones")) is None


def test_deletes_that_triggers_announced_are_never_stopped(world: World) -> None:
    keys = [world.crm.put(CUSTOMER, f"A{n}") for n in range(30)]
    bring_out(world, *keys)
    world.crm.remove(*keys)
    for key in keys:
        world.receive(key, Event.DELETE)
    world.run()
    world.clock.advance(30)
    world.run()
    assert all(world.row(key) is None for key in keys)
    assert world.read(lambda s: s.get(Hold, "tombstones")) is None


def test_a_delete_trigger_explains_all_that_hung_on_the_record(world: World) -> None:
    customer = world.crm.put(CUSTOMER, "A1")
    keys = [world.crm.put(TASK, f"T{n}", ACCOUNTNUM="A1") for n in range(30)]
    bring_out(world, customer, *keys)
    world.crm.remove(customer, *keys)
    world.receive(customer, Event.DELETE)
    world.run()
    world.clock.advance(30)
    world.run()
    assert all(world.row(key) is None for key in keys)
    assert world.read(lambda s: s.get(Hold, "tombstones")) is None


def test_a_hold_on_tombstones_outlasts_what_has_no_part_in_it(world: World) -> None:
    keys = [world.crm.put(CUSTOMER, f"A{n}") for n in range(11)]
    bring_out(world, *keys)
    world.crm.remove(*keys)
    for key in keys:
        world.receive(key)
    world.run()
    world.clock.advance(30)
    world.run()
    world.receive(world.crm.put(CUSTOMER, "B1"))
    world.run()
    assert world.read(lambda s: s.get(Hold, "tombstones")) is not None


# --- failures -------------------------------------------------------------------------------------


def test_a_temporary_failure_is_never_nearer_to_dead(world: World) -> None:
    customer, *_ = family(world)
    world.crm.errors[customer] = Temporary("The CRM API answered with HTTP 503.")
    row_id = world.receive(customer)
    worker = world.worker(max_attempts=2)
    for _ in range(50):
        worker.run_once()
        world.clock.advance(61)
    assert (world.trigger(row_id).state, world.trigger(row_id).attempts) == ("waiting", 0)
    del world.crm.errors[customer]
    world.run()
    assert world.trigger(row_id).state == "done"


def test_a_retry_after_is_obeyed(world: World) -> None:
    customer, *_ = family(world)
    world.crm.errors[customer] = Temporary("The CRM API answered with HTTP 429.", 120)
    row_id = world.receive(customer)
    world.run()
    assert world.trigger(row_id).due_at == world.clock.now() + timedelta(seconds=120)


def test_a_bad_record_dies_in_plain_sight_and_holds_up_nobody(world: World) -> None:
    customer, case, *_ = family(world)
    world.crm.errors[case] = BadAnswer("The reply is not well-formed XML.", "<WAPI><REP")
    bad, good = world.receive(case), world.receive(customer)
    worker = world.worker(max_attempts=3)
    world.run(worker)
    assert world.trigger(good).state == "done"
    for _ in range(5):
        world.clock.advance(61)
        world.run(worker)
    row = world.trigger(bad)
    assert (row.state, row.attempts, row.last_reply) == ("dead", 3, "<WAPI><REP")
    assert row.last_error == "The reply is not well-formed XML."


def test_a_value_that_no_column_can_hold_says_which(world: World) -> None:
    _, case, *_ = family(world)
    world.crm.put(CASE, "C1", CREATEDDATE="02302026")
    row_id = world.receive(case)
    world.run()
    assert "'02302026' as CREATEDDATE" in world.trigger(row_id).last_error


def test_refused_credentials_stop_claiming_until_a_probe_gets_through(world: World) -> None:
    keys = [world.crm.put(CUSTOMER, f"A{n}") for n in range(5)]
    for key in keys:
        world.crm.errors[key] = Refused("The password is wrong.")
        world.receive(key)
    world.run()
    assert world.read(lambda s: s.get(Hold, "credentials")).reason == "The password is wrong."
    reads = len(world.crm.reads)
    world.clock.advance(29)
    assert world.run() == 0
    world.clock.advance(1)
    world.run()
    assert len(world.crm.reads) == reads + 1  # one probe
    world.crm.errors.clear()
    world.clock.advance(60)
    world.run_until_idle()
    assert all(world.row(key) is not None for key in keys)
    assert all(row.attempts == 0 for row in world.inbox())
    assert world.read(lambda s: s.get(Hold, "credentials")) is None


def test_workers_that_are_refused_at_the_same_time_stop_and_go_on_together(world: World) -> None:
    together = threading.Barrier(4)

    def stop_and_resume(_number: int) -> None:
        for change in (
            lambda s: holds.hold(s, "credentials", "The password is wrong.", world.clock.now()),
            lambda s: holds.resume(s, "credentials"),
        ):
            together.wait(30)
            with session_factory(world.engine).begin() as session:
                change(session)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(stop_and_resume, range(4)))
    assert world.read(lambda s: s.get(Hold, "credentials")) is None


def refuse_nul(world: World) -> None:
    """PostgreSQL refuses NUL in text; SQLite is told to."""
    if world.engine.dialect.name == "sqlite":
        with world.engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE TRIGGER refuse_nul BEFORE INSERT ON customers"
                " WHEN instr(NEW.first_name, char(0)) BEGIN SELECT RAISE(ABORT, 'no NUL'); END"
            )


def test_a_row_that_the_database_refuses_holds_up_nobody(world: World) -> None:
    refuse_nul(world)
    customer, case, *_ = family(world)
    world.crm.put(CUSTOMER, "A2", FIRSTNAME="bad\x00value")
    bad = world.receive(Key(CUSTOMER, "A2"))
    good = world.receive(case)
    world.run()
    assert world.trigger(good).state == "done"
    assert world.row(customer) is not None
    assert world.trigger(bad).attempts == 1
    assert world.trigger(bad).last_error.startswith("The External CRM refuses the row")


def test_a_parent_that_the_database_refuses_kills_none_of_its_children(world: World) -> None:
    refuse_nul(world)
    customer, case, followup, _ = family(world)
    world.crm.put(CUSTOMER, "A1", FIRSTNAME="bad\x00value")
    own, child = world.receive(customer), world.receive(followup, case="C1")
    worker = world.worker(max_attempts=2)
    for _ in range(5):
        world.run(worker)
        world.clock.advance(61)
    assert world.trigger(own).state == "dead"
    row = world.trigger(child)
    assert (row.state, row.attempts) == ("waiting", 0)
    assert "The External CRM refuses the row" in row.last_error
    world.crm.put(CUSTOMER, "A1", FIRSTNAME="Ada")
    world.run(worker)
    assert world.trigger(child).state == "done"
    assert world.row(case)["customer_ref"] == "A1"
