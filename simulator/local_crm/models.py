"""Tables of the Local CRM: live records, every version of each, and the numbers handed out.

Columns carry the CRM API's tag names in lower case (accountnum, addr1str1, ...), so that one
name leads from the wire to the column. Live tables hold live records only; `record_versions`
holds everything that ever was.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    ForeignKey,
    Index,
    Text,
    UniqueConstraint,
    collate,
    func,
    literal_column,
)
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.elements import Grouping

from simulator.db import Base, UtcDateTime
from simulator.local_crm.fields import CustomType, Definition
from simulator.triggers.urls import Event, Kind, RecordIds


class Origin(StrEnum):
    """By which door a change came; only AGENT fires triggers (assumption trigger.agent-only)."""

    AGENT = "agent"
    API = "api"
    CSV = "csv"
    BULK = "bulk"
    AUTO_LOG = "auto_log"
    EMAIL = "email"


class Customer(Base):
    """A customer of the Local CRM. Dates are instants in UTC; the wire shows them as MMDDYYYY."""

    __tablename__ = "customers"

    accountnum: Mapped[str] = mapped_column(primary_key=True)
    firstname: Mapped[str] = mapped_column(default="", index=True)
    lastname: Mapped[str] = mapped_column(default="", index=True)
    company: Mapped[str] = mapped_column(default="", index=True)
    pbx: Mapped[str] = mapped_column(default="")
    comments: Mapped[str] = mapped_column(Text, default="")
    customertype: Mapped[str] = mapped_column(default="Default", index=True)
    email: Mapped[str] = mapped_column(default="", index=True)
    voice: Mapped[str] = mapped_column(default="", index=True)
    alternative: Mapped[str] = mapped_column(default="")
    fax: Mapped[str] = mapped_column(default="")
    addr1str1: Mapped[str] = mapped_column(default="")
    addr1str2: Mapped[str] = mapped_column(default="")
    addr1city: Mapped[str] = mapped_column(default="")
    addr1state: Mapped[str] = mapped_column(default="")
    addr1zip: Mapped[str] = mapped_column(default="")
    addr1country: Mapped[str] = mapped_column(default="")
    addr2str1: Mapped[str] = mapped_column(default="")
    addr2str2: Mapped[str] = mapped_column(default="")
    addr2city: Mapped[str] = mapped_column(default="")
    addr2state: Mapped[str] = mapped_column(default="")
    addr2zip: Mapped[str] = mapped_column(default="")
    addr2country: Mapped[str] = mapped_column(default="")
    custom_fields: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)

    @property
    def ids(self) -> RecordIds:
        """The ids that a trigger about this record carries."""
        return RecordIds(account_id=self.accountnum)


class Case(Base):
    """A case of a customer."""

    __tablename__ = "cases"

    casenum: Mapped[str] = mapped_column(primary_key=True)
    accountnum: Mapped[str] = mapped_column(ForeignKey("customers.accountnum"), index=True)
    subject: Mapped[str] = mapped_column(default="")
    description: Mapped[str] = mapped_column(Text, default="")
    status: Mapped[str] = mapped_column(default="Open", index=True)
    priority: Mapped[str] = mapped_column(default="Medium", index=True)
    severity: Mapped[str] = mapped_column(default="Information")
    category: Mapped[str] = mapped_column(default="Default")
    project: Mapped[str] = mapped_column(default="Default", index=True)
    visibility: Mapped[str] = mapped_column(default="Private")
    mediatype: Mapped[str] = mapped_column(default="Phone")
    assignedto: Mapped[str] = mapped_column(default="", index=True)
    assigneddate: Mapped[datetime | None] = mapped_column(UtcDateTime)
    createdby: Mapped[str] = mapped_column(default="")
    createddate: Mapped[datetime] = mapped_column(UtcDateTime)
    closedby: Mapped[str] = mapped_column(default="")
    closeddate: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lastactdate: Mapped[datetime] = mapped_column(UtcDateTime)
    custom_fields: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)

    @property
    def ids(self) -> RecordIds:
        """The ids that a trigger about this record carries."""
        return RecordIds(account_id=self.accountnum, case_id=self.casenum)


class Followup(Base):
    """A follow-up of a case; `accountnum` is the case's customer."""

    __tablename__ = "followups"

    followupnum: Mapped[str] = mapped_column(primary_key=True)
    casenum: Mapped[str] = mapped_column(ForeignKey("cases.casenum"), index=True)
    accountnum: Mapped[str] = mapped_column(ForeignKey("customers.accountnum"), index=True)
    subject: Mapped[str] = mapped_column(default="")
    body: Mapped[str] = mapped_column(Text, default="")
    direction: Mapped[str] = mapped_column(default="Outbound", index=True)
    mediatype: Mapped[str] = mapped_column(default="Phone")
    visibility: Mapped[str] = mapped_column(default="Private")
    createdby: Mapped[str] = mapped_column(default="")
    createddate: Mapped[datetime] = mapped_column(UtcDateTime)
    custom_fields: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)

    @property
    def ids(self) -> RecordIds:
        """The ids that a trigger about this record carries."""
        return RecordIds(
            account_id=self.accountnum, case_id=self.casenum, followup_id=self.followupnum
        )


