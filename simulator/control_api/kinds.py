"""The four kinds as they stand in addresses, and values as they stand in JSON."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import AwareDatetime, BaseModel, Field, TypeAdapter, ValidationError

from simulator.control_api.problems import ProblemFound
from simulator.local_crm import fields
from simulator.local_crm.changes import ChangeRefused, RecordNotFound
from simulator.local_crm.fields import FieldType
from simulator.triggers.urls import Kind

_INSTANT: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)


class KindInPath(StrEnum):
    """A kind, as the Agent Console's addresses have it."""

    CUSTOMERS = "customers"
    CASES = "cases"
    FOLLOWUPS = "followups"
    TASKS = "tasks"

    @property
    def kind(self) -> Kind:
        """What it stands for."""
        return Kind[self.name.removesuffix("S")]


PATH_OF = {one.kind: one for one in KindInPath}


class OfKind(BaseModel):
    """All records of a kind."""

    kind: KindInPath


class OneRecord(BaseModel):
    """A record."""

    kind: KindInPath
    record_id: str = Field(min_length=1, max_length=64, description="Its number, such as 10000000.")


class Values(BaseModel):
    """Values of a record by field name, as records are shown: texts, instants with their zone."""

    values: dict[str, Any] = Field(
        description="E.g. firstname, lastname; custom fields by name under `custom_fields`.",
        examples=[{"firstname": "Ada", "lastname": "Byron", "email": "ada@example.com"}],
    )


def read_values(kind: Kind, given: Mapping[str, Any]) -> dict[str, Any]:
    """Values as `changes` takes them. Raises ProblemFound, which names each field."""
    values, problems = dict(given), {}
    known = fields.BY_NAME[kind]
    for name, value in given.items():
        if name == fields.CUSTOM:
            sound = isinstance(value, dict) and all(
                isinstance(text, str) for text in value.values()
            )
            if not sound:
                problems[name] = f"{name} must be an object of texts by the fields' names."
        elif name in known and known[name].type is FieldType.INSTANT:
            try:
                values[name] = _instant(value)
            except ValidationError:
                problems[name] = (
                    f"{known[name].label} must be an instant with its zone, such as "
                    "2030-12-31T09:30:00Z."
                )
        elif not isinstance(value, str):
            problems[name] = f"{name} must be a text."
    if problems:
        raise ProblemFound(422, " ".join(problems.values()), fields=problems)
    return values


def as_problem(refused: ChangeRefused) -> ProblemFound:
    """The problem to raise for a change that breaks a rule."""
    status = 404 if isinstance(refused, RecordNotFound) else 422
    named = {name: sentence for name, sentence in refused.problems.items() if name}
    return ProblemFound(status, str(refused), fields=named)


def _instant(value: Any) -> datetime | None:
    return None if value in (None, "") else _INSTANT.validate_python(value)
