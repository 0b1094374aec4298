"""Faults: what breaks on purpose."""

from typing import Any

from simulator.control_api.faults import (
    ClearedOut,
    FaultKindOut,
    FaultKindsOut,
    FaultOut,
    FaultsOut,
)
from simulator.verbs.calls import Calls


class Faults:
    """Faults by their names, each with its parameters; `kinds` says which there are."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def add(self, fault: str, **parameters: Any) -> FaultOut:
        """Let something break, e.g. `add("lose_answer", first=2)`."""
        return self._calls.post("/faults", FaultOut, fault=fault, **parameters)

    def kinds(self) -> list[FaultKindOut]:
        """Which faults there are, with their parameters."""
        return self._calls.get("/faults/kinds", FaultKindsOut).kinds

    def list(self) -> list[FaultOut]:
        """Those that were added, and how often each was hit."""
        return self._calls.get("/faults", FaultsOut).faults

    def get(self, fault: FaultOut | int) -> FaultOut:
        """How one stands."""
        return self._calls.get(f"/faults/{_id(fault)}", FaultOut)

    def clear(self, fault: FaultOut | int | None = None) -> int:
        """Take one away, or all; how many were in force."""
        path = "/faults" if fault is None else f"/faults/{_id(fault)}"
        return self._calls.send("DELETE", path, ClearedOut).cleared


def _id(fault: FaultOut | int) -> int:
    return fault if isinstance(fault, int) else fault.id
