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
    wrong = pool.submit(play, seeds, "sqlite", tmp_path / "wrong", name, name, True).result()
    assert wrong.broken, f"{seeds} let it pass: {mutation.sentence}"
    [(seed, what)] = wrong.broken.items()
    if searching:
        with capsys.disabled():
            print(f"\n{name} is caught by seed {seed}. {what}")
    right: Played = pool.submit(play, [seed], "sqlite", tmp_path / "right", None, name).result()
    assert not right.broken, right.broken
