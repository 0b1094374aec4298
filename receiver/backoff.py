"""How long to wait before trying again: pure, randomness injected.

In: how often it failed. Out: seconds. `Schedule` gathers every waiting time of the receiver
under a name, so that a demo can ask for the quick one.
"""

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """The receiver's waiting times in seconds."""

    name: str
    retry_first_s: float  # after the first failure; doubles from there
    retry_longest_s: float
    recheck_after_s: float  # rule 7: how long a not-found is doubted
    probe_after_s: float  # between two probes while the API is down or refuses our credentials
    poll_s: float  # how often an idle worker looks into the inbox
    lease_s: float  # how long the rows of a worker that died stay out of reach


SCHEDULES = {
    "standard": Schedule("standard", 1.0, 300.0, 30.0, 30.0, 0.5, 20.0),
    "quick": Schedule("quick", 0.2, 2.0, 2.0, 2.0, 0.1, 3.0),
}


def delay_s(failures: int, schedule: Schedule, rng: random.Random) -> float:
    """Seconds to wait after so many failures in a row, 1 after the first.

    Full doubling up to the longest wait, of which a random half to whole is taken, so that
    many triggers that failed together do not come back together.
    """
    doublings = min(max(failures, 1) - 1, 30)
    longest = min(schedule.retry_longest_s, schedule.retry_first_s * 2.0**doublings)
    return longest * (0.5 + rng.random() / 2)
