"""Which faults a world has and how often: drawn anew for each seed, or chosen for a mutation."""

import random
from dataclasses import dataclass, field, fields
from typing import Any


def _fault() -> Any:
    return field(default=0.0, metadata={"fault": True})


@dataclass(frozen=True)
class Mix:
    """How likely each fault is, at each opportunity, and the shape of what goes on."""

    # between 8x8 and the receiver
    lost_request: float = _fault()
    lost_answer: float = _fault()
    late_request: float = _fault()  # the sender has long given up when it arrives
    duplicate: float = _fault()
    forged_trigger: float = _fault()  # anybody's: any event, any record, or one that never was
    # between the receiver and the CRM API
    api_down: float = _fault()
    bad_reply: float = _fault()
    refused: float = _fault()  # our credentials, for one read
    capped_list: float = _fault()  # a list by parent that leaves some records out
    stale_read: float = _fault()  # the record as it was up to STALE_S ago
    change_during_read: float = _fault()
    # of processes
    sender_killed: float = _fault()
    web_killed: float = _fault()
    worker_killed: float = _fault()
    worker_stalled: float = _fault()  # so long that others overtake it, then it goes on

    steps: int = 90
    creating: float = 0.3  # share of an agent's actions; what is left after these three: delete
    editing: float = 0.45
    moving: float = 0.1
    reverting: float = 0.3  # share of edits that type again what was there before
    favourites: float = 0.5  # share of actions on the two newest records
    most_records: int = 40
    batch_size: int = 4
    tombstone_limit: int = 10
    list_from: int = 0  # records of one parent in a batch that a list is asked for; 0: never
    calls_per_s: float = 0.0  # budget of all workers; 0: none
    max_attempts: int = 10_000  # where fewer, an operator replays what died

    @classmethod
    def draw(cls, rng: random.Random) -> "Mix":
        """Each fault is absent, rare or frequent."""
        chances = {name: rng.choice((0.0, 0.07, 0.3)) for name in FAULTS}
        chances["capped_list"] = rng.choice((0.0, 0.2, 0.6))  # lists are few
        # Half of the seeds allow no exception.
        chances["stale_read"] = rng.choice((0.0, 0.0, 0.2, 0.6))
        return cls(
            **chances,
            creating=rng.choice((0.2, 0.4)),
            editing=rng.choice((0.3, 0.5)),
            moving=rng.choice((0.0, 0.1)),
            most_records=rng.choice((3, 8, 40)),
            batch_size=rng.choice((1, 4, 20)),
            tombstone_limit=rng.choice((0, 1, 10)),
            list_from=rng.choice((0, 1, 2)),
            max_attempts=rng.choice((2, 10_000)),
            calls_per_s=rng.choice((0.0, 0.0, 0.0, 5.0)),
        )


FAULTS = tuple(item.name for item in fields(Mix) if item.metadata.get("fault"))
