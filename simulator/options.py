"""What the commands share: options that are settings, and refusals in one sentence.

In: options, over CRM_SIM_... variables. Out: Settings, or Refused, which ends with exit code 2.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import ValidationError

from simulator.settings import Settings

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Refused(click.ClickException):
    """Something the operator can mend: one sentence and exit code 2."""

    exit_code = 2


def option(name: str, field: str, **attributes: Any) -> Callable[[_Command], _Command]:
    """An option for a field of Settings; not given, the variable or the default holds."""
    described = Settings.model_fields[field].description
    attributes = {"default": None, "help": described, **attributes}
    return click.option(name, field, **attributes)


data_dir = option("--data-dir", "data_dir", type=click.Path(path_type=Path, file_okay=False))


def settings_of(options: dict[str, Any]) -> Settings:
    """The settings, with the options that were given. Raises Refused."""
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise Refused(" ".join(_setting_sentence(detail) for detail in error.errors())) from error


def _setting_sentence(detail: Any) -> str:
    name = str(detail["loc"][0]) if detail["loc"] else "the settings"
    return f"CRM_SIM_{name.upper()} cannot be used: {detail['msg']}."
