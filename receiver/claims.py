"""What a worker holds in its hands: pure values, from claim to apply."""

from dataclasses import dataclass
from datetime import datetime

from external_crm.rows import Key, Kind


@dataclass(frozen=True)
class Claimed:
    """An inbox row under a lease."""

    id: int
    cause: str  # trigger, verification, settle
    key: Key
    is_delete: bool
    account_id: str
    case_id: str | None
    received_at: datetime
    attempts: int
    postponed: int
    cascaded: bool
    allowed: bool

    @property
    def hinted_parents(self) -> tuple[Key, ...]:
        """The parents as the trigger names them; the fetched record decides (rule 9)."""
        parents = [Key(Kind.CUSTOMER, self.account_id)]
        if self.case_id is not None:
            parents.append(Key(Kind.CASE, self.case_id))
        return tuple(parent for parent in parents if parent != self.key)


@dataclass(frozen=True)
class Leave:
    """What a claim may do. calls: what the budget has, None: any number.

    probes: names of the holds that one record shall probe; kind: preferably one of this kind.
    """

    calls: int | None = None
    probes: frozenset[str] = frozenset()
    kind: Kind | None = None


@dataclass(frozen=True)
class Claim:
    """Rows under one ticket, and which of their hinted parents have been seen before.

    calls: what its reads are expected to cost; probes: the holds whose probe it is.
    """

    ticket: int
    rows: tuple[Claimed, ...]
    known: frozenset[Key]
    calls: int = 0
    probes: frozenset[str] = frozenset()
