"""The CRM API's XML: pure, a record's key to a request, a reply's bytes to a record (hop 7).

In: bytes from outside, in whatever encoding they declare. Out: a CrmRecord, or None where the
reply says without an error that there is none; from a list, the records that can be read.

    BadReply(reason)               not a reply of the CRM API, or not to what was asked
      ApiErrorReply(code, text)    a reply that says an error
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lxml import etree

from external_crm.rows import Key, Kind

OBJECTS = {
    Kind.CUSTOMER: ("Customer", "ACCOUNTNUM"),
    Kind.CASE: ("Case", "CASENUM"),
    Kind.FOLLOWUP: ("Followup", "FOLLOWUPNUM"),
    Kind.TASK: ("Task", "TASKNUM"),
}
_ENCODINGS = {"UTF-8", "US-ASCII", "ISO-8859-1"}


class BadReply(Exception):
    """The reply cannot be read; the message is a sentence, whatever the reply put into it."""

    def __init__(self, sentence: str) -> None:
        super().__init__(_harmless(sentence))


class ApiErrorReply(BadReply):
    """The API answered with an error of its own."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"The CRM API answered with error {code}: {text}")
        self.code = code
        self.text = text


@dataclass(frozen=True)
class CrmRecord:
    """One ITEM: tags in upper case to text; custom fields are among them."""

    key: Key
    fields: Mapping[str, str]


@dataclass(frozen=True)
class Credentials:
    """What the endpoint asks for: tenant with user name and password, or tenant with an API key."""

    tenant: str
    username: str = ""
    password: str = ""
    api_key: str = ""


def get_request(key: Key, credentials: Credentials) -> bytes:
    """The XML that asks for one record: a whole WAPI document, or the bare COMMAND with a key."""
    return _request(key.kind, key, credentials)


def list_request(kind: Kind, parent: Key, credentials: Credentials) -> bytes:
    """The XML that asks for all records of a kind that hang on a parent."""
    return _request(kind, parent, credentials)


def _request(kind: Kind, named: Key, credentials: Credentials) -> bytes:
    """A GET of one kind, filtered by the number of one record."""
    command = etree.Element("COMMAND", OBJECT=OBJECTS[kind][0], ACTION="GET")
    etree.SubElement(command, OBJECTS[named.kind][1]).text = named.id
    return with_credentials(command, credentials)


def with_credentials(command: etree._Element, credentials: Credentials) -> bytes:
    """A COMMAND as the endpoint takes it: inside a WAPI document, or bare beside a key."""
    if credentials.api_key:
        return etree.tostring(command)
    root = etree.Element("WAPI")
    etree.SubElement(root, "TENANT").text = credentials.tenant
    etree.SubElement(root, "USERNAME").text = credentials.username
    etree.SubElement(root, "PASSWORD").text = credentials.password
    root.append(command)
    return etree.tostring(root)


def read_reply(key: Key, reply: bytes) -> CrmRecord | None:
    """The record that was asked for, or None where the reply holds no ITEM.

    Raises BadReply; a reply without a REPLY element never means "not found".
    """
    answer = _answered(reply)
    items = _items(answer)
    if not items:
        # A not-found may remove a row outside: only the documented form of it counts as one.
        if len(answer) or (answer.text or "").strip():
            raise BadReply("The reply holds no record, but something else in its place.")
        return None
    if len(items) > 1:
        raise BadReply(f"The reply holds {len(items)} records where one was asked for.")
    return _record(key, items[0])


def read_list(kind: Kind, reply: bytes) -> list[CrmRecord]:
    """The records of a list that can be read; one that cannot, or is there twice, is left out.

    What is not in a list is not gone: the reply may be capped or cut, the record may have moved
    (rule 10). Raises BadReply where there is no list.
    """
    records: dict[Key, list[CrmRecord]] = {}
    for item in _items(_answered(reply)):
        try:
            fields = _fields(item, f"a {kind} of the list")
        except BadReply:
            continue
        key = Key(kind, fields.get(OBJECTS[kind][1], ""))
        records.setdefault(key, []).append(CrmRecord(key, fields))
    return [found[0] for found in records.values() if len(found) == 1]


def _answered(reply: bytes) -> etree._Element:
    """The REPLY of an answer that is no error. Raises BadReply."""
    answer = _find_reply(reply)
    status, code = answer.get("STATUS", ""), answer.get("ERROR_CODE", "")
    if status.strip() != "0" or code.strip() not in ("", "0"):
        raise ApiErrorReply(code.strip() or status, answer.get("ERROR_STR", "").strip())
    return answer


def _items(answer: etree._Element) -> list[etree._Element]:
    return [child for child in answer if _tag(child) == "ITEM"]


def is_doubtful(reply: bytes) -> bool:
    """Whether a reply that was read as ISO-8859-1 is UTF-8 by all appearances.

    The parser cannot tell: any bytes are ISO-8859-1. Text of more than ASCII that happens to be
    UTF-8 all through hardly ever is anything else.
    """
    if reply.isascii() or b"8859-1" not in reply[:100]:
        return False
    try:
        reply.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _find_reply(reply: bytes) -> etree._Element:
    if not reply.strip():
        raise BadReply("The reply is empty.")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_pis=True,
        remove_comments=True,
    )
    try:
        root = etree.fromstring(reply, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise BadReply(f"The reply is not well-formed XML: {error}.") from error
    info = root.getroottree().docinfo
    if info.doctype or info.internalDTD is not None:
        raise BadReply("The reply has a DOCTYPE, which the CRM API never sends.")
    if (info.encoding or "UTF-8").upper() not in _ENCODINGS:
        raise BadReply(f"The reply declares the encoding {info.encoding}, which is not expected.")
    # The root is WAPI in one client's records and the user name in another's.
    found = root if _tag(root) == "REPLY" else next((c for c in root if _tag(c) == "REPLY"), None)
    if found is None:
        raise BadReply("The reply has no REPLY element.")
    return found


def _fields(item: etree._Element, of: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for child in item:
        tag = _tag(child)
        if len(child):
            raise BadReply(f"The field {tag} of {of} holds further elements.")
        if tag in fields:
            raise BadReply(f"The field {tag} of {of} is there twice.")
        fields[tag] = child.text or ""
    return fields


def _record(key: Key, item: etree._Element) -> CrmRecord:
    fields = _fields(item, str(key))
    answered = fields.get(OBJECTS[key.kind][1], "")
    if answered != key.id:
        raise BadReply(f"{key} was asked for, the reply holds {answered or 'no number'}.")
    return CrmRecord(key, fields)


def _harmless(sentence: str) -> str:
    """Fit for a log, a terminal and a column: bounded, and without control characters."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in sentence[:500])
    return f"{shown} ..." if len(sentence) > 500 else shown


def _tag(element: etree._Element) -> str:
    return str(element.tag).upper()
