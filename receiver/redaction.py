"""Takes the content out of real traffic and leaves its form: pure, for `crm-receiver record`.

In: what came over the wire, a random key, and the words that must not be told. Out: the same with
placeholders in place of every value. Tags, order, attributes, white space, punctuation and lengths
stay; so do the words of an error, but for what could be a value.

    capital, small letter, digit     A, a, 9
    letter of ISO-8859-1, any other  é, ж
    a record's number                another one, of the same length, equal for equal numbers
    digits that read as a date       the same day for all, in the same notation
"""

import hmac
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote_to_bytes

NUMBER_TAGS = frozenset({"ACCOUNTNUM", "CASENUM", "FOLLOWUPNUM", "TASKNUM", "PARENTTASKNUM"})
_PARAMETERS = frozenset({"AccountID", "CaseID", "FollowupID", "TaskID"})
# Comments, CDATA, instructions and the like, tags (an attribute may hold a ">"), text.
_TOKENS = re.compile(
    r"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>"
    r"|<!(?:[^<>\[]|\[.*?\])*>"
    r"""|<(?:[^<>"']|"[^"]*"|'[^']*')*>|[^<]+""",
    re.DOTALL,
)
_NAME = re.compile(r"</?\s*([^\s/>]+)")
_ATTRIBUTE = re.compile(r"""([^\s=<>"'/]+)(\s*=\s*)("[^"]*"|'[^']*')""")
_REFERENCE = re.compile(r"&(?:#[0-9]+|#x[0-9A-Fa-f]+|[A-Za-z]+);|[^&]+|&", re.DOTALL)
_WORD = re.compile(r"\S+")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'|«[^»]*»|“[^”]*”")
_QUERY = re.compile(r"([&=?;#])")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_FIRST_YEAR, _LAST_YEAR = 1900, 2100
# What a date becomes: a day that can be read in one way only, where that was so.
_DATES = {
    ("%m%d%Y", "%d%m%Y"): "01021999",
    ("%m%d%Y",): "12311999",
    ("%d%m%Y",): "31121999",
    ("%Y%m%d",): "19991231",
}
_TIMES = {0: ("", ""), 4: ("%H%M", "2359"), 6: ("%H%M%S", "235958")}


