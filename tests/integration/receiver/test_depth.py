"""What a look at the receiver, or a claim, costs with many triggers waiting: no more than with few.

The cost is counted in steps of the database, not in seconds.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event, func, select, text

from external_crm.db import read_session, session_factory
from receiver import counts, inbox, repair, status_cli
from receiver.alarm import Bounds
from receiver.app import create_app
from receiver.counts import Sort
from receiver.crm_api import BadAnswer, Temporary
from receiver.messenger import Nobody
from receiver.models import InboxTrigger
from receiver.repair import DeadChoice
from receiver.retention import Ages
from receiver.settings import Settings
from receiver.trigger import parse
from receiver.upkeep import Upkeep
from receiver.worker import Worker
from tests import external_databases
from tests.receiver_world import CUSTOMER, TestClock, World

SETTINGS = Settings(secret="a-secret-of-24-characters")
FEW, MANY = 400, 20_000


def store(engine: Engine, numbers: range, clock: TestClock) -> None:
    arrivals = [inbox.Arrival(parse("", f"AccountID={n}".encode()), clock.now()) for n in numbers]
    with session_factory(engine).begin() as session:
        inbox.store_all(session.connection(), arrivals)


@contextmanager
def counting(engine: Engine) -> Iterator[list[int]]:
    """How many steps SQLite takes meanwhile, or how many rows PostgreSQL visits."""
    steps = [0]

    def step() -> None:
        steps[0] += 1

    def connected(connection: Any, *_: object) -> None:
        connection.set_progress_handler(step, 1)

    def visited(node: dict[str, Any]) -> int:
        removed = (value for key, value in node.items() if key.startswith("Rows Removed by"))
        rows = node["Actual Rows"] + sum(removed)
        return int(rows * node["Actual Loops"] + sum(map(visited, node.get("Plans", []))))

    def explain(_: Any, cursor: Any, statement: str, parameters: Any, *__: object) -> None:
        if "inbox" in statement and statement.startswith(("SELECT", "UPDATE")):
            found = cursor.connection.execute(
                f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters
            )
            steps[0] += visited(found.fetchone()[0][0]["Plan"])

    on_sqlite = engine.dialect.name == "sqlite"
    listening = ("checkout", connected) if on_sqlite else ("before_cursor_execute", explain)
    event.listen(engine, *listening)
    try:
        yield steps
    finally:
        event.remove(engine, *listening)
        engine.dispose()


LOOKS: dict[str, Callable[[World], object]] = {
    path: lambda world, path=path: (
        create_app(SETTINGS, world.engine, world.clock).test_client().get(path)
    )
    for path in ("/metrics", "/readyz")
}
LOOKS["status"] = lambda world: status_cli.shown(world.engine, SETTINGS)
LOOKS["upkeep"] = lambda world: Upkeep(
    world.engine, world.clock, Nobody(), Bounds(oldest_s=1e9), Ages()
).run_once()
LOOKS["a claim"] = lambda world: a_worker(world).claim(world.clock.now())
LOOKS["a batch"] = lambda world: a_worker(world).run_once()


def a_worker(world: World) -> Worker:
    """PostgreSQL finds a hundred rows among so few as these by looking at all, a million not so."""
    return world.worker(batch_size=100 if world.engine.dialect.name == "sqlite" else 10)


@pytest.mark.parametrize("look", LOOKS)
def test_it_costs_the_same_with_many_waiting(world: World, look: str) -> None:
    costs = []
    for number in range(FEW):  # the others are not there
        world.crm.put(CUSTOMER, str(number))
    for numbers in (range(FEW), range(FEW, MANY)):
        store(world.engine, numbers, world.clock)
        LOOKS[look](world)  # what is done once, at the beginning
        with counting(world.engine) as cost:
            LOOKS[look](world)
        costs += cost
    few, many = costs
    assert many <= few * 1.3 + 50, costs


def test_counts_are_what_counting_finds_whatever_happens(world: World) -> None:
    def check() -> counts.Counts:
        row = InboxTrigger
        failed = (row.attempts + row.postponed) > 0
        query = select(row.state, row.cause, failed, func.count())
        with read_session(world.engine) as session:
            kept = counts.read(session)
            counted = {
                Sort(state, cause, bool(whether)): number
                for state, cause, whether, number in session.execute(
                    query.group_by(row.state, row.cause, failed)
                )
            }
        assert {sort: number for sort, number in kept.items() if number} == counted
        return kept

    errors = [Temporary("HTTP 503."), BadAnswer("Nonsense.", "")]
    for number, error in enumerate(errors):
        key = world.crm.put(CUSTOMER, f"B{number}")
        world.crm.errors[key] = error
        world.receive(key)
    for number in range(5):
        world.receive(world.crm.put(CUSTOMER, f"A{number}"))
    assert check().waiting == 7
    worker = world.worker(max_attempts=1, settle_after_s=60)
    world.run(worker)
    assert (check().retrying, check().settling) == (1, 5)
    with session_factory(world.engine).begin() as session:
        repair.replay_dead(session, DeadChoice(), world.clock.now())
    world.run(worker)
    with session_factory(world.engine).begin() as session:
        repair.drop_dead(session, DeadChoice(), world.clock.now())
    check()
    world.crm.errors.clear()
    for days in (1, 100):
        world.clock.advance(days * 86_400)
        world.run(worker)
        Upkeep(world.engine, world.clock, Nobody(), Bounds(), Ages()).run_once()
    assert sum(check().values()) == 0


def test_an_inbox_that_an_operator_emptied_counts_nothing(world: World) -> None:
    store(world.engine, range(3), world.clock)
    on_sqlite = world.engine.dialect.name == "sqlite"
    emptying = "DELETE FROM inbox_triggers" if on_sqlite else "TRUNCATE inbox_triggers"
    with session_factory(world.engine).begin() as session:
        session.execute(text(emptying))
    store(world.engine, range(1), world.clock)
    assert "received   1\nwaiting    1\n" in status_cli.shown(world.engine, SETTINGS)


def test_counts_of_connections_that_ended_are_brought_together(postgresql: Engine) -> None:
    external_databases.empty(postgresql)
    clock = TestClock()
    for number in range(counts.MANY_SLOTS + 5):
        postgresql.dispose()
        store(postgresql, range(number, number + 1), clock)
    Upkeep(postgresql, clock, Nobody(), Bounds(), Ages()).run_once()
    with read_session(postgresql) as session:
        assert counts.read(session).waiting == counts.MANY_SLOTS + 5
        assert not counts.has_many_slots(session)
