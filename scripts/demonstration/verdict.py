"""Whether the demo ends with 0, and if not, why: a sentence for each thing that fails.

In: the comparison, which events were delivered, the last figures. Out: sentences.
"""

from collections.abc import Sequence

from scripts.demonstration.agents import missing_events
from scripts.demonstration.compare import Comparison
from scripts.demonstration.observe import Figures


def what_fails(
    comparison: Comparison,
    delivered: Sequence[tuple[str, str]],
    figures: Figures,
    actions: int,
) -> list[str]:
    """A sentence for each reason to end with 1; empty when everything holds.

    delivered: (kind, event) pairs with at least one delivered trigger. actions: how many the
    agents did; fewer compared records than half of them would prove little.
    """
    return [
        *_databases(comparison),
        *_events(delivered),
        *_leftovers(figures),
        *_too_few(comparison, actions),
    ]


def _databases(comparison: Comparison) -> list[str]:
    total = comparison.total
    if comparison.equal:
        return []
    return [
        f"The databases are not equal: {total.different} different, {total.missing} missing, "
        f"{total.extra} extra."
    ]


def _events(delivered: Sequence[tuple[str, str]]) -> list[str]:
    missing = missing_events(delivered)
    return [f"Never delivered was: {', '.join(missing)}."] if missing else []


def _leftovers(figures: Figures) -> list[str]:
    leftovers = (
        (figures.on_their_way, "still wait in the simulator's outbox"),
        (figures.exhausted, "have used up the retry schedule"),
        (figures.waiting, "still wait in the receiver's inbox"),
        (figures.dead, "lie dead in the receiver's inbox"),
    )
    return [f"{count} triggers {what}." for count, what in leftovers if count]


def _too_few(comparison: Comparison, actions: int) -> list[str]:
    compared = comparison.total.compared
    if compared * 2 >= actions:
        return []
    return [f"Only {compared} records were compared; {actions} actions call for half as many."]
