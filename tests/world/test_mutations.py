"""The worlds themselves are put to the test: wrong code must not get through them."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.world.mutations import MUTATIONS
from tests.world.play import Played, play

SEARCHED = range(500)
TURN = 16  # seeds that one process plays before the others are asked what they found


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    """Processes that no patch outlives."""
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_world_catches_the_mutation_and_lets_the_right_code_pass(
    request: pytest.FixtureRequest,
    name: str,
    pool: Executor,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By the seed written beside the mutation; with --world-mutations by the first of 500."""
    mutation = MUTATIONS[name]
    searching = request.config.getoption("--world-mutations")
    seeds: Sequence[int] = SEARCHED if searching else [mutation.seed]
    broken = first_broken(pool, seeds, name, tmp_path)
    assert broken, f"{seeds} let it pass: {mutation.sentence}"
    seed = min(broken)
    what = broken[seed]
    if searching:
        with capsys.disabled():
            print(f"\n{name} is caught by seed {seed}. {what}")
    right: Played = pool.submit(play, [seed], "sqlite", tmp_path / "right", None, name).result()
    assert not right.broken, right.broken


def first_broken(pool: Executor, seeds: Sequence[int], name: str, folder: Path) -> dict[int, str]:
    """The first seeds that a mutation breaks, with what is broken, the least among them; or none.

    In turns, so that both cores search and neither goes far beyond the first.
    """
    cores = os.cpu_count() or 1
    for start in range(0, len(seeds), TURN * cores):
        turn = seeds[start : start + TURN * cores]
        shares = [share for n in range(cores) if (share := turn[n::cores])]
        folders = [folder / f"{start}-{n}" for n in range(len(shares))]
        playing = [
            pool.submit(play, share, "sqlite", own, name, name, True)
            for share, own in zip(shares, folders, strict=True)
        ]
        broken = {seed: what for one in playing for seed, what in one.result().broken.items()}
        if broken:
            return broken
    return {}
