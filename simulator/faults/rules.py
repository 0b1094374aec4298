"""Which calls a fault hits and when it is over: pure.

In: a fault, a call, how many calls came before, a drawn number, the time. Out: yes or no.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from simulator.faults.models import ApiFault, Fault, TriggerFault, Where
from simulator.objects import Event, Kind


@dataclass(frozen=True)
class TriggerCall:
    """One attempt to call a trigger URL."""

    kind: Kind
    event: Event
    record: str
    delivery: int
    attempt: int  # 1 for the first

    where = Where.TRIGGER

    @property
    def about(self) -> str:
        """The record, for faults that count for each one by itself."""
        return f"{self.kind} {self.record}"

    @property
    def subject(self) -> str:
        """What a fault hits only so often."""
        return f"delivery {self.delivery}"

    @property
    def identity(self) -> tuple[str, ...]:
        """The same in every run with the same calls, whatever thread comes first."""
        return (str(self.delivery), str(self.attempt))


@dataclass(frozen=True)
class ApiCall:
    """One command that the CRM API is to run."""

    kind: Kind
    action: str
    record: str | None  # None where the call names none by its number
    filters: str  # the others, so that equal calls are equal

    where = Where.CRM_API

    @property
    def about(self) -> str:
        """The record, or whatever the filters find."""
        return f"{self.kind} {self.record or self.filters}"

    @property
    def subject(self) -> str:
        """What a fault hits only so often."""
        return self.about

    @property
    def identity(self) -> tuple[str, ...]:
        """What the call asks for; equal calls are told apart by how many came before."""
        return (self.action, self.about)


Call = TriggerCall | ApiCall


def matches(fault: Fault, call: Call) -> bool:
    """Whether the call is one of those that the fault counts."""
    if fault.where is not call.where or fault.kind not in (None, call.kind):
        return False
    if fault.record not in (None, call.record):
        return False
    match fault, call:
        case TriggerFault(), TriggerCall():
            return fault.event in (None, call.event)
        case ApiFault(), ApiCall():
            return fault.action in (None, call.action)
    return False


def selects(fault: Fault, number: int, draw: Callable[[], float]) -> bool:
    """Whether the call that is the `number`th of those counted, from 1, is to be hit."""
    if fault.nth is not None:
        return number == fault.nth
    if fault.first is not None:
        return number <= fault.first
    if fault.every is not None:
        return number % fault.every == 0
    if fault.probability is not None:
        return draw() < fault.probability
    return True


def is_over(
    fault: Fault, counted: int, fired: int, now: datetime, ends_at: datetime | None
) -> bool:
    """Whether the fault can hit no call any more."""
    if ends_at is not None and now >= ends_at:
        return True
    if fault.times is not None and fired >= fault.times:
        return True
    last = fault.nth or fault.first
    return last is not None and not fault.per_record and counted >= last
