"""What a benchmark found, and how it is shown.

In: a Result. Out: markdown, and a file of it where one is wanted.
"""

import os
import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

REPORTS = Path(__file__).parent / "reports"


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


def markdown(result: Result) -> str:
    """A heading, the machine, a table, the notes."""
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    lines = [
        f"## {result.title}",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {machine}.",
        "",
        f"| {' | '.join(result.columns)} |",
        f"|{'---|' * len(result.columns)}",
        *(f"| {' | '.join(row)} |" for row in result.rows),
        "",
        *result.notes,
        *_chart(result.bars),
    ]
    return "\n".join(lines) + "\n"


def _chart(bars: list[tuple[str, float]]) -> list[str]:
    """Bars of text, which show where the report is read and differ line by line."""
    if not bars:
        return []
    name_width = max(len(name) for name, _ in bars)
    most = max(value for _, value in bars) or 1.0
    lines = [
        f"{name:<{name_width}}  {'█' * max(1, round(value / most * 50))} {value:,.0f}"
        for name, value in bars
    ]
    return ["", "```", *lines, "```"]


def write(result: Result, table: str) -> Path:
    """The file that the table was written to, over an older one."""
    REPORTS.mkdir(exist_ok=True)
    path = REPORTS / f"{result.name}.md"
    path.write_text(table, encoding="utf-8")
    return path
