"""Plays seeds in processes of their own, one for each core, and counts what happened in them.

In: seeds, a mix or none, the name of a mutation or none. Out: which seeds broke which promise, and
how often each fault fired. One seed plays the same in any process.
"""

import gc
import logging
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import structlog

from tests.world.checks import Violation
from tests.world.databases import databases_on
from tests.world.mutations import MUTATIONS
from tests.world.world import World

POSTGRESQL_EVERY = 10  # each tenth seed is played there


@dataclass
class Played:
    """What came of some seeds."""

    broken: dict[int, str] = field(default_factory=dict)  # seed to sentence
    fired: Counter[str] = field(default_factory=Counter)


def backend_of(seed: int) -> str:
    """On which database a seed's External CRM lives."""
    return "postgresql" if seed % POSTGRESQL_EVERY == 0 else "sqlite"


def play(
    seeds: Sequence[int],
    backend: str,
    folder: Path,
    mutation: str | None = None,
    mixed_for: str | None = None,
    until_broken: bool = False,
) -> Played:
    """Play the seeds one after the other.

    mutation: patched into the code. mixed_for: the mutation whose mix is played instead of the
    seeds' own. until_broken: the first broken promise is enough.
    """
    wrapper = structlog.make_filtering_bound_logger(logging.CRITICAL)  # logs cost a tenth
    structlog.configure(wrapper_class=wrapper)
    played = Played()
    mix = MUTATIONS[mixed_for].mix if mixed_for else None
    with (
        databases_on(backend, folder) as databases,
        MUTATIONS[mutation].applied() if mutation else nullcontext(),
    ):
        gc.freeze()  # what is there by now stays
        for seed in seeds:
            world = World(seed, databases, mix)
            try:
                world.run()
            except Violation as violation:
                played.broken[seed] = str(violation)
            except Exception as error:
                error.add_note(f"In seed {seed}; replay: {replay(seed)}")
                raise
            finally:
                world.close()
                played.fired.update(world.fired)
            if played.broken and until_broken:
                break
        gc.unfreeze()
    return played


def play_on_all_cores(seeds: Sequence[int], backend: str, folder: Path) -> Played:
    """The same, shared among one process a core."""
    processes = min(os.cpu_count() or 1, len(seeds))
    total = Played()
    # Spawned, not forked: a fork would take along the threads of other tests' servers.
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        shares = [seeds[n::processes] for n in range(processes)]
        folders = [folder / str(n) for n in range(processes)]
        for played in pool.map(play, shares, [backend] * processes, folders):
            total.broken |= played.broken
            total.fired.update(played.fired)
    return total


def replay(seed: int) -> str:
    """The one command that plays a seed again."""
    return f"scripts/test tests/world --world-first {seed} --world-seeds 1"
