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
    ]
    return "\n".join(lines) + "\n"


def write(result: Result, table: str) -> Path:
    """The file that the table was written to, over an older one."""
    REPORTS.mkdir(exist_ok=True)
    path = REPORTS / f"{result.name}.md"
    path.write_text(table, encoding="utf-8")
    return path
