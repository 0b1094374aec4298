"""What goes into the External CRM: plain row types, and what was read, ready to be applied.

In: nothing. Out: the types that a mapping produces and `apply` takes. Free of SQLAlchemy, so
that a customer with another CRM can keep them and replace `apply`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple


class Kind(StrEnum):
    """The four kinds of record; parents come before their children."""

    CUSTOMER = "customer"
    CASE = "case"
    FOLLOWUP = "followup"
    TASK = "task"


RANK = {kind: rank for rank, kind in enumerate(Kind)}


class Key(NamedTuple):
    """Which record: 8x8 hands out numbers per kind, so the id alone names nothing."""

    kind: Kind
    id: str

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


@dataclass(frozen=True, slots=True)
class CustomerRow:
    """A customer as the External CRM keeps it."""

    account_id: str
    first_name: str = ""
    last_name: str = ""
    company: str = ""
    pbx: str = ""
    comments: str = ""
    customer_type: str = ""
    email: str = ""
    voice: str = ""
    alternative: str = ""
    fax: str = ""
    address1_line1: str = ""
    address1_line2: str = ""
    address1_city: str = ""
    address1_state: str = ""
    address1_zip: str = ""
    address1_country: str = ""
    address2_line1: str = ""
    address2_line2: str = ""
    address2_city: str = ""
    address2_state: str = ""
    address2_zip: str = ""
    address2_country: str = ""
    custom_fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """Which record this is."""
        return Key(Kind.CUSTOMER, self.account_id)

    @property
    def parents(self) -> tuple[Key, ...]:
        """A customer hangs on nothing."""
        return ()


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case as the External CRM keeps it."""

    case_id: str
    account_id: str
    subject: str = ""
    description: str = ""
    status: str = ""
    priority: str = ""
    severity: str = ""
    category: str = ""
    project: str = ""
    visibility: str = ""
    media_type: str = ""
    assigned_to: str = ""
    assigned_date: date | None = None
    created_by: str = ""
    created_date: date | None = None
    closed_by: str = ""
    closed_date: date | None = None
    last_activity_date: date | None = None
    custom_fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """Which record this is."""
        return Key(Kind.CASE, self.case_id)

    @property
    def parents(self) -> tuple[Key, ...]:
        """The case's customer."""
        return (Key(Kind.CUSTOMER, self.account_id),)


@dataclass(frozen=True, slots=True)
class FollowupRow:
    """A follow-up as the External CRM keeps it."""

    followup_id: str
    account_id: str
    case_id: str
    subject: str = ""
    body: str = ""
    direction: str = ""
    media_type: str = ""
    visibility: str = ""
    created_by: str = ""
    created_date: date | None = None
    custom_fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """Which record this is."""
        return Key(Kind.FOLLOWUP, self.followup_id)

    @property
    def parents(self) -> tuple[Key, ...]:
        """The follow-up's customer and case."""
        return (Key(Kind.CUSTOMER, self.account_id), Key(Kind.CASE, self.case_id))


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task as the External CRM keeps it."""

    task_id: str
    account_id: str
    subject: str = ""
    description: str = ""
    status: str = ""
    assigned_to: str = ""
    call_type: str = ""
    media_type: str = ""
    middleware_url: str = ""
    phone: str = ""
    email: str = ""
    due_at: datetime | None = None
    created_by: str = ""
    created_date: date | None = None
    last_modified_date: date | None = None
    transaction_id: str = ""
    parent_task_id: str = ""
    custom_fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """Which record this is."""
        return Key(Kind.TASK, self.task_id)

    @property
    def parents(self) -> tuple[Key, ...]:
        """The task's customer."""
        return (Key(Kind.CUSTOMER, self.account_id),)


Row = CustomerRow | CaseRow | FollowupRow | TaskRow

ROW_TYPES: dict[Kind, type[Row]] = {
    Kind.CUSTOMER: CustomerRow,
    Kind.CASE: CaseRow,
    Kind.FOLLOWUP: FollowupRow,
    Kind.TASK: TaskRow,
}
COLUMNS: dict[Kind, tuple[str, ...]] = {
    kind: tuple(f.name for f in fields(row_type)) for kind, row_type in ROW_TYPES.items()
}
ID_COLUMN: dict[Kind, str] = {kind: names[0] for kind, names in COLUMNS.items()}


def as_columns(row: Row) -> dict[str, Any]:
    """The row's columns by name."""
    return {name: getattr(row, name) for name in COLUMNS[row.key.kind]}


TRIGGER, VERIFICATION, SETTLE = "trigger", "verification", "settle"  # what may ask for a read


class Cause(NamedTuple):
    """Why a record was read: the inbox row that asked for it, for the audit trail."""

    kind: str  # trigger, verification, settle
    id: int | None


@dataclass(frozen=True, slots=True)
class Found:
    """A read that returned the record."""

    row: Row
    sent_at: datetime
    cause: Cause
    key: Key = field(init=False)  # which record was read; kept, since it is asked for all the time

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", self.row.key)


@dataclass(frozen=True, slots=True)
class NotFound:
    """A read that was answered, without an error, with no record.

    explained: a delete trigger was received for the record or a parent of it, or an operator
    allowed its tombstone; unexplained tombstones in numbers look like lost rights.
    """

    key: Key
    sent_at: datetime
    cause: Cause
    last_trigger_received_at: datetime | None
    explained: bool


Read = Found | NotFound


@dataclass(frozen=True, slots=True)
class Policy:
    """When a not-found is believed, and how many unexplained ones are too many."""

    recheck_after_s: float = 30.0
    tombstone_limit: int = 10
    tombstone_window_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Batch:
    """The reads of one claim, at most one per record, all under one ticket.

    delete_triggers: records for which a delete trigger is judged for the first time.
    tombstones_stopped: hold every unexplained not-found until somebody allows it.
    """

    reads: tuple[Read, ...]
    now: datetime
    delete_triggers: frozenset[Key] = frozenset()
    tombstones_stopped: bool = False
    policy: Policy = Policy()


class Outcome(StrEnum):
    """What became of one read."""

    APPLIED = "applied"  # the row outside now shows it
    UNCHANGED = "unchanged"  # the row outside showed it already
    GONE = "gone"  # tombstone written
    STILL_GONE = "still gone"  # the tombstone stands
    COVERED = "covered"  # a read begun later is already in
    OVERTAKEN = "overtaken"  # nothing is known: read again under a new ticket
    RECHECK = "recheck"  # not found, not believed yet
    PARENT_PENDING = "parent pending"  # the record waits for its parent
    HELD = "held"  # tombstones are stopped


FINISHING = frozenset(
    {Outcome.APPLIED, Outcome.UNCHANGED, Outcome.GONE, Outcome.STILL_GONE, Outcome.COVERED}
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one read and, where it must be read again later, when."""

    outcome: Outcome
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """A record to be read again because of another one, with the parents it is known under."""

    key: Key
    account_id: str
    case_id: str | None
    because_of: Key


@dataclass(frozen=True, slots=True)
class Applied:
    """What one `apply` did: a verdict for every read, and the records to verify next."""

    verdicts: Mapping[Key, Verdict]
    verifications: tuple[Verification, ...] = ()
