"""How each of the four kinds is shown and reached: pure data, one place for routes and pages.

In: nothing. Out: SCREENS by the word in the address, and which fields lead to another record.
"""

from dataclasses import dataclass

from simulator.local_crm.fields import BY_NAME, FIELDS, Field
from simulator.local_crm.models import NUMBER_COLUMN
from simulator.triggers.urls import Kind


@dataclass(frozen=True)
class Screen:
    """The pages of one kind."""

    kind: Kind
    path: str  # in the address: /agent/<path>
    noun: str
    plural: str
    columns: tuple[str, ...]  # fields of the list, after the number
    parent: str | None = None  # the field that a new record needs its parent's number in
    children: tuple[Kind, ...] = ()  # what hangs on a record by its number

    # Delete Selected and Delete All stand on the three CRM tabs; follow-ups have none
    # (trigger.delete-tabs).
    @property
    def deletes_many(self) -> bool:
        """Whether several records can be deleted at once."""
        return self.kind is not Kind.FOLLOWUP

    @property
    def number(self) -> str:
        """The field with the record's own number."""
        return NUMBER_COLUMN[self.kind]

    @property
    def address(self) -> str:
        """Of the list; a record's own has its number after it."""
        return f"/agent/{self.path}"

    @property
    def fields(self) -> tuple[Field, ...]:
        """All fields, in the order of the page."""
        return FIELDS[self.kind]

    @property
    def editable(self) -> tuple[Field, ...]:
        """The fields that an agent types in."""
        return tuple(field for field in self.fields if not field.system)

    @property
    def list_fields(self) -> tuple[Field, ...]:
        """The fields of the list, the number first."""
        return tuple(BY_NAME[self.kind][name] for name in (self.number, *self.columns))


_ALL = (
    Screen(
        Kind.CUSTOMER,
        "customers",
        "customer",
        "Customers",
        columns=("firstname", "lastname", "company", "email", "customertype"),
        children=(Kind.CASE, Kind.FOLLOWUP, Kind.TASK),
    ),
    Screen(
        Kind.CASE,
        "cases",
        "case",
        "Cases",
        columns=("accountnum", "subject", "status", "priority", "createddate"),
        parent="accountnum",
        children=(Kind.FOLLOWUP,),
    ),
    Screen(
        Kind.FOLLOWUP,
        "followups",
        "follow-up",
        "Follow-ups",
        columns=("casenum", "accountnum", "subject", "direction", "createddate"),
        parent="casenum",
    ),
    Screen(
        Kind.TASK,
        "tasks",
        "task",
        "Tasks",
        columns=("accountnum", "subject", "task_status", "assignedto", "duedate"),
        parent="accountnum",
    ),
)
SCREENS: dict[str, Screen] = {screen.path: screen for screen in _ALL}
OF_KIND: dict[Kind, Screen] = {screen.kind: screen for screen in _ALL}

# Fields whose value is the number of a record with a page of its own.
LEADS_TO: dict[str, Screen] = {
    "accountnum": OF_KIND[Kind.CUSTOMER],
    "casenum": OF_KIND[Kind.CASE],
    "followupnum": OF_KIND[Kind.FOLLOWUP],
    "tasknum": OF_KIND[Kind.TASK],
    "parenttasknum": OF_KIND[Kind.TASK],
}
