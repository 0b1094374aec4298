"""Waiting, with the reasons where it was in vain.

In: `idle`, `delivered(...)`, `fetched(...)`. Out: nothing, or NotInTime, which says why not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simulator.control_api.agent import ActionTaken
from simulator.control_api.silent import RecordChanged
from simulator.control_api.wait import NotMet, WaitOut
from simulator.transport import ControlRefused
from simulator.triggers.urls import Kind
from simulator.verbs.calls import Calls, Record, number


class NotInTime(ControlRefused, TimeoutError):
    """It did not come about; `why` has the reasons, deliveries in the way, faults in force."""

    def __init__(self, why: NotMet) -> None:
        super().__init__(why.status, why.detail, {}, why.model_dump(mode="json"))
        self.why = why


@dataclass(frozen=True)
class Wish:
    """What to wait for, as the control API has it."""

    body: Mapping[str, Any]


idle = Wish({"until": "idle"})  # no delivery waits any more


def delivered(what: Record | int, kind: Kind | str | None = None) -> Wish:
    """A delivery, by its id, or all of a record got a 200. kind: of a record given by number."""
    if isinstance(what, int):
        return Wish({"until": "delivered", "delivery_id": what})
    return Wish({"until": "delivered", **_record(what, kind)})


def fetched(record: Record, kind: Kind | str | None = None) -> Wish:
    """The record was read over the CRM API since it last changed."""
    return Wish({"until": "fetched", **_record(record, kind)})


def wait(calls: Calls, wish: Wish, timeout_s: float) -> None:
    """Return when it has come about. Raises NotInTime."""
    try:
        calls.post("/wait", WaitOut, **wish.body, timeout_s=timeout_s)
    except ControlRefused as refused:
        if refused.status != 504:
            raise
        raise NotInTime(NotMet.model_validate(refused.problem)) from None


def _record(record: Record, kind: Kind | str | None) -> dict[str, Any]:
    known = record.kind if isinstance(record, ActionTaken | RecordChanged) else kind
    return {"kind": known, "record_id": number(record)}
