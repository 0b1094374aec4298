"""The fields of the four objects and their rules: pure, the one place for forms, API and CSV.

In: nothing, or the custom fields that a tenant has defined. Out: FIELDS[kind], in the order of
the CRM API's ITEM (wire: records), `fields_of` with the custom ones after them, `check` and
`check_all`, which say in a sentence what is wrong with a value, and `check_definition`, which
says it of a custom field's definition.

Values are text. A custom Date is kept as the wire has it (MMDDYYYY); what agents and CSV files
write (MM/DD/YYYY) is turned into that by `read_slashed_date`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

from simulator.triggers.urls import Kind


class FieldType(StrEnum):
    """How a field is typed in and checked."""

    TEXT = "text"
    LONG_TEXT = "long text"
    EMAIL = "email"
    PICK = "pick list"
    AGENT = "agent"  # the id of an agent, or empty
    INSTANT = "instant"  # kept to the microsecond, shown on the wire as a date
    URL = "url"
    NUMBER = "number"
    DATE = "date"


class FieldClass(StrEnum):
    """What may be done to a field: look; edit values; define, change and remove it as well."""

    SYSTEM = "system"
    PREDEFINED = "predefined"
    CUSTOM = "custom"


class CustomType(StrEnum):
    """The types of a custom field, as CRM > Fields names them."""

    TEXT = "Text"
    URL = "URL"
    NUMBER = "Number"
    DATE = "Date"
    PICK_LIST = "Pick List"


class Unit(StrEnum):
    """What a length counts: the vendor says characters, for custom texts bytes (of UTF-8)."""

    CHARACTERS = "characters"
    BYTES = "bytes"


@dataclass(frozen=True)
class Field:
    """One field. No `max_length` is no limit. System fields are view only."""

    tag: str  # as the CRM API sends it; of a custom field its name (see `custom_tag`)
    label: str
    type: FieldType = FieldType.TEXT
    max_length: int | None = None
    required: bool = False
    field_class: FieldClass = FieldClass.PREDEFINED
    choices: tuple[str, ...] = ()
    default: str = ""  # what a new record has where nothing is given
    unit: Unit = Unit.CHARACTERS

    @property
    def name(self) -> str:
        """The column and form field; of a custom field its name as it was defined."""
        return self.tag if self.field_class is FieldClass.CUSTOM else self.tag.lower()

    @property
    def system(self) -> bool:
        """Whether it is view only."""
        return self.field_class is FieldClass.SYSTEM


@dataclass(frozen=True)
class Rules:
    """What settings change about the rules."""

    email_max_length: int = 254  # records.email-length: 40 on the import page


STANDARD = Rules()


def _pick(tag: str, label: str, choices: tuple[str, ...], default: str) -> Field:
    """A pick list that always has a value."""
    return Field(tag, label, FieldType.PICK, required=True, choices=choices, default=default)


_LONG, _WHEN, _AGENT, _SYSTEM = (
    FieldType.LONG_TEXT,
    FieldType.INSTANT,
    FieldType.AGENT,
    FieldClass.SYSTEM,
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
        Field("ACCOUNTNUM", "Account Number", field_class=_SYSTEM),
        # The service sends this one tag in lower case.
        _pick(
            "customertype", "Customer Type", ("Default", "Prospect", "Partner"), default="Default"
        ),
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
        Field("ACCOUNTNUM", "Account Number", field_class=_SYSTEM),
        Field("CASENUM", "Case Number", field_class=_SYSTEM),
        Field("SUBJECT", "Subject", max_length=255, required=True),
        Field("DESCRIPTION", "Description", _LONG, max_length=4000),
        _pick("STATUS", "Status", ("Open", "Pending", "Closed"), default="Open"),
        _pick("PRIORITY", "Priority", ("Low", "Medium", "High"), default="Medium"),
        _pick(
            "SEVERITY",
            "Severity",
            ("Information", "Minor", "Major", "Critical"),
            default="Information",
        ),
        _pick("CATEGORY", "Category", ("Default", "Billing", "Technical"), default="Default"),
        _pick("PROJECT", "Project", ("Default", "Support", "Sales"), default="Default"),
        _pick("VISIBILITY", "Visibility", VISIBILITY, default="Private"),
        _pick("MEDIATYPE", "Media Type", MEDIA, default="Phone"),
        Field("ASSIGNEDTO", "Assigned To", _AGENT),
        Field("ASSIGNEDDATE", "Assigned", _WHEN, field_class=_SYSTEM),
        Field("CREATEDBY", "Created By", field_class=_SYSTEM),
        Field("CREATEDDATE", "Created", _WHEN, field_class=_SYSTEM),
        Field("CLOSEDBY", "Closed By", field_class=_SYSTEM),
        Field("CLOSEDDATE", "Closed", _WHEN, field_class=_SYSTEM),
        Field("LASTACTDATE", "Last Activity", _WHEN, field_class=_SYSTEM),
    ),
    Kind.FOLLOWUP: (
        Field("ACCOUNTNUM", "Account Number", field_class=_SYSTEM),
        Field("CASENUM", "Case Number", field_class=_SYSTEM),
        Field("FOLLOWUPNUM", "Follow-up Number", field_class=_SYSTEM),
        Field("SUBJECT", "Subject", max_length=255, required=True),
        Field("BODY", "Body", _LONG, max_length=4000),
        _pick("DIRECTION", "Direction", ("Outbound", "Inbound"), default="Outbound"),
        _pick("MEDIATYPE", "Media Type", MEDIA, default="Phone"),
        _pick("VISIBILITY", "Visibility", VISIBILITY, default="Private"),
        Field("CREATEDBY", "Created By", field_class=_SYSTEM),
        Field("CREATEDDATE", "Created", _WHEN, field_class=_SYSTEM),
    ),
    Kind.TASK: (
        Field("TASKNUM", "Task Number", field_class=_SYSTEM),
        Field("ACCOUNTNUM", "Account Number", field_class=_SYSTEM),
        Field("SUBJECT", "Subject", max_length=255, required=True),
        Field("DESCRIPTION", "Description", _LONG, max_length=4000),
        _pick("TASK_STATUS", "Status", ("Pending", "In Progress", "Completed"), default="Pending"),
        Field("ASSIGNEDTO", "Assigned To", _AGENT),
        Field("CALL_TYPE", "Call Type", max_length=30),
        _pick("MEDIA_TYPE", "Media Type", MEDIA, default="Phone"),
        Field("MIDDLEWARE_URL", "Middleware URL", max_length=255),
        Field("PHONE", "Phone", max_length=38),
        Field("EMAIL", "Email", FieldType.EMAIL, max_length=254),
        Field("DUEDATE", "Due", _WHEN),
        Field("CREATEDBY", "Created By", field_class=_SYSTEM),
        Field("CREATEDDATE", "Created", _WHEN, field_class=_SYSTEM),
        Field("LASTMODDATE", "Last Modified", _WHEN, field_class=_SYSTEM),
        Field("TRANSACTIONID", "Transaction ID", field_class=_SYSTEM),
        Field("PARENTTASKNUM", "Parent Task", field_class=_SYSTEM),
    ),
}

BY_NAME: dict[Kind, dict[str, Field]] = {
    kind: {field.name: field for field in fields} for kind, fields in FIELDS.items()
}
# A customer's password is taken by Add and by CSV import; no reply, page or version shows it.
PASSWORD = Field("PASSWORD", "Password", max_length=15)
CUSTOM = "custom_fields"  # the key under which a record's custom values stand, by field name

# Of a tenant's own making (CRM > Fields).
NAME_LENGTH = LABEL_LENGTH = 32
DEFAULT_LENGTH = 85
CASE_TAG_SUFFIX = ".NAME"
_CUSTOM_LIMITS: dict[CustomType, tuple[FieldType, int | None, Unit]] = {
    CustomType.TEXT: (FieldType.LONG_TEXT, 4000, Unit.BYTES),
    CustomType.URL: (FieldType.URL, 4000, Unit.BYTES),
    CustomType.NUMBER: (FieldType.NUMBER, 255, Unit.CHARACTERS),
    CustomType.DATE: (FieldType.DATE, None, Unit.CHARACTERS),
    CustomType.PICK_LIST: (FieldType.PICK, None, Unit.CHARACTERS),
}
_RESERVED = {"PASSWORD", "AUTOPASSWD", CUSTOM.upper()}


@dataclass(frozen=True)
class Definition:
    """A custom field as an administrator defines it; without `max_length` the type's own holds."""

    kind: Kind
    name: str
    label: str
    type: CustomType
    default: str = ""
    max_length: int | None = None
    required: bool = False
    choices: tuple[str, ...] = ()

    @property
    def field(self) -> Field:
        """The field that it makes."""
        field_type, most, unit = _CUSTOM_LIMITS[self.type]
        return Field(
            self.name,
            self.label,
            field_type,
            max_length=most if self.max_length is None else self.max_length,
            required=self.required,
            field_class=FieldClass.CUSTOM,
            choices=self.choices,
            default=self.default,
            unit=unit,
        )


