"""Fair comparisons on a machine that does other things too: interleaved rounds and medians.

In: named functions that do one unit of work. Out: the seconds each took, round by round.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

ROUNDS = 5


def seconds_per_round(
    work: Mapping[str, Callable[[int], object]], units: int, rounds: int = ROUNDS
) -> dict[str, list[float]]:
    """How long `units` calls of each took, in each round.

    Within a round they take turns in small portions, so that whatever slows the machine down
    slows all of them; an unmeasured portion of each comes first.
    """
    portion = max(1, units // 10)
    for do in work.values():
        for unit in range(portion):
            do(unit)
    seconds: dict[str, list[float]] = {name: [0.0] * rounds for name in work}
    for number in range(rounds):
        for start in range(0, units, portion):
            for name, do in work.items():
                began = time.perf_counter()
                for unit in range(start, min(units, start + portion)):
                    do(unit)
                seconds[name][number] += time.perf_counter() - began
    return seconds


def ratio(baseline: Sequence[float], measured: Sequence[float]) -> list[float]:
    """Speed of the measured in terms of the baseline's, round by round: 0.5 is half as fast."""
    return [base / own for base, own in zip(baseline, measured, strict=True)]


def with_spread(values: Sequence[float], digits: int = 2) -> str:
    """The median, and the least and the most of the rounds."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"
