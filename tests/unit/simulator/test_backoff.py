"""The retry schedules: delays, jitter, and the end."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from simulator.settings import Settings
from simulator.triggers.backoff import POLICIES, RetryPolicy, next_attempt_at, policy_named

ENDED_AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
POLICY = RetryPolicy("test", (10, 20), jitter=0.1)


class Extreme(random.Random):
    """Chance that always goes to one end."""

    def __init__(self, end: int) -> None:
        super().__init__()
        self._end = end

    def uniform(self, a: float, b: float) -> float:
        """The lower end for -1, the upper for 1, the middle for 0."""
        return {-1: a, 0: (a + b) / 2, 1: b}[self._end]


@pytest.mark.parametrize(("end", "delay_s"), [(-1, 18), (0, 20), (1, 22)])
def test_a_delay_varies_by_a_tenth_either_way(end: int, delay_s: float) -> None:
    expected = ENDED_AT + timedelta(seconds=delay_s)
    assert next_attempt_at(2, ENDED_AT, POLICY, Extreme(end)) == expected


def test_after_the_last_delay_there_is_no_next_attempt() -> None:
    assert next_attempt_at(3, ENDED_AT, POLICY, random.Random(1)) is None


def test_the_standard_schedule_is_given_up_after_27_h_35_min() -> None:
    total = timedelta(seconds=sum(POLICIES["standard"].delays_s))
    assert total == timedelta(hours=27, minutes=35, seconds=5)


def test_the_quick_schedule_outlasts_an_outage_of_30_s_at_its_shortest() -> None:
    policy = policy_named("quick", jitter=0.1)
    assert sum(policy.delays_s) * (1 - policy.jitter) > 30
    assert max(policy.delays_s) <= 5


@pytest.mark.parametrize("name", POLICIES)
def test_the_settings_accept_every_named_schedule(name: str) -> None:
    assert Settings(retry_schedule=name).retry_schedule == name