def fields_of(
    kind: Kind, custom: Sequence[Field] = (), rules: Rules = STANDARD
) -> tuple[Field, ...]:
    """All fields of a kind, the custom ones last."""
    standard = (
        replace(field, max_length=rules.email_max_length)
        if field.type is FieldType.EMAIL
        else field
        for field in FIELDS[kind]
    )
    return (*standard, *custom)


def custom_tag(kind: Kind, field: Field, case_suffix: str = CASE_TAG_SUFFIX) -> str:
    """The tag of a custom field in a reply: its name, in a case with `.NAME` after it, as clients
    show both (`queue_id`, `CF02.NAME`).
    """
    return field.tag + case_suffix if kind is Kind.CASE else field.tag


def custom_by_tag(
    kind: Kind, custom: Sequence[Field], case_suffix: str = CASE_TAG_SUFFIX
) -> dict[str, Field]:
    """Custom fields by what a request may call them, in capitals: the name, or the reply's tag."""
    by_name = {field.tag.upper(): field for field in custom}
    return by_name | {custom_tag(kind, field, case_suffix).upper(): field for field in custom}


def with_defaults(
    kind: Kind, values: Mapping[str, Any], custom: Sequence[Field] = ()
) -> dict[str, Any]:
    """The values of a new record: defaults where nothing was given, all custom fields there."""
    standard = {f.name: f.default for f in FIELDS[kind] if f.default and not values.get(f.name)}
    given = known_custom(values.get(CUSTOM, {}), custom)
    return {**values, **standard, CUSTOM: {**{f.name: f.default for f in custom}, **given}}


