"""When a failed trigger is called again: pure (assumption trigger.retry-schedule).

In: how many attempts of the present schedule failed, when the last one ended, a policy, a
source of chance. Out: the instant of the next attempt, or None when the policy is used up.
"""

import random
from dataclasses import dataclass, replace
from datetime import datetime, timedelta


@dataclass(frozen=True)
class RetryPolicy:
    """A named schedule: the first attempt at once, then one after each delay, then no more."""

    name: str
    delays_s: tuple[float, ...]  # before the second attempt, the third, ...
    jitter: float = 0.1  # each delay is multiplied by a number between 1 - jitter and 1 + jitter


POLICIES: dict[str, RetryPolicy] = {
    policy.name: policy
    for policy in (
        # 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 10 h: exhausted after 27 h 35 min
        RetryPolicy("standard", (5, 300, 1800, 7200, 18_000, 36_000, 36_000)),
        # For demos: outlasts an outage of 30 s and is never slow to notice that it is over.
        RetryPolicy("quick", (0.5, 1, 1, 2, 2, 3, 3, 5, 5, 5, 5, 5, 5, 5)),
    )
}


def policy_named(name: str, jitter: float) -> RetryPolicy:
    """The policy of that name with the given jitter; KeyError for a name that there is not."""
    return replace(POLICIES[name], jitter=jitter)


def next_attempt_at(
    failures: int, ended_at: datetime, policy: RetryPolicy, rng: random.Random
) -> datetime | None:
    """When to try again, or None when the policy is used up.

    failures: failed attempts of the present schedule, 1 after the first. ended_at: when the
    last of them ended, aware UTC; the delay counts from there, however long the attempt took.
    """
    if failures > len(policy.delays_s):
        return None
    delay_s = policy.delays_s[failures - 1]
    factor = 1 + policy.jitter * rng.uniform(-1, 1)
    return ended_at + timedelta(seconds=delay_s * factor)
