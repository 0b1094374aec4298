"""What is written on the command line: instants, spans, kinds, events, NAME=VALUE."""

import re
from collections.abc import Sequence
from datetime import datetime

import click

from simulator.objects import Event, Kind
from simulator.options import Refused
from simulator.settings import PREFIX

KINDS = click.Choice([str(kind) for kind in Kind], case_sensitive=False)
EVENTS = click.Choice([str(event) for event in Event], case_sensitive=False)
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)", re.ASCII)


def instant(text: str) -> datetime:
    """An aware instant. Raises BadParameter."""
    try:
        found: datetime | None = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise click.BadParameter(
            f"{text!r} is no instant with its zone, such as 2026-03-02T09:00Z."
        )
    return found


def span(text: str) -> float:
    """Seconds. Raises BadParameter."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise click.BadParameter(
            f"{text!r} is no span forward, such as 90 (seconds), 90s, 15m, 30h or 2d."
        )
    return float(found[1]) * _UNITS[found[2]]


timeout = click.option(
    "--timeout",
    "timeout_s",
    type=span,
    default="60s",
    show_default=True,
    envvar=f"{PREFIX}TIMEOUT",
    help="Real time after which to give up, such as 30s.",
)


def pairs(given: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE as a dict. Raises Refused."""
    found: dict[str, str] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise Refused(f"{pair} is not NAME=VALUE.")
        if name in found:
            raise Refused(f"{name} is given twice.")
        found[name] = value
    return found
