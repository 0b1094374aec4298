"""What recorded deletes say of what goes with a record, and of what fires then."""

from collections.abc import Iterator
from datetime import timedelta

from simulator.evidence.recording import Call, Item, Recording, Trigger
from simulator.evidence.weighing import Fact, Finding, speaks_to, weigh
from simulator.objects import Kind

_AT_ONCE = timedelta(minutes=1)  # what one deletion fires comes within it
_OLD_ANSWER = timedelta(seconds=10)  # a read so soon may show what is gone
_PARENT_TAG = {Kind.CUSTOMER: "ACCOUNTNUM", Kind.CASE: "CASENUM"}
_PARENT_ID = {Kind.CUSTOMER: "AccountID", Kind.CASE: "CaseID"}
_UNSEEN = "No delete of a record was seen whose children had been read before and were after."


@speaks_to("trigger.delete-cascade")
def delete_cascade(seen: Recording) -> Finding:
    """A child's own delete trigger beside its parent's refutes it."""
    deletes = [t for t in seen.triggers if t.box[1] == "delete"]
    bad = [
        Fact(child.line, f"A {child.kind} fired with the {parent.kind} that it went with.")
        for parent in deletes
        for child in deletes
        if parent.kind in _PARENT_ID
        and child.kind is not parent.kind
        and dict(child.ids).get(_PARENT_ID[parent.kind]) == parent.number
        and len(child.ids) > len(parent.ids)
        and abs(child.at - parent.at) < _AT_ONCE
    ]
    fired = {(t.kind, t.number) for t in deletes}
    good = [
        Fact(call.line, f"A {item.kind} went with its parent and did not fire.")
        for _, item, call in _children_read_again(seen)
        if not call.items and (item.kind, item.number) not in fired
    ]
    return weigh(good, bad, _UNSEEN)


@speaks_to("trigger.delete-takes-children")
def delete_takes_children(seen: Recording) -> Finding:
    """Cases and follow-ups."""
    return _gone(seen, (Kind.CASE, Kind.FOLLOWUP))


@speaks_to("trigger.delete-takes-tasks")
def delete_takes_tasks(seen: Recording) -> Finding:
    """Tasks."""
    return _gone(seen, (Kind.TASK,))


def _gone(seen: Recording, kinds: tuple[Kind, ...]) -> Finding:
    read = [(d, i, c) for d, i, c in _children_read_again(seen) if i.kind in kinds]
    good = [
        Fact(call.line, f"A {item.kind} is not found after its {delete.kind} was deleted.")
        for delete, item, call in read
        if not call.items
    ]
    bad = [
        Fact(call.line, f"A {item.kind} is found after its {delete.kind} was deleted.")
        for delete, item, call in read
        if call.items and call.at > delete.at + _OLD_ANSWER
    ]
    return weigh(good, bad, _UNSEEN)


def _children_read_again(seen: Recording) -> Iterator[tuple[Trigger, Item, Call]]:
    """A parent's delete, a child as it was before, and a read of the child after."""
    for delete in seen.triggers:
        if delete.box[1] != "delete" or delete.kind not in _PARENT_TAG:
            continue
        tag = _PARENT_TAG[delete.kind]
        children = {
            (item.kind, item.number): item
            for item in seen.items
            if item.kind is not delete.kind
            and item.at < delete.at
            and item.get(tag) == delete.number
        }
        for call in seen.answered:
            child = children.get((call.kind, call.asks_for)) if call.kind else None
            if child is not None and call.at > delete.at and call.succeeded:
                yield delete, child, call
