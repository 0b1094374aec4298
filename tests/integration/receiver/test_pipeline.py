"""The pipeline: one batch is read while the one before it is applied, and neither is ever lost."""

import threading
from collections.abc import Callable
from threading import Event

import pytest
from sqlalchemy.exc import OperationalError

from external_crm.rows import Key, Kind
from receiver.pipeline import Pipeline, ReadingThreads, Stopping
from receiver.records import CrmRecord
from tests.receiver_world import World

PATIENCE_S = 30
MANY = 100_000  # takes longer to read than a thread is let run alone
A1, A2 = (Key(Kind.CUSTOMER, number) for number in ("A1", "A2"))


@pytest.fixture
def two(world: World) -> World:
    """Two customers with a trigger each, of which a claim of one takes A1 first."""
    for key in (A1, A2):
        world.crm.put(key.kind, key.id, FIRSTNAME="Ada")
        world.receive(key)
    return world


def before_reading(world: World, key: Key, do: Callable[[], None]) -> None:
    """Have something happen in the thread that reads a record, before it is read."""
    real = world.crm.get

    def get(asked: Key) -> CrmRecord | None:
        if asked == key:
            do()
        return real(asked)

    world.crm.get = get  # type: ignore[method-assign]


def test_a_batch_is_read_while_the_one_before_is_applied(two: World) -> None:
    applied = threading.Event()
    worker = two.worker(batch_size=1)
    real = worker.bring

    def bring(fetched) -> None:
        real(fetched)
        applied.set()

    worker.bring = bring  # type: ignore[method-assign]
    in_time: list[bool] = []
    before_reading(two, A2, lambda: in_time.append(applied.wait(PATIENCE_S)))
    with Pipeline(worker) as pipeline:
        assert [pipeline.step() for _ in range(4)] == [True, True, True, False]
    assert in_time == [True]
    assert (two.row(A1)["first_name"], two.row(A2)["first_name"]) == ("Ada", "Ada")


def test_what_was_read_is_applied_and_what_is_being_read_given_back_at_the_end(two: World) -> None:
    stopped = threading.Event()
    threads = ReadingThreads(2, stopped.is_set)
    worker = two.worker(batch_size=1)
    worker._map = threads
    with Pipeline(worker) as pipeline:
        pipeline.step()
        stopped.set()
        with pytest.raises(Stopping):
            pipeline.step()
        pipeline.finish()
    threads.close()
    assert two.row(A1)["first_name"] == "Ada"
    assert two.row(A2) is None
    assert [row.ticket for row in two.inbox() if row.state == "waiting"] == [None]


def test_an_apply_that_fails_loses_neither_batch(two: World) -> None:
    worker = two.worker(batch_size=1)
    real, failed = worker.apply, []

    def apply(fetched, now) -> None:
        if not failed:
            failed.append(fetched)
            raise OperationalError("COMMIT", {}, Exception("the disk is full"))
        real(fetched, now)

    worker.apply = apply  # type: ignore[method-assign]
    with Pipeline(worker) as pipeline:
        pipeline.step()
        with pytest.raises(OperationalError):
            pipeline.step()
        pipeline.step()
    assert two.row(A2)["first_name"] == "Ada"
    two.clock.advance(60)
    two.run()
    assert two.row(A1)["first_name"] == "Ada"


def test_threads_bring_results_in_the_order_of_what_was_asked() -> None:
    threads = ReadingThreads(4, lambda: False)
    assert threads(lambda n: n * n, range(50)) == [n * n for n in range(50)]
    assert threads(lambda n: n, []) == []
    threads.close()


def test_a_mistake_in_one_read_is_not_hidden_and_ends_the_others() -> None:
    threads = ReadingThreads(2, lambda: False)
    read: list[int] = []
    failed = Event()

    def read_one(number: int) -> None:
        if number == 0:
            failed.set()
            raise ZeroDivisionError
        failed.wait()
        read.append(number)

    with pytest.raises(ZeroDivisionError):
        threads(read_one, range(MANY))
    assert len(read) < MANY - 1
    before = list(read)
    assert threads(lambda n: n, range(3)) == [0, 1, 2]
    assert read == before  # nobody read on behind the back of who gave the batch back
    threads.close()


def test_what_was_read_to_the_end_is_kept_though_it_is_time_to_stop() -> None:
    is_stopped = Event()
    threads = ReadingThreads(1, is_stopped.is_set)

    def read_one(number: int) -> int:
        if number == 2:
            is_stopped.set()
        return number

    assert threads(read_one, range(3)) == [0, 1, 2]
    with pytest.raises(Stopping):
        threads(read_one, range(3))
    threads.close()
