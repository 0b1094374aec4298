"""Random worlds: any order of the hops, any mix of faults, and both sides equal at the end.

scripts/test tests/world --world-seeds 2000                    more seeds
scripts/test tests/world --world-first 17 --world-seeds 1      one seed again

Each tenth seed is played on PostgreSQL.
"""

from pathlib import Path

import pytest

from receiver.failpoints import POINTS as RECEIVER_POINTS
from simulator.failpoints import POINTS as SIMULATOR_POINTS
from tests import external_databases
from tests.world.mix import FAULTS
from tests.world.play import backend_of, play_on_all_cores, replay

ENOUGH_SEEDS = 200  # from here on everything must have happened
PLAYED_HERE = [point for point in SIMULATOR_POINTS + RECEIVER_POINTS if not point.startswith("T1")]
HAPPENS = {fault.replace("_", " ") for fault in FAULTS}
HAPPENS |= {f"killed at {point}" for point in PLAYED_HERE}
HAPPENS |= {
    "claims overlapped",
    "one record in two claims",
    "triggers reordered",
    "zombie senders",
    "zombie workers",
    "stale answers that differ",
    "edit taken back",
    "record moved",
    "parent deleted",
    "lists by parent",
    "dead triggers replayed",
    "tombstones stopped",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each database that any of the seeds is played on."""
    first = metafunc.config.getoption("--world-first")
    seeds = range(first, first + metafunc.config.getoption("--world-seeds"))
    shares = {
        backend: [seed for seed in seeds if backend_of(seed) == backend]
        for backend in ("sqlite", "postgresql")
    }
    shares = {backend: share for backend, share in shares.items() if share}
    metafunc.parametrize(("backend", "seeds"), shares.items(), ids=shares)


def test_every_world_comes_out_equal(
    backend: str, seeds: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if backend == "postgresql":
        external_databases.skip_without_postgresql()
    played = play_on_all_cores(seeds, backend, tmp_path)
    with capsys.disabled():
        print(f"\n{len(seeds)} worlds from seed {seeds[0]} on {backend}:")
        print(", ".join(f"{what} {times}" for what, times in sorted(played.fired.items())))
    assert not played.broken, "\n".join(
        f"Seed {seed}: {what} Replay: {replay(seed)}" for seed, what in played.broken.items()
    )
    if len(seeds) >= ENOUGH_SEEDS:
        missing = {what for what in HAPPENS if not played.fired[what]}
        assert not missing, "These never happened."
