"""What a clean test with `crm_sim` costs on top of the test.

In: quick or not. Out: milliseconds of set-up and tear-down, with the fixture and without (gated:
the difference), as pytest itself measures them. Both kinds of test take turns in one process of
pytest; the first of each is left out, since it starts the simulator for all others.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from scripts.benchmarks import rounds
from scripts.benchmarks.report import Result

MOST_EXTRA_MS = 50.0
# A test leaves something behind, or there would be nothing to clean.
_PAIR = """
def test_{n}_plain():
    pass

def test_{n}_with(crm_sim):
    crm_sim.triggers.set_all("https://127.0.0.1:1/nobody")
    crm_sim.agent.create_customer(firstname="Ada", lastname="Byron")
"""
_CONFTEST = """
import json

def pytest_runtest_logreport(report):
    if report.when != "call":
        with open("durations.jsonl", "a") as file:
            print(json.dumps([report.nodeid, report.duration]), file=file)
"""


def run(quick: bool) -> Result:
    """Measure. Quick: fewer tests."""
    count = 40 if quick else 200
    result = Result(
        "fixture",
        "A clean test with crm_sim",
        ("set-up and tear-down", "ms a test"),
        notes=[
            f"Medians of {count} tests of each kind, in turns, with the least and the most. Each "
            "with the fixture leaves a customer, twelve boxes and a trigger under way behind.",
            f"Gate: with the fixture it takes at most {MOST_EXTRA_MS:g} ms more.",
        ],
        unit="ms a test",
    )
    with tempfile.TemporaryDirectory(prefix="bench-fixture-") as scratch:
        plain, fixture = _durations_ms(Path(scratch), count)
    extra = [more - less for less, more in zip(plain, fixture, strict=True)]
    for name, taken in (("without", plain), ("with crm_sim", fixture), ("on top", extra)):
        result.rows.append((name, rounds.with_spread(taken)))
        result.bars.append((name, median(taken)))
    result.figures["extra_ms"] = round(median(extra), 2)
    if median(extra) > MOST_EXTRA_MS:
        result.missed.append(
            f"A test with crm_sim takes {median(extra):.1f} ms more, not at most {MOST_EXTRA_MS:g}."
        )
    return result


def _durations_ms(folder: Path, count: int) -> tuple[list[float], list[float]]:
    """Set-up and tear-down together of each test, without the fixture and with it."""
    pairs = "".join(_PAIR.format(n=n) for n in range(count + 1))
    (folder / "test_pairs.py").write_text(pairs)
    (folder / "conftest.py").write_text(_CONFTEST)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"The tests failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    spent: dict[str, float] = {}
    for line in (folder / "durations.jsonl").read_text().splitlines():
        test, seconds = json.loads(line)
        spent[test] = spent.get(test, 0.0) + seconds * 1000
    plain, fixture = (
        [spent[f"test_pairs.py::test_{n}_{kind}"] for n in range(1, count)]
        for kind in ("plain", "with")
    )
    return plain, fixture
