"""The fence, number by number."""

from datetime import UTC, datetime, timedelta

import pytest

from external_crm.fence import Fence, Numbers, believed_from, judge, precedes_cascade

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ticket", "fence"),
    [
        (3, Fence.COVERED),
        (5, Fence.COVERED),  # the very read that the row shows
        (6, Fence.OVERTAKEN),
        (9, Fence.OVERTAKEN),  # drawn before that write's seq: the write may be newer
        (10, Fence.APPLY),
    ],
)
def test_a_ticket_against_the_numbers_of_a_record(ticket: int, fence: Fence) -> None:
    assert judge(Numbers(ticket=5, seq=9), ticket) is fence


def test_a_record_never_seen_takes_any_ticket() -> None:
    assert judge(Numbers(), 1) is Fence.APPLY


def test_one_parents_cascade_is_enough() -> None:
    parents = [Numbers(ks=0), Numbers(ks=7)]
    assert precedes_cascade(parents, 7)
    assert not precedes_cascade(parents, 8)


def test_belief_counts_from_the_later_of_doubt_and_trigger() -> None:
    assert believed_from(NOON, None, 30) == NOON + timedelta(seconds=30)
    late = NOON + timedelta(seconds=20)
    assert believed_from(NOON, late, 30) == NOON + timedelta(seconds=50)
    assert believed_from(late, NOON, 30) == NOON + timedelta(seconds=50)
