"""From a record of the CRM API to a row of the External CRM: pure (hop 8).

THE FILE TO EDIT FIRST. A line says: this tag goes into this column, read like this. A tag that
no line names is a custom field and is kept under its tag in `custom_fields`, as text, or as the
type that CUSTOM_FIELDS below says; to give it a column, add the column to `external_crm` and a
line here.

    UnmappableRecord(sentence)    a value cannot be what its column holds
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from external_crm.rows import ROW_TYPES, Kind, Row
from receiver.records import CrmRecord


class UnmappableRecord(Exception):
    """A value that does not fit its column; the sentence names tag and value."""


def text(value: str) -> str:
    """As it is."""
    return value


def day(value: str) -> date | None:
    """A date as the CRM API writes it, MMDDYYYY; empty is None."""
    return datetime.strptime(value, "%m%d%Y").replace(tzinfo=UTC).date() if value else None


def minute(value: str) -> datetime | None:
    """An instant as the CRM API writes it, MMDDYYYYHHMM, or a date alone; empty is None."""
    if not value:
        return None
    layout = "%m%d%Y" if len(value) == 8 else "%m%d%Y%H%M"
    return datetime.strptime(value, layout).replace(tzinfo=UTC)


def number(value: str) -> int | float | None:
    """A number as JSON has it; empty is None."""
    if not value:
        return None
    if not re.fullmatch(r"[+-]?[0-9]+([.][0-9]+)?", value):
        raise ValueError("not a number")
    return float(value) if "." in value else int(value)


def iso_day(value: str) -> str | None:
    """A date, MMDDYYYY, as JSON has it: 2026-03-02; empty is None."""
    found = day(value)
    return found.isoformat() if found else None


Columns = Mapping[str, tuple[str, Callable[[str], Any]]]

CUSTOMER: Columns = {
    "ACCOUNTNUM": ("account_id", text),
    "FIRSTNAME": ("first_name", text),
    "LASTNAME": ("last_name", text),
    "COMPANY": ("company", text),
    "PBX": ("pbx", text),
    "COMMENTS": ("comments", text),
    "CUSTOMERTYPE": ("customer_type", text),
    "EMAIL": ("email", text),
    "VOICE": ("voice", text),
    "ALTERNATIVE": ("alternative", text),
    "FAX": ("fax", text),
    "ADDR1STR1": ("address1_line1", text),
    "ADDR1STR2": ("address1_line2", text),
    "ADDR1CITY": ("address1_city", text),
    "ADDR1STATE": ("address1_state", text),
    "ADDR1ZIP": ("address1_zip", text),
    "ADDR1COUNTRY": ("address1_country", text),
    "ADDR2STR1": ("address2_line1", text),
    "ADDR2STR2": ("address2_line2", text),
    "ADDR2CITY": ("address2_city", text),
    "ADDR2STATE": ("address2_state", text),
    "ADDR2ZIP": ("address2_zip", text),
    "ADDR2COUNTRY": ("address2_country", text),
}
CASE: Columns = {
    "CASENUM": ("case_id", text),
    "ACCOUNTNUM": ("account_id", text),
    "SUBJECT": ("subject", text),
    "DESCRIPTION": ("description", text),
    "STATUS": ("status", text),
    "PRIORITY": ("priority", text),
    "SEVERITY": ("severity", text),
    "CATEGORY": ("category", text),
    "PROJECT": ("project", text),
    "VISIBILITY": ("visibility", text),
    "MEDIATYPE": ("media_type", text),
    "ASSIGNEDTO": ("assigned_to", text),
    "ASSIGNEDDATE": ("assigned_date", day),
    "CREATEDBY": ("created_by", text),
    "CREATEDDATE": ("created_date", day),
    "CLOSEDBY": ("closed_by", text),
    "CLOSEDDATE": ("closed_date", day),
    "LASTACTDATE": ("last_activity_date", day),
}
FOLLOWUP: Columns = {
    "FOLLOWUPNUM": ("followup_id", text),
    "ACCOUNTNUM": ("account_id", text),
    "CASENUM": ("case_id", text),
    "SUBJECT": ("subject", text),
    "BODY": ("body", text),
    "DIRECTION": ("direction", text),
    "MEDIATYPE": ("media_type", text),
    "VISIBILITY": ("visibility", text),
    "CREATEDBY": ("created_by", text),
    "CREATEDDATE": ("created_date", day),
}
TASK: Columns = {
    "TASKNUM": ("task_id", text),
    "ACCOUNTNUM": ("account_id", text),
    "SUBJECT": ("subject", text),
    "DESCRIPTION": ("description", text),
    "TASK_STATUS": ("status", text),
    "ASSIGNEDTO": ("assigned_to", text),
    "CALL_TYPE": ("call_type", text),
    "MEDIA_TYPE": ("media_type", text),
    "MIDDLEWARE_URL": ("middleware_url", text),
    "PHONE": ("phone", text),
    "EMAIL": ("email", text),
    "DUEDATE": ("due_at", minute),
    "CREATEDBY": ("created_by", text),
    "CREATEDDATE": ("created_date", day),
    "LASTMODDATE": ("last_modified_date", day),
    "TRANSACTIONID": ("transaction_id", text),
    "PARENTTASKNUM": ("parent_task_id", text),
}
MAPPING: dict[Kind, Columns] = {
    Kind.CUSTOMER: CUSTOMER,
    Kind.CASE: CASE,
    Kind.FOLLOWUP: FOLLOWUP,
    Kind.TASK: TASK,
}
# Custom fields that are more than text: tag, in upper case, and how to read it.
CUSTOM_FIELDS: dict[Kind, Mapping[str, Callable[[str], Any]]] = {
    Kind.CUSTOMER: {},
    Kind.CASE: {},
    Kind.FOLLOWUP: {},
    Kind.TASK: {},
}
_PARENT_TAGS = {
    Kind.CUSTOMER: (),
    Kind.CASE: ("ACCOUNTNUM",),
    Kind.FOLLOWUP: ("ACCOUNTNUM", "CASENUM"),
    Kind.TASK: ("ACCOUNTNUM",),
}


def to_row(record: CrmRecord) -> Row:
    """The row that shows a record. Raises UnmappableRecord."""
    kind = record.key.kind
    for tag in _PARENT_TAGS[kind]:
        if not record.fields.get(tag):
            raise UnmappableRecord(f"{record.key} names no {tag}, so it hangs on nothing.")
    values: dict[str, Any] = {}
    custom: dict[str, Any] = {}
    for tag, value in record.fields.items():
        is_custom = tag not in MAPPING[kind]
        custom_read = CUSTOM_FIELDS[kind].get(tag, text)
        column, read = (tag, custom_read) if is_custom else MAPPING[kind][tag]
        try:
            (custom if is_custom else values)[column] = read(value)
        except ValueError:
            holder = f"no {read.__name__} is" if is_custom else f"{column} cannot hold"
            raise UnmappableRecord(
                f"{record.key} has {value[:40]!r} as {tag}, which {holder}."
            ) from None
    return ROW_TYPES[kind](**values, custom_fields=custom)
