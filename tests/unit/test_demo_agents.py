"""The seeded row of actions that the demo's agents do."""

from collections import Counter
from datetime import date
from random import Random

from scripts.demonstration.agents import EVENTS, Action, Script
from scripts.demonstration.known import PARENT_KIND, Known
from scripts.demonstration.typing_in import Typist


def test_the_first_eleven_actions_are_the_eleven_events() -> None:
    actions = _play(_seeded(), seed=1, count=11)

    assert [(action.kind, action.event) for action in actions] == list(EVENTS)


def test_no_action_ever_edits_a_followup() -> None:
    actions = _play(_seeded(), seed=2, count=1000)

    assert ("followup", "edit") not in {(action.kind, action.event) for action in actions}
    assert min(Counter((a.kind, a.event) for a in actions).values()) > 1


def test_agents_work_only_on_records_that_exist() -> None:
    known = _seeded()
    script = _script(known, seed=3)
    for number in range(2000):
        action = script.next_action()
        target_kind = PARENT_KIND.get(action.kind) if action.event == "create" else action.kind
        if target_kind:
            assert action.target in known.records[target_kind]
        script.done(action, _outcome(action, number))


def test_equal_seeds_give_equal_actions_and_others_do_not() -> None:
    assert _play(_seeded(), seed=4, count=60) == _play(_seeded(), seed=4, count=60)
    assert _play(_seeded(), seed=4, count=60) != _play(_seeded(), seed=5, count=60)


def test_where_no_record_is_left_a_customer_is_created() -> None:
    actions = _play(Known(), seed=6, count=4)

    # The fourth event would be a case, but the only customer has just been deleted.
    assert [(action.kind, action.event) for action in actions] == [
        ("customer", "create"),
        ("customer", "edit"),
        ("customer", "delete"),
        ("customer", "create"),
    ]


def test_what_goes_with_a_deleted_customer_is_gone_too() -> None:
    known = Known()
    known.add("customer", "1")
    known.add("case", "2", "1")
    known.add("followup", "3", "2")
    known.add("task", "4", "1")
    known.add("customer", "5")

    known.remove("customer", "1")

    assert known.records == {"customer": {"5": ""}, "case": {}, "followup": {}, "task": {}}


def _seeded() -> Known:
    known = Known()
    for number in range(20):
        known.add("customer", f"c{number}")
        known.add("case", f"k{number}", f"c{number}")
        known.add("followup", f"f{number}", f"k{number}")
        known.add("task", f"t{number}", f"c{number}")
    return known


def _script(known: Known, seed: int) -> Script:
    return Script(known, Typist(seed, date(2026, 1, 1)), Random(seed))


def _play(known: Known, seed: int, count: int) -> list[Action]:
    script = _script(known, seed)
    actions = []
    for number in range(count):
        action = script.next_action()
        actions.append(action)
        script.done(action, _outcome(action, number))
    return actions


def _outcome(action: Action, number: int) -> str:
    """The id that the console would lead to."""
    return f"new{number}" if action.event == "create" else action.target
