"""The fields of the four objects and their rules: pure data, one place for forms and API.

In: nothing. Out: FIELDS[kind], in the order of the CRM API's ITEM (wire: records), and `check`,
which says in a sentence what is wrong with a value. Custom fields follow after these.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from simulator.triggers.urls import Kind


class FieldType(StrEnum):
    """How a field is typed in and checked."""

    TEXT = "text"
    LONG_TEXT = "long text"
    EMAIL = "email"
    PICK = "pick list"
    AGENT = "agent"  # the id of an agent, or empty
    INSTANT = "instant"  # kept to the microsecond, shown on the wire as a date


@dataclass(frozen=True)
class Field:
    """One field. `max_length` counts characters; None is no limit. System fields are view only."""

    tag: str  # exactly as the CRM API sends it
    label: str
    type: FieldType = FieldType.TEXT
    max_length: int | None = None
    required: bool = False
    system: bool = False
    choices: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The column and form field."""
        return self.tag.lower()


_PICK, _LONG, _WHEN, _AGENT = (
    FieldType.PICK,
    FieldType.LONG_TEXT,
    FieldType.INSTANT,
    FieldType.AGENT,
)
MEDIA = ("Phone", "Email", "Chat", "Voicemail", "Web Callback")
VISIBILITY = ("Private", "Public")

FIELDS: dict[Kind, tuple[Field, ...]] = {
    Kind.CUSTOMER: (
        Field("FIRSTNAME", "First Name", max_length=30, required=True),
        Field("LASTNAME", "Last Name", max_length=30, required=True),
        Field("COMPANY", "Company", max_length=50),
        Field("PBX", "PBX", max_length=38),
        Field("COMMENTS", "Comments", _LONG, max_length=400),
        Field("ACCOUNTNUM", "Account Number", system=True),
        # The service sends this one tag in lower case.
        Field("customertype", "Customer Type", _PICK, choices=("Default", "Prospect", "Partner")),
        Field("EMAIL", "Email", FieldType.EMAIL, max_length=254),
        Field("VOICE", "Voice", max_length=38),
        Field("ALTERNATIVE", "Alternative", max_length=38),
        Field("FAX", "Fax", max_length=38),
        Field("ADDR1STR1", "Address 1 Line 1", max_length=50),
        Field("ADDR1STR2", "Address 1 Line 2", max_length=50),
        Field("ADDR1CITY", "Address 1 City", max_length=50),
        Field("ADDR1STATE", "Address 1 State", max_length=40),
        Field("ADDR1ZIP", "Address 1 Zip", max_length=30),
        Field("ADDR1COUNTRY", "Address 1 Country", max_length=15),
        Field("ADDR2STR1", "Address 2 Line 1", max_length=50),
        Field("ADDR2STR2", "Address 2 Line 2", max_length=50),
        Field("ADDR2CITY", "Address 2 City", max_length=50),
        Field("ADDR2STATE", "Address 2 State", max_length=40),
        Field("ADDR2ZIP", "Address 2 Zip", max_length=30),
        Field("ADDR2COUNTRY", "Address 2 Country", max_length=15),
    ),
    Kind.CASE: (
        Field("ACCOUNTNUM", "Account Number", system=True),
        Field("CASENUM", "Case Number", system=True),
        Field("SUBJECT", "Subject", max_length=255, required=True),
        Field("DESCRIPTION", "Description", _LONG, max_length=4000),
        Field("STATUS", "Status", _PICK, choices=("Open", "Pending", "Closed")),
        Field("PRIORITY", "Priority", _PICK, choices=("Low", "Medium", "High")),
        Field("SEVERITY", "Severity", _PICK, choices=("Information", "Minor", "Major", "Critical")),
        Field("CATEGORY", "Category", _PICK, choices=("Default", "Billing", "Technical")),
        Field("PROJECT", "Project", _PICK, choices=("Default", "Support", "Sales")),
        Field("VISIBILITY", "Visibility", _PICK, choices=VISIBILITY),
        Field("MEDIATYPE", "Media Type", _PICK, choices=MEDIA),
        Field("ASSIGNEDTO", "Assigned To", _AGENT),
        Field("ASSIGNEDDATE", "Assigned", _WHEN, system=True),
        Field("CREATEDBY", "Created By", system=True),
        Field("CREATEDDATE", "Created", _WHEN, system=True),
        Field("CLOSEDBY", "Closed By", system=True),
        Field("CLOSEDDATE", "Closed", _WHEN, system=True),
        Field("LASTACTDATE", "Last Activity", _WHEN, system=True),
    ),
    Kind.FOLLOWUP: (
        Field("ACCOUNTNUM", "Account Number", system=True),
        Field("CASENUM", "Case Number", system=True),
        Field("FOLLOWUPNUM", "Follow-up Number", system=True),
        Field("SUBJECT", "Subject", max_length=255, required=True),
        Field("BODY", "Body", _LONG, max_length=4000),
        Field("DIRECTION", "Direction", _PICK, choices=("Outbound", "Inbound")),
        Field("MEDIATYPE", "Media Type", _PICK, choices=MEDIA),
        Field("VISIBILITY", "Visibility", _PICK, choices=VISIBILITY),
        Field("CREATEDBY", "Created By", system=True),
        Field("CREATEDDATE", "Created", _WHEN, system=True),
    ),
    Kind.TASK: (
        Field("TASKNUM", "Task Number", system=True),
        Field("ACCOUNTNUM", "Account Number", system=True),
        Field("SUBJECT", "Subject", max_length=255, required=True),
        Field("DESCRIPTION", "Description", _LONG, max_length=4000),
        Field("TASK_STATUS", "Status", _PICK, choices=("Pending", "In Progress", "Completed")),
        Field("ASSIGNEDTO", "Assigned To", _AGENT),
        Field("CALL_TYPE", "Call Type", max_length=30),
        Field("MEDIA_TYPE", "Media Type", _PICK, choices=MEDIA),
        Field("MIDDLEWARE_URL", "Middleware URL", max_length=255),
        Field("PHONE", "Phone", max_length=38),
        Field("EMAIL", "Email", FieldType.EMAIL, max_length=254),
        Field("DUEDATE", "Due", _WHEN),
        Field("CREATEDBY", "Created By", system=True),
        Field("CREATEDDATE", "Created", _WHEN, system=True),
        Field("LASTMODDATE", "Last Modified", _WHEN, system=True),
        Field("TRANSACTIONID", "Transaction ID", system=True),
        Field("PARENTTASKNUM", "Parent Task", system=True),
    ),
}

