"""From the body of a request to a call of the CRM API: pure.

In: bytes as they came. Out: Credentials and Command, or CallRefused. Nothing is expanded or
loaded: a document with a DOCTYPE is refused, and the parser reads no entity, DTD or network.

Real clients send `xml_query=` followed by XML that is percent-encoded or raw (api.raw-query).
The body is decoded here and not by Flask, whose form would be empty for one Latin-1 byte.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from lxml import etree

from simulator.crm_api.errors import CallRefused, Refusal

MOST_TAGS = 500  # in a command; a few for each field is plenty
_ENCODINGS = {  # lxml itself would take UTF-7 and more
    "UTF-8": "utf-8",
    "US-ASCII": "ascii",
    "ASCII": "ascii",
    "ISO-8859-1": "iso-8859-1",
}
_DECLARED = re.compile(rb"""<\?xml[^>]*?\sencoding\s*=\s*["']([^"'>]*)["']""")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_UTF_8_MARK, _UTF_16_MARKS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Credentials:
    """Who calls /WAPI/wapi.php."""

    tenant: str
    username: str
    password: str


@dataclass(frozen=True)
class Command:
    """What a caller wants; `object` and `action` as they were written."""

    object: str
    action: str
    values: tuple[tuple[str, str], ...]  # tags and their text, in the order given


def wapi_call(body: bytes, *, raw_as_sent: bool = False) -> tuple[Credentials, Command]:
    """What a request to /WAPI/wapi.php asks for (api.wapi-endpoint). Raises CallRefused.

    raw_as_sent: spare a raw xml_query what form decoding does to it (api.raw-query-decoded).
    """
    root = _parse(_xml_query(body, raw_as_sent))
    if _name(root) != "WAPI":
        raise CallRefused(Refusal.NO_COMMAND)
    texts = {_name(child): _text(child) for child in root if _name(child) != "COMMAND"}
    credentials = Credentials(
        texts.get("TENANT", ""), texts.get("USERNAME", ""), texts.get("PASSWORD", "")
    )
    commands = [child for child in root if _name(child) == "COMMAND"]
    if len(commands) != 1:
        raise CallRefused(Refusal.NO_COMMAND)
    return credentials, _command(commands[0])


def bare_command(body: bytes) -> Command:
    """What a request to /cc/v1/wapi asks for (api.cc-endpoint). Raises CallRefused."""
    return _command(_parse(body.strip()))


def _xml_query(body: bytes, raw_as_sent: bool) -> bytes:
    """The XML in the form; a raw one is cut at its first `&`, its `+` is a space and its `%41`
    an A, as form decoding has it.
    """
    begins = [found.end() for found in re.finditer(rb"(?:^|&)xml_query=", body)]
    if not begins:
        raise CallRefused(Refusal.MISSING_QUERY)
    if len(begins) > 1:
        raise CallRefused(Refusal.TWO_QUERIES)
    rest = body[begins[0] :]
    if raw_as_sent and rest.lstrip().startswith(b"<"):
        return rest[: rest.rfind(b">") + 1].strip()
    value = rest.split(b"&", 1)[0]
    return unquote_to_bytes(value.replace(b"+", b" ")).strip()


def _parse(xml: bytes) -> etree._Element:
    xml = xml.removeprefix(_UTF_8_MARK)
    _check_encoding(xml)
    if _CONTROL.search(xml):
        raise CallRefused(Refusal.CONTROL_CHARACTER)
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_pis=True,
        remove_comments=True,
    )
    try:
        root = etree.fromstring(xml, parser)
    except etree.XMLSyntaxError as error:
        raise _not_well_formed(xml, error) from None
    document = root.getroottree().docinfo
    if document.doctype or document.internalDTD is not None:
        raise CallRefused(Refusal.DOCTYPE)
    return root


def _check_encoding(xml: bytes) -> None:
    """Refuse an encoding that is not allowed, and a declaration that is not true: each would
    put other characters into a record than the caller meant (api.lying-encoding).
    """
    if xml.startswith(_UTF_16_MARKS):
        raise CallRefused(Refusal.ENCODING, "UTF-16")
    declared = _DECLARED.match(xml)
    name = declared[1].decode("ascii", "replace") if declared else "UTF-8"
    codec = _ENCODINGS.get(name.upper())
    if codec is None:
        raise CallRefused(Refusal.ENCODING, name)
    # Any bytes are Latin-1, but text that is not ASCII and still well-formed UTF-8 is UTF-8.
    latin_1 = codec == "iso-8859-1"
    if xml.isascii():
        return
    if _is_well_formed(xml, "utf-8" if latin_1 else codec) is latin_1:
        raise CallRefused(Refusal.LYING_ENCODING, name)


def _is_well_formed(xml: bytes, codec: str) -> bool:
    try:
        xml.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def _not_well_formed(xml: bytes, error: etree.XMLSyntaxError) -> CallRefused:
    if b"<!DOCTYPE" in xml:  # the parser gives up on some before it shows one
        return CallRefused(Refusal.DOCTYPE)
    if error.code == etree.ErrorTypes.ERR_INVALID_CHAR:  # written as &#1;
        return CallRefused(Refusal.CONTROL_CHARACTER)
    if "depth" in (error.msg or ""):
        return CallRefused(Refusal.TOO_DEEP)
    return CallRefused(Refusal.MALFORMED, max(1, error.position[0] or 1))


def _command(element: etree._Element) -> Command:
    given = {str(name).upper(): str(value) for name, value in element.attrib.items()}
    if _name(element) != "COMMAND" or not {"OBJECT", "ACTION"} <= given.keys():
        raise CallRefused(Refusal.NO_COMMAND)
    if len(element) > MOST_TAGS:
        raise CallRefused(Refusal.TOO_MANY_TAGS, MOST_TAGS)
    values = tuple((str(child.tag), _text(child)) for child in element)
    return Command(object=given["OBJECT"], action=given["ACTION"], values=values)


def _name(element: etree._Element) -> str:
    return str(element.tag).upper()


def _text(element: etree._Element) -> str:
    if len(element):
        raise CallRefused(Refusal.NESTED, element.tag)
    return element.text or ""
