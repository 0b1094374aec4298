"""Agents at work: which action comes next, and how it is done in the Agent Console.

In: a seed and the records that exist. Out: one action after the other through the console's own
forms. The first eleven actions are the eleven documented events in a fixed order, so that a short
demo has them all; a follow-up is never edited, because that fires nothing
(assumption trigger.followup-edit-silent).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from scripts.demonstration.console import Console, PageFailed
from scripts.demonstration.known import PARENT_KIND, Known
from scripts.demonstration.typing_in import Typist

EVENTS = (
    ("customer", "create"),
    ("customer", "edit"),
    ("customer", "delete"),
    ("case", "create"),
    ("case", "edit"),
    ("case", "delete"),
    ("followup", "create"),
    ("followup", "delete"),
    ("task", "create"),
    ("task", "edit"),
    ("task", "delete"),
)
# How often each comes after the first eleven. A deleted customer takes much with it: seldom, so
# that even after thousands of actions enough records are left to compare.
_WEIGHTS = (14, 14, 1, 16, 16, 2, 18, 4, 16, 14, 4)
_ON_RECENT_RECORDS = 0.5
_FOLDERS = {"customer": "customers", "case": "cases", "followup": "followups", "task": "tasks"}
_PARENT_FIELD = {"case": "accountnum", "followup": "casenum", "task": "accountnum"}


@dataclass(frozen=True)
class Action:
    """What an agent does: create under a parent ('' for a customer), or edit or delete a record."""

    kind: str
    event: str
    target: str  # the record; when it is created its parent
    typed: dict[str, str]

    def __str__(self) -> str:
        if self.event == "create":
            parent = PARENT_KIND.get(self.kind)
            return f"creates a {self.kind}" + (f" of {parent} {self.target}" if parent else "")
        return f"{self.event}s {self.kind} {self.target}"


class Script:
    """The seeded row of actions."""

    def __init__(self, known: Known, typist: Typist, rng: Random) -> None:
        self._known = known
        self._typist = typist
        self._rng = rng
        self._events = list(EVENTS)

    def next_action(self) -> Action:
        """What an agent does next; only records that exist take part."""
        # The first eleven spread over the records, so that they leave something to compare.
        recent = 0.0 if self._events else _ON_RECENT_RECORDS
        kind, event = (
            self._events.pop(0) if self._events else self._rng.choices(EVENTS, _WEIGHTS)[0]
        )
        target_kind = PARENT_KIND.get(kind) if event == "create" else kind
        target = self._known.choose(target_kind, self._rng, recent) if target_kind else ""
        if target is None:  # nothing of this kind is left: make some
            kind, event, target = "customer", "create", ""
        return Action(kind, event, target, self._typed(kind, event))

    def done(self, action: Action, record_id: str) -> None:
        """Take note of what an action did; record_id: the record that it was about."""
        if action.event == "delete":
            self._known.remove(action.kind, record_id)
            return
        if action.event == "create":
            self._known.add(action.kind, record_id, action.target)
        self._known.touch(action.kind, record_id)

    def _typed(self, kind: str, event: str) -> dict[str, str]:
        if event == "delete":
            return {}
        return self._typist.new(kind) if event == "create" else self._typist.changes(kind)


def sign_in(console: Console, agent_id: str) -> None:
    """From now on this browser acts as the agent."""
    console.submit("/agent/customers", {"agent_id": agent_id}, action="/agent/act-as")


def perform(console: Console, action: Action) -> str:
    """Do it in the Agent Console; the id of the record. Raises PageFailed."""
    folder = f"/agent/{_FOLDERS[action.kind]}"
    if action.event == "create":
        return _create(console, folder, action)
    console.submit(f"{folder}/{action.target}/{action.event}", action.typed)
    return action.target


def set_triggers(console: Console, urls: dict[str, str]) -> None:
    """Type the URLs into the boxes of Integration > CRM Triggers and press Save."""
    console.submit("/config/integration/crm-triggers", urls)


def missing_events(delivered: Sequence[tuple[str, str]]) -> list[str]:
    """Which of the eleven events are not among those delivered, in words."""
    return [f"{kind} {event}" for kind, event in EVENTS if (kind, event) not in set(delivered)]


def _create(console: Console, folder: str, action: Action) -> str:
    parent_field = _PARENT_FIELD.get(action.kind)
    if parent_field is None:
        shown = console.submit(f"{folder}/new", action.typed)
    else:
        typed = {**action.typed, parent_field: action.target}
        shown = console.submit(f"{folder}/new?{parent_field}={action.target}", typed)
    record_id = shown.rpartition("/")[2]
    if not record_id.isdecimal():
        raise PageFailed(f"After a new {action.kind} the console led to {shown}, not to a record.")
    return record_id
