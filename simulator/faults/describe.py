"""What faults there are and what parameters they take, for those who add one.

In: the models. Out: values to show, described as in JSON Schema. It changes nothing.
"""

from dataclasses import dataclass
from typing import Any

from simulator.faults.models import Fault

_TOLD_ELSEWHERE = ("title", "description", "default")


@dataclass(frozen=True)
class Parameter:
    """A parameter of a fault."""

    name: str
    default: Any
    description: str
    accepts: dict[str, Any]  # JSON Schema of a value that is given


def effect(fault: type[Fault]) -> str:
    """What the fault does, in a sentence or two."""
    return " ".join(str(fault.__doc__).split())


def parameters(fault: type[Fault]) -> list[Parameter]:
    """All its parameters, those of every fault among them."""
    described = fault.model_json_schema()
    return [
        Parameter(
            name=name,
            default=about.get("default"),
            description=about.get("description", ""),
            accepts=_accepts(about, described.get("$defs", {})),
        )
        for name, about in described["properties"].items()
        if name != "fault"
    ]


def _accepts(about: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of a value that is given, in one piece."""
    found = next((one for one in about.get("anyOf", ()) if one != {"type": "null"}), about)
    if "$ref" in found:
        found = definitions[found["$ref"].rpartition("/")[2]]
    return {key: value for key, value in found.items() if key not in _TOLD_ELSEWHERE}
