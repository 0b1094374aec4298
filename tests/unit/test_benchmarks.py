"""The benchmarks' own arithmetic and report."""

from scripts.benchmarks import rounds
from scripts.benchmarks.report import Result, markdown


def test_a_ratio_is_the_speed_in_terms_of_the_baselines() -> None:
    assert rounds.ratio([1.0, 2.0], [2.0, 2.0]) == [0.5, 1.0]
    assert rounds.with_spread([3.0, 1.0, 2.0]) == "2.00 (1.00 to 3.00)"


def test_every_unit_is_done_in_every_round_and_all_take_turns() -> None:
    done: list[tuple[str, int]] = []
    work = {name: lambda unit, name=name: done.append((name, unit)) for name in ("a", "b")}
    seconds = rounds.seconds_per_round(work, units=10, rounds=2)
    assert {name: len(taken) for name, taken in seconds.items()} == {"a": 2, "b": 2}
    measured = done[2:]  # one unmeasured portion of each comes first
    assert measured == [(name, unit) for _ in range(2) for unit in range(10) for name in "ab"]


def test_a_report_is_a_table() -> None:
    result = Result("x", "Title", ("what", "how fast"), rows=[("this", "2.00")], notes=["So."])
    page = markdown([result])
    assert "| what | how fast |\n|---|---|\n| this | 2.00 |\n\nSo.\n" in page
    assert "Every gate was reached in every run." in page


def test_a_report_of_two_runs_gives_the_figures_of_both_and_what_fell_short() -> None:
    first = Result("x", "Title", ("what",), figures={"speed": 0.9}, missed=["0.9, not 1."])
    second = Result("x", "Title", ("what",), figures={"speed": 1.1}, bars=[("this", 1100.0)])
    page = markdown([first, second])
    assert '{"bench": "x", "speed": 0.9}\n{"bench": "x", "speed": 1.1}\n' in page
    assert "What fell short:\n\n- Run 1: 0.9, not 1.\n" in page
    assert f"this  {'█' * 50} 1,100" in page
    assert "SQLite 3." in page
