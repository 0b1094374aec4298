"""What makes the demo end with 1, each reason a sentence."""

import pytest

from scripts.demonstration.agents import EVENTS
from scripts.demonstration.compare import Comparison, Counts
from scripts.demonstration.observe import Figures
from scripts.demonstration.verdict import what_fails


def test_nothing_fails_when_all_is_equal_and_delivered() -> None:
    assert what_fails(_compared(Counts(equal=20, exempt=500)), EVENTS, Figures(), 40) == []


@pytest.mark.parametrize("counts", [{"different": 1}, {"missing": 1}, {"extra": 1}])
def test_unequal_databases_fail(counts: dict[str, int]) -> None:
    comparison = _compared(Counts(equal=50, **counts))

    (sentence,) = what_fails(comparison, EVENTS, Figures(), 40)

    assert sentence.startswith("The databases are not equal:")


def test_an_event_that_was_never_delivered_is_named() -> None:
    delivered = [event for event in EVENTS if event != ("followup", "delete")]

    sentences = what_fails(_compared(Counts(equal=50)), delivered, Figures(), 40)

    assert sentences == ["Never delivered was: followup delete."]


def test_exempt_records_do_not_count_as_compared() -> None:
    (sentence,) = what_fails(_compared(Counts(equal=19, exempt=500)), EVENTS, Figures(), 40)

    assert sentence.startswith("Only 19 records were compared")


@pytest.mark.parametrize("leftover", ["on_their_way", "exhausted", "waiting", "dead"])
def test_a_trigger_without_effect_fails(leftover: str) -> None:
    (sentence,) = what_fails(_compared(Counts(equal=50)), EVENTS, Figures(**{leftover: 3}), 40)

    assert sentence.startswith("3 triggers ")


def _compared(counts: Counts) -> Comparison:
    return Comparison(by_kind={"customer": counts})
