"""Reads a recording of real traffic, as `crm-receiver record` writes it.

In: a file of JSON lines. The first is {"what": "recording", "format": 1}; then triggers ({"what":
"trigger", ...}) and calls of the CRM API ({"what": "call", ...}) in any order; the last may be
{"what": "end"}. Values are placeholders, numbers of records are replaced one by one. Out: a
Recording. A last line that was cut off is left out.

    BadRecording(sentence)    the file is no such recording; the message names the line
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from lxml import etree

from simulator.objects import Kind

FORMAT = 1
_OBJECTS = {kind.lower(): kind for kind in Kind}
_DECLARATION = re.compile(r"^\s*<\?xml.*?\?>", re.DOTALL)
_IDS = re.compile(r"(AccountID|CaseID|FollowupID|TaskID)=([^&=?;#]*)")
_NUMBERS = {
    Kind.CUSTOMER: ("AccountID", "ACCOUNTNUM"),
    Kind.CASE: ("CaseID", "CASENUM"),
    Kind.FOLLOWUP: ("FollowupID", "FOLLOWUPNUM"),
    Kind.TASK: ("TaskID", "TASKNUM"),
}
_KIND_OF = {
    ("AccountID",): Kind.CUSTOMER,
    ("AccountID", "CaseID"): Kind.CASE,
    ("AccountID", "CaseID", "FollowupID"): Kind.FOLLOWUP,
    ("AccountID", "TaskID"): Kind.TASK,
}


# No answer at all; too many calls; what a proxy says while it cannot reach the API.
_NOT_BY_THE_API = (None, 429, 502, 503, 504)


class BadRecording(Exception):
    """The file cannot be used; the message is a sentence."""


@dataclass(frozen=True)
class Trigger:
    """One call of a trigger URL."""

    line: int
    at: datetime
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    other_headers: tuple[str, ...]
    body_bytes: int
    status: int
    call: int
    after_s: float | None
    step: int | None

    @cached_property
    def ids(self) -> list[tuple[str, str]]:
        """The documented parameters, as they came."""
        return _IDS.findall(self.query)

    @property
    def kind(self) -> Kind | None:
        """What the parameters' names say, whatever their order."""
        return _KIND_OF.get(tuple(sorted(name for name, _ in self.ids)))

    @property
    def number(self) -> str:
        """Of the record."""
        return dict(self.ids)[_NUMBERS[self.kind][0]] if self.kind else ""

    @property
    def box(self) -> tuple[str, str]:
        """Kind and event of the path, in small letters; empty where it has none."""
        kind, _, event = self.path.rstrip("/").rpartition("SECRET")[2].strip("/").partition("/")
        return kind.lower(), event.lower()


@dataclass(frozen=True)
class Item:
    """One record of a reply: tags as they are written, with their texts."""

    line: int
    at: datetime
    kind: Kind
    fields: tuple[tuple[str, str], ...]

    def get(self, tag: str) -> str:
        """A field's text; nothing where there is none."""
        return next((text for name, text in self.fields if name == tag), "")

    @property
    def number(self) -> str:
        """Of the record."""
        return self.get(_NUMBERS[self.kind][1])


@dataclass(frozen=True)
class Call:
    """One call of the CRM API with its reply."""

    line: int
    at: datetime
    why: str
    endpoint: str
    request: str
    status: int | None
    bytes: str
    body: str | None
    unkept: str | None

    @cached_property
    def command(self) -> etree._Element | None:
        """What was asked."""
        return _parsed(self.request)

    @property
    def kind(self) -> Kind | None:
        """What was asked for."""
        found = "" if self.command is None else self.command.get("OBJECT", "")
        return _OBJECTS.get(found.lower())

    @cached_property
    def filters(self) -> list[tuple[str, str]]:
        """Tags and texts of the request."""
        command = () if self.command is None else self.command
        return [(str(tag.tag), tag.text or "") for tag in command]

    @property
    def asks_for(self) -> str:
        """The number of the one record that is asked for, or nothing."""
        own = _NUMBERS[self.kind][1] if self.kind else ""
        return self.filters[0][1] if [tag for tag, _ in self.filters] == [own] else ""

    @cached_property
    def root(self) -> etree._Element | None:
        """The reply's root."""
        return _parsed(self.body or "")

    @cached_property
    def reply(self) -> etree._Element | None:
        """The element that has the status."""
        return None if self.root is None else self.root.find("REPLY")

    @property
    def succeeded(self) -> bool:
        """Whether the reply says so."""
        return self.reply is not None and self.reply.get("STATUS") == "0"

    @property
    def failed(self) -> bool:
        """Whether the reply says an error."""
        return self.reply is not None and self.reply.get("STATUS") != "0"

    @property
    def code(self) -> str:
        """The ERROR_CODE, nothing without a reply."""
        return "" if self.reply is None else self.reply.get("ERROR_CODE", "")

    @property
    def is_about_rights(self) -> bool:
        """Whether an error is about what the user may do: it says nothing of anything else."""
        text = "" if self.reply is None else self.reply.get("ERROR_STR", "")
        return bool(re.search(r"right|permission|denied|not (allowed|enabled)", text, re.I))

    @cached_property
    def items(self) -> list[Item]:
        """The records of a success."""
        if self.reply is None or self.kind is None or not self.succeeded:
            return []
        return [
            Item(
                self.line,
                self.at,
                self.kind,
                tuple((str(field.tag), field.text or "") for field in item),
            )
            for item in self.reply.findall("ITEM")
        ]