class Task(Base):
    """A task tied to a customer."""

    __tablename__ = "tasks"

    tasknum: Mapped[str] = mapped_column(primary_key=True)
    accountnum: Mapped[str] = mapped_column(ForeignKey("customers.accountnum"), index=True)
    subject: Mapped[str] = mapped_column(default="")
    description: Mapped[str] = mapped_column(Text, default="")
    task_status: Mapped[str] = mapped_column(default="Pending", index=True)
    assignedto: Mapped[str] = mapped_column(default="", index=True)
    call_type: Mapped[str] = mapped_column(default="")
    media_type: Mapped[str] = mapped_column(default="Phone")
    middleware_url: Mapped[str] = mapped_column(default="")
    phone: Mapped[str] = mapped_column(default="")
    email: Mapped[str] = mapped_column(default="")
    duedate: Mapped[datetime | None] = mapped_column(UtcDateTime)
    createdby: Mapped[str] = mapped_column(default="")
    createddate: Mapped[datetime] = mapped_column(UtcDateTime)
    lastmoddate: Mapped[datetime] = mapped_column(UtcDateTime)
    transactionid: Mapped[str] = mapped_column(default="")
    parenttasknum: Mapped[str] = mapped_column(default="")
    custom_fields: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)

    @property
    def ids(self) -> RecordIds:
        """The ids that a trigger about this record carries."""
        return RecordIds(account_id=self.accountnum, task_id=self.tasknum)


Record = Customer | Case | Followup | Task

MODELS: dict[Kind, type[Record]] = {
    Kind.CUSTOMER: Customer,
    Kind.CASE: Case,
    Kind.FOLLOWUP: Followup,
    Kind.TASK: Task,
}
NUMBER_COLUMN: dict[Kind, str] = {
    Kind.CUSTOMER: "accountnum",
    Kind.CASE: "casenum",
    Kind.FOLLOWUP: "followupnum",
    Kind.TASK: "tasknum",
}


class RecordVersion(Base):
    """A record as it was after one change; a delete leaves a version without data."""

    __tablename__ = "record_versions"
    __table_args__ = (
        UniqueConstraint("kind", "record_id", "version"),
        Index("ix_record_versions_at", "kind", "record_id", "changed_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[Kind]
    record_id: Mapped[str]
    version: Mapped[int]  # 1 for the first
    event: Mapped[Event]
    origin: Mapped[Origin]
    actor: Mapped[str]
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    data: Mapped[dict[str, Any] | None] = mapped_column(
        JSON
    )  # columns by name; instants as ISO text


class CustomField(Base):
    """A custom field of a kind; records keep its value in `custom_fields`, under its name."""

    __tablename__ = "custom_fields"

    id: Mapped[int] = mapped_column(primary_key=True)  # the order on forms and on the wire
    kind: Mapped[Kind]
    name: Mapped[str]
    label: Mapped[str]
    type: Mapped[CustomType]
    default: Mapped[str] = mapped_column(default="")
    max_length: Mapped[int | None]
    required: Mapped[bool] = mapped_column(default=False)
    choices: Mapped[list[str]] = mapped_column(JSON, default=list)

    @property
    def definition(self) -> Definition:
        """As the administrator defined it."""
        return Definition(
            self.kind,
            self.name,
            self.label,
            self.type,
            self.default,
            self.max_length,
            self.required,
            tuple(self.choices),
        )


Index("uq_custom_fields_name", CustomField.kind, func.lower(CustomField.name), unique=True)
# What agents type letters of: beginnings are found, and lists sorted, whatever their case (of ASCII
# letters; SQLite knows no other). One index serves "Lovelace", "Lovelace Ada" and the sort by both.
_NAMES = Customer.lastname.concat(literal_column("' '")).concat(Customer.firstname)
FULL_NAME: ColumnElement[str] = collate(Grouping(_NAMES), "NOCASE")
FIRST_NAME: ColumnElement[str] = Customer.firstname.collate("NOCASE")
COMPANY: ColumnElement[str] = Customer.company.collate("NOCASE")
EMAIL: ColumnElement[str] = Customer.email.collate("NOCASE")
CASE_SUBJECT: ColumnElement[str] = Case.subject.collate("NOCASE")
FOLLOWUP_SUBJECT: ColumnElement[str] = Followup.subject.collate("NOCASE")
TASK_SUBJECT: ColumnElement[str] = Task.subject.collate("NOCASE")
Index("ix_customers_full_name", FULL_NAME)
Index("ix_customers_firstname_typed", FIRST_NAME)
Index("ix_customers_company_typed", COMPANY)
Index("ix_customers_email_typed", EMAIL)
Index("ix_cases_subject_typed", CASE_SUBJECT)
Index("ix_followups_subject_typed", FOLLOWUP_SUBJECT)
Index("ix_tasks_subject_typed", TASK_SUBJECT)
# Emails are unique whatever their case, but any number of customers may have none.
Index(
    "uq_customers_email",
    func.lower(Customer.email),
    unique=True,
    sqlite_where=Customer.email != "",
)


class NumberSequence(Base):
    """The next number to hand out for a kind (assumption records.numbers-in-sequence)."""

    __tablename__ = "number_sequences"

    kind: Mapped[Kind] = mapped_column(primary_key=True)
    next_number: Mapped[int]


class Agent(Base):
    """An agent of the contact center, by the id that CREATEDBY and ASSIGNEDTO show."""

    __tablename__ = "agents"

    agent_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]


class ApiAccess(Base):
    """The one row behind Integration > CRM API; the password is kept as a hash."""

    __tablename__ = "api_access"

    id: Mapped[int] = mapped_column(primary_key=True)  # always 1
    enabled: Mapped[bool]
    tenant: Mapped[str]
    username: Mapped[str]
    password_hash: Mapped[str]
    api_key_hash: Mapped[str]
    used_identity: Mapped[str]
    rights: Mapped[list[str]] = mapped_column(JSON)  # e.g. "Customer:Get", "Case:Modify"
