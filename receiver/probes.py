"""Reads that a receiver never makes, to learn how the CRM API answers them (`record --probe`).

In: a transport, settings, numbers of records that there are. Out: nothing but what the transport
records, each under the name of its probe. Every one is a GET: nothing is changed, no credentials
are tried. Killed here: the rest is not asked.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from lxml import etree

from external_crm.rows import Key, Kind
from receiver.crm_api import CrmApi, CrmApiError, addressed
from receiver.recording_transport import RecordingTransport
from receiver.records import OBJECTS, CrmRecord, with_credentials
from receiver.settings import Settings
from receiver.transport import NoAnswer
from receiver.work import credentials_of, make_source

NOBODY = "0"  # a number that no record has
_FILTERS = {
    Kind.CUSTOMER: "FIRSTNAME LASTNAME EMAIL VOICE COMPANY CUSTOMERTYPE",
    Kind.CASE: "ACCOUNTNUM LASTNAME COMPANY STATUS PROJECT SUBJECT",
    Kind.TASK: "ASSIGNEDTO TASK_STATUS",
}
_ASSUMED_FILTERS = {Kind.FOLLOWUP: "CASENUM ACCOUNTNUM", Kind.TASK: "ACCOUNTNUM"}
_MISSING = "zzzz"  # a text that hardly any record has
Tags = Sequence[tuple[str, str]]


def ask_about(keys: Sequence[Key], settings: Settings, transport: RecordingTransport) -> None:
    """Read each record, and what hangs on it or beside it."""
    source = make_source(settings, transport)
    for key in keys:
        record = _read(source, key, transport)
        if record is None:
            continue
        parent = Key(Kind.CUSTOMER, record.fields.get("ACCOUNTNUM", NOBODY))
        kinds = [key.kind] if key.kind is not Kind.CUSTOMER else [Kind.CASE, Kind.TASK]
        for kind in kinds:
            transport.why = "list"
            with suppress(CrmApiError):  # it is in the recording
                source.children(kind, parent)


def probe(settings: Settings, transport: RecordingTransport, records: Sequence[Key]) -> None:
    """Ask everything once; records: some that there are."""
    for name, command in _questions():
        _ask(settings, transport, name, command)
    for key in records:
        for name, command in _questions_about(key, settings, transport):
            _ask(settings, transport, name, command)
    if not settings.api_key.get_secret_value():
        _ask_raw(settings, transport)


def ask_for_all(settings: Settings, transport: RecordingTransport) -> None:
    """A GET without a filter, which may be answered with every follow-up that there is."""
    _ask(settings, transport, "no-filter", _command("Followup"))


def _questions() -> Iterator[tuple[str, etree._Element]]:
    for kind in Kind:
        name, number = OBJECTS[kind]
        yield "not-found", _command(name, [(number, NOBODY)])
    for kind, tags in _FILTERS.items():
        name, number = OBJECTS[kind]
        own = [(number, NOBODY)] if kind is not Kind.TASK else []
        yield "filters", _command(name, [*own, *_each(tags)])
    for kind, tags in _ASSUMED_FILTERS.items():
        name, number = OBJECTS[kind]
        yield "more-filters", _command(name, [(number, NOBODY), *_each(tags)])
    yield "number-with-letters", _command("Customer", [("ACCOUNTNUM", "x")])
    yield "unknown-tag", _command("Customer", [("ACCOUNTNUM", NOBODY), ("NOSUCHTAG", "x")])
    yield "tag-twice", _command("Customer", [("ACCOUNTNUM", NOBODY)] * 2)
    yield "unknown-object", _command("Nosuch", [("ACCOUNTNUM", NOBODY)])
    yield "small-action", _command("Customer", [("ACCOUNTNUM", NOBODY)], "get")
    yield "small-object", _command("customer", [("accountnum", NOBODY)])


def _questions_about(
    key: Key, settings: Settings, transport: RecordingTransport
) -> Iterator[tuple[str, etree._Element]]:
    """Filters that hold a part of a value of this record, in other letters too."""
    name, number = OBJECTS[key.kind]
    if key.kind not in (Kind.CUSTOMER, Kind.CASE):
        return
    record = _read(make_source(settings, transport), key, transport)
    tag = "LASTNAME" if key.kind is Kind.CUSTOMER else "SUBJECT"
    text = record.fields.get(tag, "") if record else ""
    if len(text) < 4 or not text.isascii():
        return
    own = (number, key.id)
    if key.kind is Kind.CUSTOMER:
        yield "part-of-exact", _command(name, [own, (tag, text[:-1])])
        return
    yield "part-middle", _command(name, [own, (tag, text[1:-1].swapcase())])
    yield "part-beginning", _command(name, [own, (tag, text[:-1].swapcase())])


def _ask(
    settings: Settings, transport: RecordingTransport, name: str, command: etree._Element
) -> None:
    credentials = credentials_of(settings)
    transport.why = name
    base = settings.crm_api_url.rstrip("/")
    with suppress(NoAnswer):  # it is in the recording
        transport.post(*addressed(base, with_credentials(command, credentials), credentials))


def _ask_raw(settings: Settings, transport: RecordingTransport) -> None:
    """The same XML as real clients send it: not percent-encoded, with white space before it."""
    credentials = credentials_of(settings)
    given = credentials.tenant + credentials.username + credentials.password
    if set(given) & set("+%&<>") or not given.isascii():
        return  # they would not arrive as they are
    harmless = _command("Customer", [("ACCOUNTNUM", NOBODY)])
    cut = _command("Customer", [("ACCOUNTNUM", NOBODY), ("LASTNAME", "&")])
    url = f"{settings.crm_api_url.rstrip('/')}/WAPI/wapi.php"
    for name, command in (("raw", harmless), ("raw-ampersand", cut)):
        body = b"xml_query=\n  " + with_credentials(command, credentials)
        transport.why = name
        with suppress(NoAnswer):
            transport.post(url, {"Content-Type": "application/x-www-form-urlencoded"}, body)


def _command(name: str, tags: Tags = (), action: str = "GET") -> etree._Element:
    command = etree.Element("COMMAND", OBJECT=name, ACTION=action)
    for tag, text in tags:
        etree.SubElement(command, tag).text = text
    return command


def _each(tags: str) -> Tags:
    numbers = {number for _, number in OBJECTS.values()}
    return [(tag, NOBODY if tag in numbers else _MISSING) for tag in tags.split()]


def _read(source: CrmApi, key: Key, transport: RecordingTransport) -> CrmRecord | None:
    """A record, or None for whatever is none: what came is in the recording."""
    transport.why = "read"
    with suppress(CrmApiError):
        return source.get(key)
    return None
