"""What the commands share: options that are settings, their variables, refusals in one sentence.

In: options, over CRM_SIM_... variables. Out: Settings, or Refused, which ends with exit code 2.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from simulator.settings import PREFIX, Settings

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Refused(click.ClickException):
    """Something the operator can mend: one sentence and exit code 2."""

    exit_code = 2


class _OfSettings(click.Option):
    """Names its variable in --help and leaves reading it to Settings: one reader, one sentence."""

    def resolve_envvar_value(self, ctx: click.Context) -> None:
        """Nothing was given here."""


def option(name: str, field: str, **attributes: Any) -> Callable[[_Command], _Command]:
    """An option for a field of Settings; not given, the variable or the default holds."""
    attributes = {
        "default": None,
        "help": Settings.model_fields[field].description,
        "envvar": PREFIX + field.upper(),
        **attributes,
    }
    return click.option(name, field, cls=_OfSettings, **attributes)


data_dir = option("--data-dir", "data_dir", type=click.Path(path_type=Path, file_okay=False))


def settings_of(options: dict[str, Any]) -> Settings:
    """The settings, with the options that were given. Raises Refused."""
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise Refused(" ".join(_setting_sentence(detail) for detail in error.errors())) from error


def variables() -> str:
    """Every setting as a variable, for --help."""
    lines = [
        f"  {PREFIX + name.upper()}\n      {field.description}{_default(field)}"
        for name, field in Settings.model_fields.items()
    ]
    begin = "Settings are read from the environment; a command's --help names its options' own:"
    return f"\b\n{begin}\n" + "\n".join(lines)


def name_variables(group: click.Group, prefix: str = PREFIX) -> None:
    """Give every option of the commands a variable, which --help names: `clock freeze --at` is
    also CRM_SIM_CLOCK_FREEZE_AT, unless it has one already that several commands share.
    """
    for name, command in group.commands.items():
        here = f"{prefix}{_upper(name)}_"
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                flag = next(one for one in parameter.opts if one.startswith("--"))
                parameter.envvar = parameter.envvar or here + _upper(flag.removeprefix("--"))
                parameter.show_envvar = True
        if isinstance(command, click.Group):
            name_variables(command, here)


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")


def _setting_sentence(detail: Any) -> str:
    name = str(detail["loc"][0]) if detail["loc"] else "the settings"
    return f"{PREFIX}{name.upper()} cannot be used: {detail['msg']}."


def _default(field: FieldInfo) -> str:
    """The default as it would be written into the variable; nothing for none and for secrets."""
    value = field.default
    if value is None or value == "" or isinstance(value, SecretStr):
        return ""
    return f" [default: {str(value).lower() if isinstance(value, bool) else value}]"
