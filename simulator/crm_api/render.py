"""From rows or a refusal to the bytes of a reply (api.reply): pure.

In: rows of one kind, or a number, or a refusal. Out: XML in ISO-8859-1, one ITEM a record, tags
in the order and spelling of `fields`, an empty element for an empty value
(records.empty-element), custom fields after them. Characters that ISO-8859-1 lacks are numeric
references (api.characters); those that XML cannot carry at all are left out.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from simulator.crm_api.errors import CallRefused
from simulator.local_crm.fields import FIELDS, Field, custom_tag
from simulator.settings import Settings
from simulator.triggers.urls import Kind

CONTENT_TYPE = "text/xml; charset=ISO-8859-1"
CHUNK_BYTES = 64_000  # at least so much is sent at once

_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# A parser turns a bare carriage return into a newline; the others are controls of Latin-1.
_BY_REFERENCE = re.compile("[\r\x7f-\x9f]")
_TO_ESCAPE = re.compile("[&<>\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_ROOT = re.compile(r"[A-Z_][A-Z0-9_.-]*", re.ASCII)
_DECLARATION = '<?xml version="1.0" encoding="ISO-8859-1"?>'
_SUCCESS = '<REPLY STATUS="0" ERROR_STR="" ERROR_CODE="0"'
Row = Sequence[Any]  # the values of FIELDS[kind], then the custom values by field name


def reply_chunks(
    kind: Kind, custom: Sequence[Field], rows: Iterable[Row], root: str, settings: Settings
) -> Iterator[bytes]:
    """All records, one ITEM each, in chunks as the rows come; none is a success as well
    (api.nothing-found).
    """
    item = _item_renderer(kind, custom, settings)
    parts, size = [f"{_DECLARATION}<{root}>{_SUCCESS}> "], 0
    nothing = True
    for row in rows:
        nothing = False
        parts.append(text := item(row))
        size += len(text)
        if size >= CHUNK_BYTES:
            yield _encode("".join(parts), settings)
            parts, size = [], 0
    if nothing:
        yield _encode(_document(root, f"{_SUCCESS}/>"), settings)
    else:
        yield _encode("".join([*parts, f" </REPLY></{root}>"]), settings)


def number_reply(tag: str, number: str, root: str, settings: Settings) -> bytes:
    """The answer to an addition: the new record's number in its tag (api.add-reply)."""
    element = f"<{tag}>{number}</{tag}>"
    if settings.api_add_reply == "item":
        element = f"<ITEM>{element}</ITEM>"
    return _encode(_document(root, f"{_SUCCESS}> {element} </REPLY>"), settings)


def success_reply(root: str, settings: Settings) -> bytes:
    """The answer to a modification: nothing but success (api.modify-reply)."""
    return _encode(_document(root, f"{_SUCCESS}/>"), settings)


def error_reply(refused: CallRefused, root: str, settings: Settings) -> bytes:
    """The number and sentence of a refusal (api.error-reply)."""
    sentence = _attribute(refused.sentence)
    return _encode(
        _document(
            root, f'<REPLY STATUS="-1" ERROR_STR="{sentence}" ERROR_CODE="{refused.number}"/>'
        ),
        settings,
    )


def root_for(username: str, settings: Settings) -> str:
    """The root's name: WAPI, or the upper-cased user name where it is one (api.root)."""
    name = username.upper()
    named = settings.api_reply_root == "username" and _ROOT.fullmatch(name)
    return name if named else "WAPI"


def _document(root: str, content: str) -> str:
    return f"{_DECLARATION}<{root}>{content}</{root}>"


def _encode(text: str, settings: Settings) -> bytes:
    as_reference = settings.api_characters == "reference"
    return text.encode("iso-8859-1", "xmlcharrefreplace" if as_reference else "replace")


def _item_renderer(kind: Kind, custom: Sequence[Field], settings: Settings) -> Callable[[Row], str]:
    """What makes an ITEM of a row: made once for a reply of 50,000."""
    zone = ZoneInfo(settings.api_time_zone)
    with_time = settings.api_duedate_reply == "minutes"
    tags = [
        (f.tag, "%m%d%Y%H%M" if f.tag == "DUEDATE" and with_time else "%m%d%Y")
        for f in FIELDS[kind]
    ]
    custom_tags = [(custom_tag(kind, f, settings.custom_tag_suffix), f.name) for f in custom]

    def item(row: Row) -> str:
        parts = ["<ITEM>"]
        for (tag, date_format), value in zip(tags, row, strict=False):
            if not value:
                parts.append(f"<{tag}/>")
            elif isinstance(value, datetime):  # records.dates, records.dates-in-utc
                parts.append(f"<{tag}>{value.astimezone(zone).strftime(date_format)}</{tag}>")
            else:
                parts.append(_element(tag, value))
        given = row[-1]
        parts += [_element(tag, given.get(name, "")) for tag, name in custom_tags]
        parts.append("</ITEM>")
        return "".join(parts)

    return item


def _element(tag: str, value: str) -> str:
    text = _text(value)
    return f"<{tag}>{text}</{tag}>" if text else f"<{tag}/>"


def _text(value: str) -> str:
    if not _TO_ESCAPE.search(value):
        return value
    plain = _NOT_IN_XML.sub("", value)
    escaped = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _BY_REFERENCE.sub(lambda found: f"&#{ord(found[0])};", escaped)


def _attribute(value: str) -> str:
    return " ".join(_text(value).replace('"', "&quot;").split())
