"""Who waits together is committed together, and nobody waits for ever."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from receiver.group_commit import GroupCommit, StoreUnavailable


class Store:
    """Keeps what was committed, group by group; a commit can be held up or fail."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.failure: Exception | None = None
        self.asked_again = 0  # how often it asks once more who waits, as for a store that is locked
        self.may_go = threading.Semaphore(0)
        self.busy = threading.Semaphore(0)

    def write(self, waiting: Callable[[], list[int]]) -> None:
        values = waiting()
        for _ in range(self.asked_again):
            self.busy.release()
            assert self.may_go.acquire(timeout=60)
            values = waiting()
        self.busy.release()
        assert self.may_go.acquire(timeout=60)
        if self.failure is not None:
            raise self.failure
        self.groups.append(values)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def behind_a_held_commit(
    group: GroupCommit[int, None], store: Store, pool: ThreadPoolExecutor, followers: int
) -> list["Future[None]"]:
    """One value whose commit is held up, and so many that came meanwhile."""
    futures = [pool.submit(group.store, 0)]
    assert store.busy.acquire(timeout=60)
    for number in range(1, followers + 1):
        futures.append(pool.submit(group.store, number))
        while group.waiting < number and not futures[-1].done():
            pass
    return futures


def test_all_that_came_during_a_commit_share_the_next(
    store: Store, pool: ThreadPoolExecutor
) -> None:
    group = GroupCommit(store.write, patience_s=60)
    futures = behind_a_held_commit(group, store, pool, 9)
    assert not any(future.done() for future in futures)
    store.may_go.release(2)
    for future in futures:
        future.result(60)
    assert store.groups == [[0], [1, 2, 3, 4, 5, 6, 7, 8, 9]]


def test_whoever_comes_before_the_store_is_free_is_committed_with_the_rest(
    store: Store, pool: ThreadPoolExecutor
) -> None:
    store.asked_again = 1
    group = GroupCommit(store.write, patience_s=60)
    futures = behind_a_held_commit(group, store, pool, 9)
    store.may_go.release(2)
    for future in futures:
        future.result(60)
    assert store.groups == [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]


def test_a_group_has_a_largest_size(store: Store, pool: ThreadPoolExecutor) -> None:
    group = GroupCommit(store.write, patience_s=60, largest_group=4)
    futures = behind_a_held_commit(group, store, pool, 9)
    store.may_go.release(9)
    for future in futures:
        future.result(60)
    assert store.groups == [[0], [1, 2, 3, 4], [5, 6, 7, 8], [9]]


def test_a_commit_that_failed_is_told_to_all_of_it_and_the_next_one_works(
    store: Store, pool: ThreadPoolExecutor
) -> None:
    group = GroupCommit(store.write, patience_s=60)
    store.failure = StoreUnavailable("The disk is full.")
    futures = behind_a_held_commit(group, store, pool, 3)
    store.may_go.release(2)
    for future in futures:
        with pytest.raises(StoreUnavailable, match="disk is full"):
            future.result(60)
    store.failure = None
    store.may_go.release()
    group.store(7)
    assert store.groups == [[7]]


def test_a_mistake_in_write_is_told_once_and_stops_nobody(store: Store) -> None:
    group = GroupCommit(store.write)
    store.failure = KeyError("no such column")
    store.may_go.release(2)
    with pytest.raises(KeyError):
        group.store(1)
    store.failure = None
    group.store(2)
    assert store.groups == [[2]]


def test_whoever_waits_too_long_is_told_and_not_stored(
    store: Store, pool: ThreadPoolExecutor
) -> None:
    group = GroupCommit(store.write, patience_s=0.01)
    futures = behind_a_held_commit(group, store, pool, 1)
    with pytest.raises(StoreUnavailable, match="in time"):
        futures[1].result(60)
    with pytest.raises(StoreUnavailable, match="does not end"):  # at once, without a queue
        group.store(2)
    store.may_go.release(2)
    futures[0].result(60)
    group.store(3)
    assert store.groups == [[0], [3]]


def test_a_full_queue_turns_the_next_away(store: Store, pool: ThreadPoolExecutor) -> None:
    group = GroupCommit(store.write, patience_s=60, longest_queue=2)
    futures = behind_a_held_commit(group, store, pool, 2)
    with pytest.raises(StoreUnavailable, match="Too many"):
        group.store(3)
    store.may_go.release(2)
    for future in futures:
        future.result(60)
    assert store.groups == [[0], [1, 2]]


def test_everybody_of_a_crowd_is_told(pool: ThreadPoolExecutor) -> None:
    """Who is woken wakes another one: nobody may be forgotten, even where some gave up."""
    groups: list[list[int]] = []
    group = GroupCommit(lambda waiting: groups.append(waiting()), patience_s=60)
    for future in [pool.submit(group.store, number) for number in range(4000)]:
        future.result(60)
    assert sorted(number for one in groups for number in one) == list(range(4000))
    impatient = GroupCommit(lambda waiting: groups.append(waiting()), patience_s=0.0001)
    told = [pool.submit(impatient.store, number).exception for number in range(4000)]
    assert {type(exception(60)) for exception in told} <= {type(None), StoreUnavailable}


def test_what_was_written_is_told_after_all_were_woken(store: Store) -> None:
    told: list[None] = []
    group = GroupCommit(store.write, told.append)
    store.may_go.release(2)
    group.store(1)
    assert told == [None]
    store.failure = StoreUnavailable("The disk is full.")
    with pytest.raises(StoreUnavailable):
        group.store(2)
    assert told == [None]
