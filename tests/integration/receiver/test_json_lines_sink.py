"""A sink that is no database: the rules hold, and what a death leaves behind does no harm."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from external_crm.counter import draw
from external_crm.db import session_factory
from external_crm.json_lines import JsonLinesSink
from external_crm.rows import Key
from receiver.crm_api import BadAnswer
from receiver.settle import WorkerOptions
from receiver.trigger import Event
from receiver.worker import Worker
from tests.receiver_world import CASE, CUSTOMER, SCHEDULE, TASK, World

Row = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "crm"


def open_sink(world: World, folder: Path) -> JsonLinesSink:
    """As another process would open it: nothing known but what the files say."""
    sessions = session_factory(world.engine)

    def draw_committed() -> int:
        with sessions.begin() as session:
            return draw(session)

    return JsonLinesSink(folder, draw_committed)


def make_worker(world: World, sink: JsonLinesSink) -> Worker:
    options = WorkerOptions(schedule=SCHEDULE, policy=world.policy)
    rng = random.Random(7)
    return Worker(world.engine, world.crm, world.clock, rng, options, sink=sink)


@pytest.fixture
def worker(world: World, folder: Path) -> Iterator[Worker]:
    return make_worker(world, open_sink(world, folder))


def rows(world: World, folder: Path) -> dict[Key, Row]:
    return open_sink(world, folder).rows()


def lines(folder: Path) -> list[Row]:
    return [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]


def changes(folder: Path) -> list[tuple[str, str]]:
    """What changed outside: (record id, created, changed or deleted)."""
    return [(line["id"], line["change"]) for line in lines(folder) if line["change"] != "none"]


def family(world: World) -> tuple[Key, Key]:
    """A customer with a case."""
    customer = world.crm.put(CUSTOMER, "A1", FIRSTNAME="Ada")
    return customer, world.crm.put(CASE, "C1", ACCOUNTNUM="A1", SUBJECT="Noise")


def test_a_record_comes_with_its_parent_and_changes(
    world: World, worker: Worker, folder: Path
) -> None:
    customer, case = family(world)
    world.receive(case, Event.CREATE)
    world.run(worker)
    world.crm.put(CASE, "C1", SUBJECT="More noise")
    row_id = world.receive(case)
    world.run(worker)

    found = rows(world, folder)
    assert (found[customer]["first_name"], found[case]["subject"]) == ("Ada", "More noise")
    assert changes(folder) == [("A1", "created"), ("C1", "created"), ("C1", "changed")]
    assert world.trigger(row_id).state == "done"
    assert world.row(case) is None  # nothing went into the tables


def test_ten_triggers_about_one_change_have_one_effect(
    world: World, worker: Worker, folder: Path
) -> None:
    customer, _ = family(world)
    for _ in range(10):
        world.receive(customer)
        world.run(worker)

    assert changes(folder) == [("A1", "created")]
    assert {row.state for row in world.inbox()} == {"done"}


def test_a_deleted_record_goes_with_its_children_each_by_its_own_answer(
    world: World, worker: Worker, folder: Path
) -> None:
    customer, case = family(world)
    task = world.crm.put(TASK, "T1", ACCOUNTNUM="A1")
    world.receive(case)
    world.receive(task)
    world.run(worker)
    world.crm.remove(customer, case, task)
    world.receive(customer, Event.DELETE)
    for _ in range(10):
        world.run(worker)
        world.clock.advance(31)

    assert rows(world, folder) == {}
    assert {row.state for row in world.inbox()} == {"done"}


def test_an_older_read_never_covers_a_newer_one(world: World, folder: Path) -> None:
    """Two processes, each with a sink of its own on one folder; the slower read is older."""
    customer, _ = family(world)
    slow, quick = (make_worker(world, open_sink(world, folder)) for _ in range(2))
    world.receive(customer)
    first = slow.claim(world.clock.now())
    assert first is not None
    late = slow.fetch(first)
    world.crm.put(CUSTOMER, "A1", FIRSTNAME="Grace")
    world.receive(customer)
    world.run(quick)

    slow.apply(late, world.clock.now())

    assert rows(world, folder)[customer]["first_name"] == "Grace"
    assert changes(folder) == [("A1", "created")]
    assert {row.state for row in world.inbox()} == {"done"}  # covered finishes


def test_killed_before_the_triggers_are_finished_it_is_repeated_without_effect(
    world: World, folder: Path
) -> None:
    customer, _ = family(world)
    sink = open_sink(world, folder)
    dying = make_worker(world, sink)
    row_id = world.receive(customer)
    claim = dying.claim(world.clock.now())
    assert claim is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dying, "_settlement", _dies_at_its_second_use(dying))
        with pytest.raises(Died):
            dying.apply(dying.fetch(claim), world.clock.now())
    assert rows(world, folder)[customer]["first_name"] == "Ada"  # applied ...
    assert world.trigger(row_id).state == "waiting"  # ... and not finished

    world.clock.advance(SCHEDULE.lease_s + 1)
    world.run(make_worker(world, open_sink(world, folder)))

    assert world.trigger(row_id).state == "done"
    assert changes(folder) == [("A1", "created")]


@pytest.mark.parametrize("left_behind", ['{"kind": "customer", "id": "A', "x" * 70_000, "{}\n"])
def test_what_a_death_left_behind_the_checkpoint_does_not_count(
    world: World, worker: Worker, folder: Path, left_behind: str
) -> None:
    customer, case = family(world)
    world.receive(customer)
    world.run(worker)
    with (folder / "records.jsonl").open("a") as handle:
        handle.write(left_behind)

    assert list(rows(world, folder)) == [customer]
    world.receive(case)
    world.run(make_worker(world, open_sink(world, folder)))

    assert set(rows(world, folder)) == {customer, case}
    assert changes(folder) == [("A1", "created"), ("C1", "created")]


def test_too_many_unexplained_deletes_are_held(world: World, worker: Worker, folder: Path) -> None:
    keys = [world.crm.put(CUSTOMER, f"A{number}") for number in range(15)]
    for key in keys:
        world.receive(key)
    world.run(worker)
    world.crm.remove(*keys)
    for key in keys:
        world.receive(key, None)
    for _ in range(3):
        world.run(worker)
        world.clock.advance(31)

    assert len(rows(world, folder)) == 5
    assert sum(row.held for row in world.inbox()) == 5


def test_an_unusable_answer_holds_up_nobody(world: World, worker: Worker, folder: Path) -> None:
    customer, case = family(world)
    world.crm.errors[case] = BadAnswer("The reply is not XML.", "<html>")
    world.receive(case)
    world.receive(customer)
    world.run(worker)

    assert list(rows(world, folder)) == [customer]
    assert [row.attempts for row in world.inbox() if row.state == "waiting"] == [1]


def test_a_folder_that_cannot_be_written_keeps_the_triggers(
    world: World, worker: Worker, folder: Path, engine: Engine
) -> None:
    customer, _ = family(world)
    row_id = world.receive(customer)
    (folder / "records.jsonl").mkdir()
    with pytest.raises(IsADirectoryError):
        world.run(worker)
    (folder / "records.jsonl").rmdir()
    world.clock.advance(5)
    world.run(worker)

    assert world.trigger(row_id).state == "done"
    assert list(rows(world, folder)) == [customer]


class Died(BaseException):
    """Nobody catches it, as nobody catches a kill."""


def _dies_at_its_second_use(worker: Worker) -> Any:
    real, used = worker._settlement, []

    def settlement(*arguments: Any) -> Any:
        used.append(1)
        if len(used) > 1:
            raise Died
        return real(*arguments)

    return settlement
