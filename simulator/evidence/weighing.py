"""What a recording says of one line of the ledger: pure.

In: facts for and against. Out: a Finding. One fact against outweighs all others: the simulator
does what the real service was seen not to do.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from simulator.evidence.recording import Recording


class Verdict(StrEnum):
    """What the traffic says."""

    REFUTED = "refuted"
    CONFIRMED = "confirmed"
    NOT_SEEN = "not seen"


@dataclass(frozen=True)
class Fact:
    """Something that a line of the file shows."""

    line: int
    sentence: str


@dataclass(frozen=True)
class Finding:
    """The verdict on one line of the ledger, and its evidence."""

    verdict: Verdict
    sentence: str
    line: int | None = None


def weigh(good: Iterable[Fact], bad: Iterable[Fact], unseen: str) -> Finding:
    """unseen: what would have to happen for there to be evidence."""
    for verdict, facts in ((Verdict.REFUTED, list(bad)), (Verdict.CONFIRMED, list(good))):
        if facts:
            more = f" (and {len(facts) - 1} more)" if len(facts) > 1 else ""
            return Finding(verdict, facts[0].sentence + more, facts[0].line)
    return Finding(Verdict.NOT_SEEN, unseen)


def weigh_each(facts: Iterable[tuple[bool, Fact]], unseen: str) -> Finding:
    """The same of facts that are for the line (True) or against it."""
    told = list(facts)
    good = [fact for fits, fact in told if fits]
    return weigh(good, [fact for fits, fact in told if not fits], unseen)


Check = Callable[[Recording], Finding]
CHECKS: dict[str, Check] = {}  # by the ledger's id


def speaks_to(assumption: str) -> Callable[[Check], Check]:
    """Register what judges one line of the ledger."""

    def register(check: Check) -> Check:
        CHECKS[assumption] = check
        return check

    return register
