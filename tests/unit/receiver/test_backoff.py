"""How long the receiver waits."""

import random

from hypothesis import given
from hypothesis import strategies as st

from receiver.backoff import SCHEDULES, delay_s


@given(st.integers(0, 1000), st.integers(0, 2**32), st.sampled_from(sorted(SCHEDULES)))
def test_a_wait_stays_between_half_and_whole_of_its_doubling(
    failures: int, seed: int, name: str
) -> None:
    schedule = SCHEDULES[name]
    whole = min(schedule.retry_longest_s, schedule.retry_first_s * 2 ** (max(failures, 1) - 1))
    assert whole / 2 <= delay_s(failures, schedule, random.Random(seed)) <= whole