def known_custom(values: Mapping[str, str], custom: Sequence[Field]) -> dict[str, str]:
    """Custom values under the names as they were defined, whatever their case was."""
    spelling = {field.name.lower(): field.name for field in custom}
    return {spelling.get(name.lower(), name): value for name, value in values.items()}


def check(field: Field, value: str) -> str | None:
    """What is wrong with a text, as a sentence that names the field, or None.

    Instants are read by `read_wire_date` and its like before they come to a record.
    """
    if field.required and not value.strip():
        return f"{field.label} is required."
    if not value:
        return None
    return (
        _check_characters(field, value) or _check_length(field, value) or _check_type(field, value)
    )


def check_all(
    kind: Kind,
    values: Mapping[str, Any],
    custom: Sequence[Field] = (),
    rules: Rules = STANDARD,
) -> dict[str, str]:
    """A sentence for each field of `values` that breaks a rule, by field name.

    values: texts by column name, and under `custom_fields` texts by the custom field's name.
    """
    standard = {field.name: field for field in fields_of(kind, rules=rules)}
    problems = {n: check(standard[n], text) for n, text in values.items() if n != CUSTOM}
    by_name = {field.name: field for field in custom}
    for name, text in known_custom(values.get(CUSTOM, {}), custom).items():
        problems[name] = (
            check(by_name[name], text)
            if name in by_name
            else f"There is no custom field {name} for a {kind}."
        )
    return {name: problem for name, problem in problems.items() if problem is not None}


def check_definition(definition: Definition) -> dict[str, str]:
    """A sentence for each part of a definition that breaks a rule, by the part's name."""
    problems = {
        "name": _check_name(definition),
        "label": _check_label(definition.label),
        "max_length": _check_max_length(definition),
        "choices": _check_choices(definition),
        "default": _check_default(definition),
    }
    return {part: problem for part, problem in problems.items() if problem is not None}


def read_wire_date(text: str) -> datetime:
    """The instant that MMDDYYYY or MMDDYYYYHHMM names, in UTC. Raises ValueError."""
    parts = re.fullmatch(r"(\d\d)(\d\d)(\d{4})(?:(\d\d)(\d\d))?", text, re.ASCII)
    if parts is None:
        raise ValueError("A date has the form MMDDYYYY.")
    month, day, year, hour, minute = (int(part or 0) for part in parts.groups())
    return _instant(year, month, day, hour, minute)


def read_slashed_date(text: str) -> datetime:
    """The instant, midnight in UTC, that MM/DD/YYYY names. Raises ValueError."""
    parts = re.fullmatch(r"(\d\d)/(\d\d)/(\d{4})", text, re.ASCII)
    if parts is None:
        raise ValueError("A date has the form MM/DD/YYYY.")
    month, day, year = (int(part) for part in parts.groups())
    return _instant(year, month, day)


def wire_date(instant: date) -> str:
    """A date as the wire and custom Date fields have it: MMDDYYYY."""
    return f"{instant:%m%d%Y}"


def kept_date(typed: str) -> str:
    """What a custom Date keeps of MM/DD/YYYY; of a text that is none, one that no field keeps."""
    try:
        return wire_date(read_slashed_date(typed))
    except ValueError:
        return f"not a date: {typed}"


