"""Random worlds: any order of the hops, any mix of faults, and both sides equal at the end.

scripts/test tests/world --world-seeds 500                     more seeds
scripts/test tests/world --world-first 17 --world-seeds 1      one seed again
"""

import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests import external_databases
from tests.world.world import Databases, Mix, Violation, World

ENOUGH_SEEDS = 30  # from here on every fault must have happened


def play(seeds: range, folder: Path) -> tuple[list[str], Counter[str]]:
    """What was broken, and how often each fault fired; in a process of its own."""
    folder.mkdir()
    databases = Databases(folder, external_databases.make_sqlite_template(folder))
    broken: list[str] = []
    fired: Counter[str] = Counter()
    for seed in seeds:
        world = World(seed, databases)
        try:
            world.run()
        except Violation as violation:
            broken.append(str(violation))
        finally:
            world.close()
        fired.update(world.fired)
    databases.close()
    return broken, fired


def test_every_world_comes_out_equal(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = request.config.getoption("--world-first")
    count = request.config.getoption("--world-seeds")
    processes = min(os.cpu_count() or 1, count)
    broken: list[str] = []
    fired: Counter[str] = Counter()
    # Spawned, not forked: a fork would take along the threads of other tests' servers.
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        shares = [range(first + n, first + count, processes) for n in range(processes)]
        folders = [tmp_path / str(n) for n in range(processes)]
        for what, times in pool.map(play, shares, folders):
            broken += what
            fired.update(times)
    with capsys.disabled():
        said = ", ".join(f"{name} {times}" for name, times in sorted(fired.items()))
        print(f"\n{count} worlds from seed {first}: {said}")
    assert not broken, "\n".join(broken)
    if count >= ENOUGH_SEEDS:
        faults = {field.name.replace("_", " ") for field in fields(Mix)} | {"phases overlapped"}
        assert faults - fired.keys() == set(), "These faults never happened."
