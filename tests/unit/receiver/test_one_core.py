"""The threads that run Python share one core; web processes and workers share none."""

import multiprocessing
import os
import threading

import pytest

from receiver import one_core
from receiver.one_core import OneCore, worker_on_one_core

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
several = pytest.mark.skipif(len(CORES) < 2, reason="There is one core, or no way to choose.")


def in_a_thread(ask) -> list[object]:
    """What the call answers, in a thread whose binding goes with it."""
    said: list[object] = []
    thread = threading.Thread(target=lambda: said.append(ask()))
    thread.start()
    thread.join()
    return said


@several
def test_a_request_is_answered_on_one_core_and_all_on_the_same() -> None:
    app = OneCore(lambda _environ, _start: [repr(os.sched_getaffinity(0)).encode()])
    answers = [in_a_thread(lambda: app({}, lambda *_: None)) for _ in range(3)]
    cores = {answer[0] for (answer,) in answers}
    assert len(cores) == 1
    assert cores.pop() in {repr({core}).encode() for core in CORES}
    assert sorted(os.sched_getaffinity(0)) == CORES  # the threads of others stay where they are


@several
def test_a_worker_and_what_it_starts_share_one_core_until_it_ends() -> None:
    def work() -> tuple[set[int], object, list[int]]:
        with worker_on_one_core(None):
            own = os.sched_getaffinity(0)
            (started,) = in_a_thread(lambda: os.sched_getaffinity(0))
        return own, started, sorted(os.sched_getaffinity(0))

    ((own, started, after),) = in_a_thread(work)
    assert len(own) == 1
    assert (started, after) == (own, CORES)


@pytest.mark.parametrize(
    ("cores", "web", "worker"),
    [
        ([0], [[0]], [[0]]),
        ([0, 1], [[0]], [[1]]),
        ([2, 3, 5], [[2], [5]], [[3]]),
        ([0, 1, 2, 3], [[0], [2]], [[1], [3]]),
        ([], [[]], [[]]),
    ],
)
def test_processes_are_spread_over_the_cores_that_there_are(
    cores: list[int], web: list[list[int]], worker: list[list[int]]
) -> None:
    for role, expected in ((one_core.WEB, web), (one_core.WORKER, worker)):
        found = [one_core._one_of(cores, number, role) for number in range(1000, 1008)]
        assert sorted({tuple(one) for one in found}) == sorted({tuple(one) for one in expected})


@pytest.mark.parametrize("role", ["web", "worker"])
def test_neighbours_have_cores_of_their_own_whatever_their_process_ids(
    monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    bound: list[list[int]] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(
        os, "sched_setaffinity", lambda _, cores: bound.append(cores), raising=False
    )
    for number in (1, 2):
        if role == "web":
            monkeypatch.setattr(multiprocessing.current_process(), "_identity", (number,))
            OneCore(lambda _environ, _start: [b"Stored."])({}, lambda *_: None)
        else:
            with worker_on_one_core(f"work-{number}"):
                pass
    assert len({tuple(cores) for cores in bound if len(cores) == 1}) == 2


def test_where_binding_is_forbidden_the_request_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forbid(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", forbid, raising=False)
    app = OneCore(lambda _environ, _start: [b"Stored."])
    assert app({}, lambda *_: None) == [b"Stored."]
