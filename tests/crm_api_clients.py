"""Programs as they call the real service, and a parser that takes nothing but what it sends.

In: a Flask test client. Out: Replies. What goes out is byte for byte what public clients send:
raw XML with newlines and leading spaces after `xml_query=`, the same percent-encoded, or a bare
COMMAND after white space with two headers. The parser knows no XML library: it reads the reply
character by character and refuses whatever the service never sends.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode
from xml.sax.saxutils import escape

from flask.testing import FlaskClient

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
KEY_HEADERS = {
    "Content-Type": "application/xml",
    "X-8x8-Tenant": "demo",
    "x-api-key": "demo-api-key",
}
Tags = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Reply:
    """A reply as the strict parser read it; tags in order and as they are spelled."""

    root: str
    status: str
    error: str
    code: str
    items: list[list[tuple[str, str]]] = field(default_factory=list)
    number: tuple[str, str] | None = None  # the bare tag that answers an addition

    def column(self, tag: str) -> list[str]:
        """One value of each item."""
        assert (self.status, self.code) == ("0", "0"), self
        return [dict(item)[tag] for item in self.items]

    @property
    def added(self) -> str:
        """The number of the record that was added."""
        assert self.status == "0", self
        assert self.number is not None, self
        return self.number[1]

    @property
    def refused(self) -> tuple[str, str]:
        """Number and sentence of a refusal."""
        assert (self.status, self.items, self.number) == ("-1", [], None), self
        return self.code, self.error


def command(object_name: str, action: str, tags: Tags) -> str:
    """The XML of a command, spread over lines as in the clients' own sources."""
    lines = "\n".join(f"        <{tag}>{escape(text)}</{tag}>" for tag, text in tags)
    return f'<COMMAND OBJECT="{object_name}" ACTION="{action}">\n{lines}\n      </COMMAND>'


def document(content: str) -> str:
    """The whole document around a command."""
    return (
        "\n    <WAPI>\n      <TENANT>demo</TENANT>\n      <USERNAME>crmapi</USERNAME>\n"
        f"      <PASSWORD>crmapi-demo</PASSWORD>\n      {content}\n    </WAPI>"
    )


def raw(client: FlaskClient, object_name: str, action: str, *tags: tuple[str, str]) -> Reply:
    """A template string glued to `xml_query=`, as it stands."""
    body = "xml_query=" + document(command(object_name, action, tags))
    return _post(client, "/WAPI/wapi.php", FORM, body.encode())


def encoded(client: FlaskClient, object_name: str, action: str, *tags: tuple[str, str]) -> Reply:
    """The trimmed document in a proper form."""
    xml = document(command(object_name, action, tags)).strip()
    return _post(client, "/WAPI/wapi.php", FORM, urlencode({"xml_query": xml}).encode())


def with_key(client: FlaskClient, object_name: str, action: str, *tags: tuple[str, str]) -> Reply:
    """A bare COMMAND after a space, credentials in headers."""
    body = f" {command(object_name, action, tags)}"
    return _post(client, "/cc/v1/wapi", KEY_HEADERS, body.encode())


Client = Callable[..., Reply]
CLIENTS: tuple[Client, ...] = (raw, encoded, with_key)


def _post(client: FlaskClient, path: str, headers: dict[str, str], body: bytes) -> Reply:
    with client.post(path, headers=headers, data=body) as reply:
        assert reply.status_code == 200
        return read_reply(reply.data)


_DECLARATION = '<?xml version="1.0" encoding="ISO-8859-1"?>'
_OPEN_REPLY = re.compile(r'<REPLY STATUS="(0|-1)" ERROR_STR="([^"<>]*)" ERROR_CODE="([0-9]+)"(/?)>')
_ELEMENT = re.compile(r"<([A-Za-z_][A-Za-z0-9_.]*)(?:/>|>([^<>]+)</\1>)")
_REFERENCE = re.compile(r"&(?:#([0-9]+)|(amp|lt|gt|quot));")
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"'}


def read_reply(content: bytes) -> Reply:
    """The reply, or AssertionError for anything that the service does not send."""
    text = content.decode("iso-8859-1")
    assert text.startswith(_DECLARATION), text[:80]
    rest = text[len(_DECLARATION) :]
    root_tag = re.match(r"<([A-Z][A-Z0-9]*)>", rest)
    assert root_tag, rest[:80]
    root = root_tag[1]
    assert rest.endswith(f"</{root}>"), rest[-80:]
    rest = rest[root_tag.end() : -len(f"</{root}>")]
    head = _OPEN_REPLY.match(rest)
    assert head, rest[:200]
    status, error, code, closed = head.groups()
    rest = rest[head.end() :]
    if closed:
        assert rest == "", rest[:80]
        return Reply(root, status, _plain(error), code)
    assert status == "0"
    assert rest.startswith(" ") and rest.endswith(" </REPLY>"), rest[:80]
    rest = rest[1 : -len(" </REPLY>")]
    if not rest.startswith("<ITEM>"):
        ((tag, number),) = _elements(rest)
        return Reply(root, status, error, code, number=(tag, number))
    assert rest.endswith("</ITEM>")
    items = rest[len("<ITEM>") : -len("</ITEM>")].split("</ITEM><ITEM>")
    return Reply(root, status, error, code, [_elements(item) for item in items])


def _elements(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while at < len(text):
        element = _ELEMENT.match(text, at)
        assert element, text[at : at + 80]
        found.append((element[1], _plain(element[2] or "")))
        at = element.end()
    tags = [tag.upper() for tag, _ in found]
    assert len(set(tags)) == len(tags), tags
    return found


def _plain(text: str) -> str:
    assert "&" not in _REFERENCE.sub("", text), text
    for number, _ in _REFERENCE.findall(text):
        # What fits the encoding is sent as it is; only controls of Latin-1 come as references.
        assert not number or int(number) > 0xFF or int(number) in (13, *range(0x7F, 0xA0)), number
    return _REFERENCE.sub(lambda r: chr(int(r[1])) if r[1] else _NAMED[r[2]], text)
