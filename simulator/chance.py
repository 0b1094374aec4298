"""Chance from a seed: the one source of every random choice of the simulator.

In: a seed, a purpose and the ids that the choice is about. Out: a random.Random that is the same
whenever these are. Each choice has a stream of its own, so it does not matter which thread comes
first. Secrets are never drawn here: who knows the seed knows all.
"""

import hashlib
import json
import os
import random


class Chance:
    """Every random choice of one simulator; without a seed it draws one, to be shown and given."""

    def __init__(self, seed: str | None = None) -> None:
        self.seed: str
        self.reset(seed)

    def of(self, purpose: str, *ids: str | int) -> random.Random:
        """The stream for a purpose and what it is about: `of("retry", delivery.id, attempt)`.

        Two calls with the same words give the same numbers: name whatever makes them differ.
        """
        key = json.dumps([self.seed, purpose, *ids]).encode()
        return random.Random(int.from_bytes(hashlib.sha256(key).digest()))  # noqa: S311 no secret

    def reset(self, seed: str | None = None) -> None:
        """Begin anew with a seed."""
        self.seed = os.urandom(8).hex() if seed is None else seed