@dataclass(frozen=True)
class Recording:
    """All that was recorded."""

    triggers: tuple[Trigger, ...]
    calls: tuple[Call, ...]
    ended_at: datetime
    is_whole: bool  # it has its last line

    @cached_property
    def answered(self) -> tuple[Call, ...]:
        """The calls that the API itself answered, as far as one can tell."""
        return tuple(call for call in self.calls if call.status not in _NOT_BY_THE_API)

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """All records of all replies."""
        return tuple(item for call in self.answered for item in call.items)

    def probes(self, *names: str) -> Iterator[Call]:
        """The answered calls that were made to learn this."""
        return (call for call in self.answered if call.why in names)


def read(path: Path) -> Recording:
    """A file's recording. Raises BadRecording."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise BadRecording(f"{path} cannot be read: {error.strerror}.") from None
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()
    if not lines:
        raise BadRecording(f"{path} is empty. `crm-receiver record --output FILE` writes one.")
    told = [_line(path, number, line) for number, line in enumerate(lines, 1)]
    if told[0].get("what") != "recording":
        raise BadRecording(f"{path} is no recording: its first line must say so. {_ADVICE}")
    if told[0].get("format") != FORMAT:
        raise BadRecording(
            f"{path} has the format {told[0].get('format')}; this version reads {FORMAT}. {_ADVICE}"
        )
    triggers, calls = [], []
    for number, line in enumerate(told, 1):
        try:
            at = _instant(line["at"])
            if line["what"] == "trigger":
                triggers.append(_trigger(number, at, line))
            elif line["what"] == "call":
                calls.append(_call(number, at, line))
        except KeyError as error:
            raise BadRecording(f"Line {number} of {path} has no {error}. {_ADVICE}") from None
        except (TypeError, ValueError, AttributeError):
            raise BadRecording(
                f"Line {number} of {path} has a value of the wrong kind. {_ADVICE}"
            ) from None
    by_time = sorted(calls, key=lambda call: call.at)
    return Recording(
        tuple(sorted(triggers, key=lambda trigger: trigger.at)),
        tuple(by_time),
        max(_instant(line["at"]) for line in told),
        told[-1]["what"] == "end",
    )


_ADVICE = "Take a file as `crm-receiver record` wrote it."


def _line(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise BadRecording(f"Line {number} of {path} is no JSON object. {_ADVICE}")
    return found


def _instant(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("It has no zone.")
    return found


def _trigger(number: int, at: datetime, line: Mapping[str, Any]) -> Trigger:
    after = line["after_s"]
    return Trigger(
        number,
        at,
        str(line["method"]),
        str(line["path"]),
        str(line["query"]),
        dict(line["headers"]),
        tuple(map(str, line["other_headers"])),
        int(line["body_bytes"]),
        int(line["status"]),
        int(line["call"]),
        None if after is None else float(after),
        None if line["step"] is None else int(line["step"]),
    )


def _call(number: int, at: datetime, line: Mapping[str, Any]) -> Call:
    status = line["status"]
    return Call(
        number,
        at,
        str(line["why"]),
        str(line["endpoint"]),
        str(line["request"]),
        None if status is None else int(status),
        str(line.get("bytes", "")),
        _text(line.get("body")),
        _text(line.get("unkept")),
    )


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError("It is no text.")
    return value


def _parsed(document: str) -> etree._Element | None:
    """A document's root, or None: it was well-formed when it was recorded."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True
    )
    try:
        return etree.fromstring(_DECLARATION.sub("", document).encode(), parser)
    except etree.XMLSyntaxError:
        return None