BY_NAME: dict[Kind, dict[str, Field]] = {
    kind: {field.name: field for field in fields} for kind, fields in FIELDS.items()
}


def check(field: Field, value: str) -> str | None:
    """What is wrong with a typed value, as a sentence that names the field, or None."""
    if field.required and not value.strip():
        return f"{field.label} is required."
    if not value:
        return None
    if field.max_length is not None and len(value) > field.max_length:
        return (
            f"{field.label} is {len(value)} characters long; "
            f"at most {field.max_length} are allowed."
        )
    allowed_controls = "\n\r\t" if field.type is FieldType.LONG_TEXT else ""
    if any(ord(c) < 32 and c not in allowed_controls for c in value):
        return f"{field.label} contains a control character. Remove it."
    if field.type is FieldType.PICK and value not in field.choices:
        return f"{field.label} must be one of: {', '.join(field.choices)}."
    if field.type is FieldType.EMAIL and not _looks_like_email(value):
        return f"{field.label} must be an address like name@example.com."
    return None


def check_all(kind: Kind, values: Mapping[str, str]) -> dict[str, str]:
    """A sentence for each field of `values` that breaks a rule, by field name."""
    by_name = BY_NAME[kind]
    problems = ((name, check(by_name[name], value)) for name, value in values.items())
    return {name: problem for name, problem in problems if problem is not None}


def _looks_like_email(value: str) -> bool:
    local, at, domain = value.rpartition("@")
    return (
        bool(at and local and domain) and not any(c.isspace() for c in value) and "@" not in local
    )
