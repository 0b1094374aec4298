"""From the body of a request to a call of the CRM API: pure.

In: bytes as they came. Out: Credentials and Command, or CallRefused. Nothing is expanded or
loaded: a document with a DOCTYPE is refused, and the parser reads no entity, DTD or network.

Real clients send `xml_query=` followed by XML that is percent-encoded or raw (api.raw-query).
A form decoder would cut raw XML at its first `&`, turn `+` into a space and drop the field for
one Latin-1 byte, so the body is read as it is (api.raw-query-unharmed).
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from lxml import etree

from simulator.crm_api.errors import CallRefused, Refusal

BODY_LIMIT = 1_000_000  # bytes (api.body-limit)
_ENCODINGS = {"UTF-8", "US-ASCII", "ASCII", "ISO-8859-1"}  # lxml itself would take UTF-7 and more


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


def wapi_call(body: bytes) -> tuple[Credentials, Command]:
    """What a request to /WAPI/wapi.php asks for (api.wapi-endpoint). Raises CallRefused."""
    root = _parse(_xml_query(body))
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


def _xml_query(body: bytes) -> bytes:
    field = re.search(rb"(?:^|&)xml_query=", body)
    if field is None:
        raise CallRefused(Refusal.MISSING_QUERY)
    rest = body[field.end() :]
    if rest.lstrip().startswith(b"<"):
        return rest[: rest.rfind(b">") + 1].strip()
    value = rest.split(b"&", 1)[0]
    return unquote_to_bytes(value.replace(b"+", b" ")).strip()


def _parse(xml: bytes) -> etree._Element:
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
        if b"<!DOCTYPE" in xml:  # the parser gives up on some before it shows one
            raise CallRefused(Refusal.DOCTYPE) from None
        raise CallRefused(Refusal.MALFORMED, error.msg) from None
    except LookupError:  # an encoding that nobody knows
        raise CallRefused(Refusal.ENCODING, "that it names") from None
    document = root.getroottree().docinfo
    if document.doctype or document.internalDTD is not None:
        raise CallRefused(Refusal.DOCTYPE)
    if (document.encoding or "UTF-8").upper() not in _ENCODINGS:
        raise CallRefused(Refusal.ENCODING, document.encoding)
    return root


def _command(element: etree._Element) -> Command:
    given = {str(name).upper(): str(value) for name, value in element.attrib.items()}
    if _name(element) != "COMMAND" or not {"OBJECT", "ACTION"} <= given.keys():
        raise CallRefused(Refusal.NO_COMMAND)
    values = tuple((str(child.tag), _text(child)) for child in element)
    return Command(object=given["OBJECT"], action=given["ACTION"], values=values)


def _name(element: etree._Element) -> str:
    return str(element.tag).upper()


def _text(element: etree._Element) -> str:
    if len(element):
        raise CallRefused(Refusal.NESTED, element.tag)
    return element.text or ""