def slashed_date(kept: str) -> str:
    """MM/DD/YYYY for a custom Date as it is kept; nothing for nothing."""
    return f"{kept[:2]}/{kept[2:4]}/{kept[4:]}" if kept else ""


def _instant(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    if year < 1900:
        raise ValueError("The year is before 1900.")
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


_CONTROLS = re.compile("[\x00-\x1f]")
_CONTROLS_BUT_WHITE_SPACE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
_NOT_IN_XML = re.compile("[\ud800-\udfff\ufffe\uffff]")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)")
_URL = re.compile(r"(?i:https?|ftp)://[^\s/?#]+[^\s]*")


def _check_characters(field: Field, value: str) -> str | None:
    many_lines = field.type is FieldType.LONG_TEXT
    if (_CONTROLS_BUT_WHITE_SPACE if many_lines else _CONTROLS).search(value):
        return f"{field.label} contains a control character. Remove it."
    if alien := _NOT_IN_XML.search(value):
        return f"{field.label} contains U+{ord(alien[0]):04X}, which no XML can carry. Remove it."
    return None


def _check_length(field: Field, value: str) -> str | None:
    length = len(value.encode()) if field.unit is Unit.BYTES else len(value)
    if field.max_length is None or length <= field.max_length:
        return None
    return f"{field.label} is {length} {field.unit} long; at most {field.max_length} are allowed."


def _check_type(field: Field, value: str) -> str | None:
    if field.type is FieldType.PICK and value not in field.choices:
        return f"{field.label} must be one of: {', '.join(field.choices)}."
    if field.type is FieldType.EMAIL and not _looks_like_email(value):
        return f"{field.label} must be an address like name@example.com."
    if field.type is FieldType.URL and not _URL.fullmatch(value):
        return f"{field.label} must be an address like https://example.com/page."
    if field.type is FieldType.NUMBER and not _NUMBER.fullmatch(value):
        return f"{field.label} must be a number like 42 or -3.5."
    if field.type is FieldType.DATE and not _is_date(value):
        return f"{field.label} must be a date that exists, between the years 1900 and 9999."
    return None


def _is_date(value: str) -> bool:
    try:
        read_wire_date(value)
    except ValueError:
        return False
    return len(value) == len("MMDDYYYY")


def _looks_like_email(value: str) -> bool:
    local, at, domain = value.rpartition("@")
    return (
        bool(at and local and domain) and not any(c.isspace() for c in value) and "@" not in local
    )


def _check_name(definition: Definition) -> str | None:
    name = definition.name
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        return "Name must be letters, digits and underscores, and not begin with a digit."
    if len(name) > NAME_LENGTH:
        return f"Name is {len(name)} characters long; at most {NAME_LENGTH} are allowed."
    taken = {field.tag.upper() for field in FIELDS[definition.kind]} | _RESERVED
    if name.upper() in taken:
        return f"Name: {name} is a field of every {definition.kind} already."
    if name.upper().startswith("XML"):
        return "Name must not begin with XML, which no tag may."
    return None


def _check_label(label: str) -> str | None:
    if not label.strip():
        return "Label is required."
    if len(label) > LABEL_LENGTH:
        return f"Label is {len(label)} characters long; at most {LABEL_LENGTH} are allowed."
    if not all(c.isalnum() or c in " _" for c in label):
        return "Label must be letters, digits, spaces and underscores."
    return None


def _check_max_length(definition: Definition) -> str | None:
    _, most, unit = _CUSTOM_LIMITS[definition.type]
    if definition.max_length is None or (most and 1 <= definition.max_length <= most):
        return None
    if most is None:
        return f"A field of the type {definition.type} has no maximum length. Leave it out."
    return f"Maximum length of a field of the type {definition.type} is 1 to {most} {unit}."


def _check_choices(definition: Definition) -> str | None:
    choices = definition.choices
    if definition.type is not CustomType.PICK_LIST:
        return "Only a Pick List has choices. Leave them out." if choices else None
    if not choices or not all(choice.strip() for choice in choices):
        return "A Pick List needs at least one choice, and no empty one."
    if len(set(choices)) < len(choices):
        return "Each choice may be there once."
    each = Field("", "A choice", max_length=255)
    return next((problem for choice in choices if (problem := check(each, choice))), None)


def _check_default(definition: Definition) -> str | None:
    if not definition.default:
        return None
    as_text = Field("", "Default", max_length=DEFAULT_LENGTH)
    return check(as_text, definition.default) or check(
        replace(definition.field, label="Default", required=False), definition.default
    )
