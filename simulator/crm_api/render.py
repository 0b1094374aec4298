"""From records or a refusal to the bytes of a reply (api.reply): pure.

In: records of one kind, or number and sentence. Out: XML in ISO-8859-1, one ITEM a record,
tags in the order and spelling of `fields`, an empty element for an empty value
(records.empty-element), custom fields after them. Characters that ISO-8859-1 lacks are numeric
references (api.characters); those that XML cannot carry at all are left out.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from simulator.crm_api.errors import CallRefused
from simulator.local_crm.fields import FIELDS, Field
from simulator.local_crm.models import Record
from simulator.triggers.urls import Kind

CONTENT_TYPE = "text/xml; charset=ISO-8859-1"

_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# A parser turns a bare carriage return into a newline; the others are controls of Latin-1.
_BY_REFERENCE = re.compile("[\r\x7f-\x9f]")
_TAG_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def reply(kind: Kind, records: Iterable[Record]) -> bytes:
    """All records, one ITEM each; none is a success as well (api.nothing-found)."""
    items = "".join(f"{_item(kind, record)}\n" for record in records)
    return _document(f'<REPLY STATUS="0" ERROR_STR="" ERROR_CODE="0">\n{items}</REPLY>')


def error_reply(refused: CallRefused) -> bytes:
    """The number and sentence of a refusal (api.error-reply)."""
    sentence = _attribute(refused.sentence)
    return _document(f'<REPLY STATUS="-1" ERROR_STR="{sentence}" ERROR_CODE="{refused.number}"/>')


def _document(content: str) -> bytes:
    declaration = '<?xml version="1.0" encoding="ISO-8859-1"?>'
    text = f"{declaration}<WAPI>{content}</WAPI>\n"
    return text.encode("iso-8859-1", "xmlcharrefreplace")


def _item(kind: Kind, record: Record) -> str:
    pairs = [(field.tag, _value(record, field)) for field in FIELDS[kind]]
    pairs += [(tag, str(value)) for tag, value in record.custom_fields.items()]
    elements = (
        f"<{tag}>{_text(value)}</{tag}>" for tag, value in pairs if _TAG_NAME.fullmatch(tag)
    )
    return f"<ITEM>{''.join(elements)}</ITEM>"


def _value(record: Record, field: Field) -> str:
    value = getattr(record, field.name)
    if isinstance(value, datetime):
        return _date(value, with_time=field.tag == "DUEDATE")
    return "" if value is None else str(value)


def _date(instant: datetime, *, with_time: bool) -> str:
    """MMDDYYYY, or MMDDYYYYHHMM, in UTC (records.dates, records.dates-in-utc)."""
    return instant.astimezone(UTC).strftime("%m%d%Y%H%M" if with_time else "%m%d%Y")


def _text(value: str) -> str:
    plain = _NOT_IN_XML.sub("", value)
    escaped = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _BY_REFERENCE.sub(lambda found: f"&#{ord(found[0])};", escaped)


def _attribute(value: str) -> str:
    return " ".join(_text(value).replace('"', "&quot;").split())
