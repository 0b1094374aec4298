"""What a benchmark found, and how it is shown.

In: the Results of one run or of several. Out: markdown, and a file of it where one is wanted.
"""

import json
import os
import platform
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

REPORTS = Path(__file__).parent / "reports"
_LIBRARIES = ("granian", "flask", "sqlalchemy", "psycopg", "lxml", "httptools", "requests")


@dataclass
class Result:
    """The findings of one run."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    figures: dict[str, float | str | None] = field(default_factory=dict)  # the last line's
    missed: list[str] = field(default_factory=list)  # gates, each in a sentence
    notes: list[str] = field(default_factory=list)
    bars: list[tuple[str, float]] = field(default_factory=list)  # the chart's, longest is widest
    unit: str = "a second"  # of the bars
    versions: list[str] = field(default_factory=list)  # of what is no Python library


def last_line(result: Result) -> str:
    """The figures as one JSON object."""
    return json.dumps({"bench": result.name, **result.figures})


def markdown(runs: Sequence[Result]) -> str:
    """The last run's table, notes and chart on that machine, and the figures of all runs."""
    result = runs[-1]
    lines = [
        f"## {result.title}",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}. {_machine()}.",
        f"{', '.join([*_versions(), *result.versions])}.",
        "",
        f"| {' | '.join(result.columns)} |",
        f"|{'---|' * len(result.columns)}",
        *(f"| {' | '.join(row)} |" for row in result.rows),
        "",
        *result.notes,
        *_chart(result),
        "",
        "The figures of each run, the last one's above:",
        "",
        "```json",
        *map(last_line, runs),
        "```",
        "",
        *(_verdict(runs)),
    ]
    return "\n".join(lines) + "\n"


def _verdict(runs: Sequence[Result]) -> list[str]:
    """What fell short, run by run."""
    missed = [
        f"- Run {number}: {sentence}"
        for number, one in enumerate(runs, 1)
        for sentence in one.missed
    ]
    return ["What fell short:", "", *missed] if missed else ["Every gate was reached in every run."]


def _machine() -> str:
    """Processor, memory, system, Python."""
    processor = re.search(r"^model name\s*: (.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    parts = [
        f"{os.cpu_count()} cores" + (f" ({processor[1].strip()})" if processor else ""),
        f"{int(memory[1]) / 2**20:.0f} GiB" if memory else "",
        f"{platform.system()} {platform.release().partition('-')[0]}",
        f"Python {platform.python_version()}",
    ]
    return ", ".join(filter(None, parts))


def _versions() -> list[str]:
    """Of the libraries that are installed and bear on speed, and of SQLite."""
    found = []
    for name in _LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return [*found, f"SQLite {sqlite3.sqlite_version}"]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _chart(result: Result) -> list[str]:
    """Bars of text, which show where the report is read and differ line by line."""
    if not result.bars:
        return []
    name_width = max(len(name) for name, _ in result.bars)
    most = max(value for _, value in result.bars) or 1.0
    digits = 0 if most >= 100 else 1
    lines = [
        f"{name:<{name_width}}  {'█' * max(1, round(value / most * 50))} {value:,.{digits}f}"
        for name, value in result.bars
    ]
    return ["", f"Medians, {result.unit}:", "", "```", *lines, "```"]


def write(result: Result, table: str) -> Path:
    """The file that the table was written to, over an older one."""
    REPORTS.mkdir(exist_ok=True)
    path = REPORTS / f"{result.name}.md"
    path.write_text(table, encoding="utf-8")
    return path