class Redaction:
    """One recording's placeholders."""

    def __init__(self, key: bytes, hidden: Mapping[str, str]) -> None:
        """hidden: words that are never told, whatever they stand in, and what stands for each."""
        self._key = key
        words = sorted((word for word in hidden if word), key=len, reverse=True)
        self._hidden = {word.casefold(): hidden[word] for word in words}
        alternatives = "|".join(re.escape(word) for word in words)
        self._words = re.compile(alternatives or r"(?!)", re.IGNORECASE)

    def without_words(self, value: Any) -> Any:
        """The same lists, dicts and texts without the hidden words."""
        if isinstance(value, str):
            return self._words.sub(lambda found: self._hidden[found[0].casefold()], value)
        if isinstance(value, dict):
            return {self.without_words(name): self.without_words(v) for name, v in value.items()}
        if isinstance(value, list):
            return [self.without_words(one) for one in value]
        return value

    def number(self, text: str) -> str:
        """What stands for a record's number, in a trigger as in a reply."""
        digest = hmac.new(self._key, text.encode(), "sha512").digest()
        return "".join(
            _alike(char, digest[place % len(digest)], first=place == 0)
            for place, char in enumerate(text)
        )

    def value(self, text: str) -> str:
        """A value's kinds of characters."""
        return _date(text) or "".join(_kind_of(char) for char in text)

    def sentence(self, text: str, sent: Iterable[str] = ()) -> str:
        """An error's text: its words stay, unless they are quoted, hold a digit or an @, or were
        in the request.
        """
        text = self.without_words(text)
        for value in sorted(sent, key=len, reverse=True):
            text = text.replace(value, self.value(value))
        text = _QUOTED.sub(lambda q: q[0][0] + self.value(q[0][1:-1]) + q[0][-1], text)
        return _WORD.sub(
            lambda w: self.value(w[0]) if re.search(r"[\d@]|[^\x00-\x7f]", w[0]) else w[0], text
        )

    def query(self, raw: str) -> str:
        """A query string as it came: separators, names and percent-encoding stay."""
        shown, name = [], ""
        parts = _QUERY.split(raw)
        for place, part in enumerate(parts):
            follows = parts[place + 1] if place + 1 < len(parts) else ""
            if place % 2:
                shown.append(part)
            elif follows == "=" and _PLAIN_NAME.fullmatch(part):
                name = part
                shown.append(part)
            elif name in _PARAMETERS:
                shown.append(self._number_in_query(part))
                name = ""
            else:
                shown.append(self._value_in_query(part))
                name = ""
        return "".join(shown)

    def _number_in_query(self, part: str) -> str:
        plain = unquote_to_bytes(part).decode("latin-1")
        return self.number(part) if plain == part else self._value_in_query(part)

    def _value_in_query(self, part: str) -> str:
        return "".join(_in_query(one) for one in re.findall(r"%[0-9A-Fa-f]{2}|.", part, re.DOTALL))

    def xml(self, document: str, sent: Iterable[str] = ()) -> str:
        """A well-formed document with a placeholder for each value. sent: values of the request,
        which an error's text may repeat.
        """
        shown, tag = [], ""
        for token in _TOKENS.findall(document):
            if not token.startswith("<"):
                shown.append(self._text(tag, token))
            elif token.startswith("<?"):
                shown.append(token if token.startswith("<?xml ") else "<?redacted?>")
            elif token.startswith("<![CDATA["):
                shown.append(f"<![CDATA[{self._plain_text(tag, token[9:-3])}]]>")
            elif token.startswith("<!--"):
                shown.append("<!-- redacted -->")
            elif token.startswith("<!"):
                shown.append("<!DOCTYPE redacted>")
            else:
                found = _NAME.match(token)
                closes = token.startswith("</") or token.endswith("/>")
                tag = "" if closes or found is None else found[1].upper()
                shown.append(self._tag(token, tuple(sent)))
        return "".join(shown)

    def _tag(self, token: str, sent: tuple[str, ...]) -> str:
        def attribute(found: re.Match[str]) -> str:
            name, equals, quoted = found.groups()
            value = self._attribute(name, quoted[1:-1], sent)
            return f"{name}{equals}{quoted[0]}{value}{quoted[0]}"

        return _ATTRIBUTE.sub(attribute, token)

    def _attribute(self, name: str, value: str, sent: tuple[str, ...]) -> str:
        if name in ("STATUS", "ERROR_CODE") and re.fullmatch(r"-?\d{1,6}", value):
            return value
        if name in ("OBJECT", "ACTION") and re.fullmatch(r"[A-Za-z]{1,20}", value):
            return value
        return self.sentence(value, sent) if name == "ERROR_STR" else self._text("", value)

    def _text(self, tag: str, text: str) -> str:
        """Text as it stands in a document: references stay such, of the same kind."""
        if "&" not in text:
            return self._plain_text(tag, text)
        return "".join(
            _reference(part) if part.startswith("&") else self._plain_text("", part)
            for part in _REFERENCE.findall(text)
        )

    def _plain_text(self, tag: str, text: str) -> str:
        return self.number(text) if tag in NUMBER_TAGS and text.strip() else self.value(text)


def _alike(char: str, chance: int, *, first: bool) -> str:
    """Another character of the same kind; no number gets or loses a leading zero."""
    if char.isascii() and char.isdigit():
        if first:
            return "0" if char == "0" else str(1 + chance % 9)
        return str(chance % 10)
    if char.isascii() and char.isalpha():
        return chr((ord("A") if char.isupper() else ord("a")) + chance % 26)
    return _kind_of(char)


def _kind_of(char: str) -> str:
    if not char.isascii():
        return "é" if char <= "ÿ" else "ж"
    if char.isdigit():
        return "9"
    if char.isalpha():
        return "A" if char.isupper() else "a"
    return char


def _in_query(part: str) -> str:
    """A character, or a percent-encoded byte, of which punctuation stays: it says nothing."""
    if len(part) == 1:
        return _kind_of(part)
    byte = int(part[1:], 16)
    return "%61" if byte > 0x7F or chr(byte).isalnum() else part


def _date(text: str) -> str | None:
    """A day that stands for all that are written alike, or None where it is no date."""
    clock = _TIMES.get(len(text) - 8)
    if clock is None or not (text.isascii() and text.isdigit()):
        return None
    read = tuple(form for form in ("%m%d%Y", "%d%m%Y", "%Y%m%d") if _reads(text[:8], form))
    if not read:
        return None
    form, time = clock
    return _DATES[read] + (time if not form or _reads(text[8:], form) else "9" * len(time))


def _reads(text: str, form: str) -> bool:
    try:
        found = datetime.strptime(text, form)  # noqa: DTZ007 - a notation, not an instant
    except ValueError:
        return False
    return "%Y" not in form or _FIRST_YEAR <= found.year <= _LAST_YEAR


def _reference(written: str) -> str:
    if not written.startswith("&#"):
        return written  # &amp; and its like; a lone & as well
    code = int(written[3:-1], 16) if written[2] in "xX" else int(written[2:-1])
    if code > 0xFF:
        return "&#1078;"
    return "&#233;" if code > 0x9F else "&#13;" if code < 0x20 or code > 0x7E else "&#97;"
