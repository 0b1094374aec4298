"""What a clean test with `crm_sim` costs on top of the test.

In: quick or not. Out: milliseconds a test, with the fixture and without (gated: the difference).

Both are runs of pytest in processes of their own over the same number of tests that do nothing,
once few and once many: the difference between many and few is free of the start of pytest and of
the simulator, which is one for all tests of a process. Rounds take turns.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from scripts.benchmarks import rounds
from scripts.benchmarks.report import Result

MOST_EXTRA_MS = 50.0
_FEW = 10
_TESTS = """
import pytest

@pytest.mark.parametrize("n", range({count}))
def test_nothing({fixture}n):
    {work}
"""
# A test leaves something behind, or there would be nothing to clean.
_WORK = 'crm_sim.agent.create_customer(firstname="Ada", lastname="Byron")'


def run(quick: bool) -> Result:
    """Measure. Quick: fewer tests and rounds."""
    many, count = (60, 3) if quick else (210, rounds.ROUNDS)
    result = Result(
        "fixture",
        "A clean test with crm_sim",
        ("what", "ms a test"),
        notes=[
            f"Medians of {count} interleaved rounds, each over {many - _FEW} tests, with the least "
            "and the most.",
            "Among what the fixture costs is the agent's action that each test leaves behind.",
            f"Gate: with the fixture a test takes at most {MOST_EXTRA_MS:g} ms more.",
        ],
    )
    each: dict[str, list[float]] = {"without a fixture": [], "with crm_sim": []}
    with tempfile.TemporaryDirectory(prefix="bench-fixture-") as scratch:
        for _ in range(count):
            for name, taken in each.items():
                few_s, many_s = (
                    _seconds(Path(scratch), n, name == "with crm_sim") for n in (_FEW, many)
                )
                taken.append((many_s - few_s) / (many - _FEW) * 1000)
    extra = [
        with_it - without
        for without, with_it in zip(each["without a fixture"], each["with crm_sim"], strict=True)
    ]
    for name, taken in {**each, "on top": extra}.items():
        result.rows.append((name, rounds.with_spread(taken)))
    result.figures["extra_ms"] = round(median(extra), 2)
    if median(extra) > MOST_EXTRA_MS:
        result.missed.append(
            f"A test with crm_sim takes {median(extra):.1f} ms more, not at most {MOST_EXTRA_MS:g}."
        )
    return result


def _seconds(folder: Path, count: int, with_fixture: bool) -> float:
    """How long a run of so many tests takes."""
    fixture, work = ("crm_sim, ", _WORK) if with_fixture else ("", "pass")
    file = folder / "test_bench.py"
    file.write_text(_TESTS.format(count=count, fixture=fixture, work=work))
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"The tests failed: {done.stdout[-2000:]}")
    return seconds
