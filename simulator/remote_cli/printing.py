"""What commands print: for people aligned columns, for scripts a JSON object a line."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import click
from pydantic import BaseModel

from simulator.settings import PREFIX

as_json = click.option(
    "--json", "as_json", is_flag=True, envvar=f"{PREFIX}JSON", help="One JSON object a line."
)


def say_json(found: Iterable[BaseModel]) -> None:
    """Each as the control API has it, on a line of its own."""
    for one in found:
        click.echo(one.model_dump_json())


def say_rows(rows: Iterable[Sequence[object]], otherwise: str) -> None:
    """Rows in columns; `otherwise` where there is none."""
    texts = [[_plain(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(padded).rstrip())
    if not texts:
        click.echo(otherwise)


def when(instant: datetime | None) -> str:
    """An instant in UTC, such as --at takes it; nothing for none."""
    return "" if instant is None else instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def told(values: Iterable[tuple[str, object]]) -> str:
    """NAME=VALUE for each, as the commands take them."""
    return " ".join(f"{name}={_plain(value)}" for name, value in values)


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """E.g. 1 delivery, 2 deliveries."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
