"""How a command reaches a simulator that runs, and with which exit code it ends.

In: --url, --ca and --token, over CRM_SIM_... variables, over the settings. Out: the verbs of that
simulator, as the command's first argument.

    0  done
    1  the simulator says no: nothing of that name, not in this state, not in time, not well
    2  asked wrongly, or no simulator was reached
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from simulator.options import Refused, option, settings_of
from simulator.settings import PREFIX, Settings

Command = Callable[..., None]
_ASKED_WRONGLY = frozenset({400, 401, 403, 405, 413, 415, 422})

_url = click.option(
    "--url", envvar=f"{PREFIX}URL", help="Where the simulator is; by default as the settings say."
)
_ca = click.option(
    "--ca",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar=f"{PREFIX}CA",
    help="CA file (PEM) to trust for https; by default ca.pem in the data folder, if it is there.",
)
_token = option("--token", "control_token")


@dataclass(frozen=True)
class Address:
    """Where a simulator is. ca: None for plain http, and for authorities that the system trusts."""

    url: str
    ca: Path | None
    token: str | None = None


def address(url: str | None, ca: Path | None, **options: Any) -> Address:
    """Where the simulator is that the options and the settings mean. Raises Refused."""
    settings = settings_of(options)
    url = _default_url(settings) if url is None else url.rstrip("/")
    own = settings.data_dir / "ca.pem"
    if ca is None and _scheme(url) == "https" and own.is_file():
        ca = own
    token = settings.control_token
    return Address(url, ca, None if token is None else token.get_secret_value())


def addressed(command: Command) -> Command:
    """The command with --url and --ca, called with an Address."""

    @_url
    @_ca
    @functools.wraps(command)
    def found(url: str | None, ca: Path | None, **options: Any) -> None:
        command(address(url, ca), **options)

    return found


def remote(command: Command) -> Command:
    """The command with --url, --ca and --token, called with the verbs of that simulator."""

    @_url
    @_ca
    @_token
    @functools.wraps(command)
    def connected(
        url: str | None, ca: Path | None, control_token: str | None, **options: Any
    ) -> None:
        there = address(url, ca, control_token=control_token)
        from pydantic import ValidationError

        from simulator.client import ControlRefused, ControlUnreachable, attach

        try:
            with attach(there.url, ca=there.ca, token=there.token) as sim:
                command(sim, **options)
        except ControlUnreachable as error:
            raise Refused(str(error)) from error
        except ControlRefused as refused:
            if not refused.problem:
                raise Refused(_no_simulator(there)) from refused
            raise _refusal(refused.status, str(refused)) from refused
        except ValidationError as error:
            raise Refused(_no_simulator(there)) from error

    return connected


def _default_url(settings: Settings) -> str:
    if settings.port == 0:
        raise Refused(
            f"{PREFIX}PORT is 0, which is no address: name the simulator with --url or "
            f"{PREFIX}URL. The first line of `serve` has it."
        )
    return settings.url_at(settings.port)


def _scheme(url: str) -> str:
    """http or https. Raises Refused for anything else, and where no host follows."""
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts.scheme
    except ValueError:  # brackets that do not match, a port beyond 65535
        pass
    raise Refused(f"{url!r} is no address of a simulator, such as https://127.0.0.1:8801.")


def _refusal(status: int, sentence: str) -> click.ClickException:
    if status == 401:
        sentence = f"{sentence} It is given with --token or {PREFIX}CONTROL_TOKEN."
    return (Refused if status in _ASKED_WRONGLY else click.ClickException)(sentence)


def _no_simulator(there: Address) -> str:
    return (
        f"What answers at {there.url} is no simulator of this version. Check --url or {PREFIX}URL."
    )
