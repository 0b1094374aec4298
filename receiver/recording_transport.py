"""Writes down the calls of the CRM API, between its client and the network (hop 7).

In: a request of ours. Out: the reply as it came, or NoAnswer, and a line of a recording. Killed
here: as without it.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

import structlog
from lxml import etree

from receiver.recording import Recording, sort_headers
from receiver.transport import Reply, Transport

log = structlog.get_logger()

LONGEST_BODY = 1_000_000  # of a reply that is kept


class RecordingTransport:
    """A transport that writes down what goes over another."""

    def __init__(self, behind: Transport, recording: Recording, why: str = "work") -> None:
        self.why = why
        self._behind = behind
        self._recording = recording

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """The complete answer. Raises NoAnswer."""
        at = self._recording.clock.now()
        reply = None
        try:
            reply = self._behind.post(url, headers, body)
            return reply
        finally:
            try:
                self._recording.write(self._line(url, headers, body, reply, at), at)
            except Exception as error:  # what is odd about a reply is the caller's business
                log.warning("not recorded", error=type(error).__name__)

    def _line(
        self, url: str, headers: Mapping[str, str], body: bytes, reply: Reply | None, at: datetime
    ) -> dict[str, Any]:
        took = self._recording.clock.now() - at
        redaction = self._recording.redaction
        command, sent = _command(body)
        line = {
            "what": "call",
            "took_ms": round(took.total_seconds() * 1000),
            "why": self.why,
            "endpoint": "/cc/v1/wapi" if url.endswith("/cc/v1/wapi") else "/WAPI/wapi.php",
            "request_type": headers.get("Content-Type"),
            "request": redaction.xml(command),
            "status": reply and reply.status,
        }
        if reply is None:
            return line
        matter, others = sort_headers(reply.headers)
        kept, unkept = _document(reply.body)
        return line | {
            "headers": matter,
            "other_headers": others,
            "bytes": _bytes(reply.body),
            "body": redaction.xml(kept, sent) if kept else None,
            "unkept": unkept,
        }


def _command(body: bytes) -> tuple[str, list[str]]:
    """The COMMAND of a request of ours, without the credentials around it, and its values."""
    xml = body
    if b"xml_query=" in body:
        decoded = parse_qs(body, keep_blank_values=True)[b"xml_query"][0]
        xml = decoded if b"</COMMAND>" in decoded else body.partition(b"=")[2]  # cut at an &
    found = re.search(rb"<COMMAND.*(</COMMAND>|/>)", xml, re.DOTALL)
    text = found[0].decode("utf-8") if found else ""
    return text, [value for value in re.findall(r">([^<>]{2,})<", text) if value.strip()]


def _document(body: bytes) -> tuple[str, str | None]:
    """A reply as text, or why it is not kept."""
    if len(body) > LONGEST_BODY:
        return "", "too large"
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        info = etree.fromstring(body, parser).getroottree().docinfo
        return body.decode(info.encoding or "utf-8"), None
    except (etree.XMLSyntaxError, ValueError, LookupError):
        return "", "no XML"


def _bytes(body: bytes) -> str:
    if body.isascii():
        return "ascii"
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return "other"
    return "utf-8"
