"""The CRM API's client: a record's key to its record, errors as decisions (hop 7).

CrmApiError
  Temporary(retry_after_s)    try again later, however long it lasts
  Refused(kind)               our credentials or rights: stop asking, tell somebody
  BadAnswer(reply)            this record's answer cannot be used: counts towards dead
  NotAsked                    no call was made, because of what became of another one
"""

import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Protocol, TypeVar
from urllib.parse import urlencode

import structlog

from external_crm.rows import Key, Kind
from receiver.records import (
    ApiErrorReply,
    BadReply,
    Credentials,
    CrmRecord,
    get_request,
    is_doubtful,
    list_request,
    read_list,
    read_reply,
)
from receiver.transport import NoAnswer, Reply, TooLarge, Transport

T = TypeVar("T")

_NO_RECORD = "0"  # numbers are handed out in sequence, from a high one on
_LONGEST_RETRY_AFTER_S = 86_400.0
_REFUSAL = re.compile(
    r"credential|password|user ?name|tenant|api key|log ?in|denied|not (enabled|allowed|permitted)"
    r"|permission|authori[sz]|\bno right|\brights?\b",
    re.IGNORECASE,
)

_LONGEST_PREAMBLE = 4000
_BLANK = b" \t\r\n\xef\xbb\xbf\xff\xfe"  # byte order marks among them
# Declaration and comments may stand before it; atomic, or many of them would take for ever.
_WEB_PAGE = re.compile(
    rb"(?>(?>\s*<\?.*?\?>|\s*<!--.*?-->)*)\s*<(?:!doctype\s+html|html)\b",
    re.IGNORECASE | re.DOTALL,
)

log = structlog.get_logger()


class CrmApiError(Exception):
    """A read that gave no answer about the record; the message is a sentence."""


class Temporary(CrmApiError):
    """Worth trying again; `retry_after_s` where the API said how long to wait."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Refused(CrmApiError):
    """The API does not let us in, or not to this kind of record."""

    def __init__(self, message: str, kind: Kind | None = None) -> None:
        super().__init__(message)
        self.kind = kind


class NotAsked(CrmApiError):
    """The read was not sent; nothing is known of the record."""


class BadAnswer(CrmApiError):
    """An answer that cannot be used; `reply` is its beginning, for whoever looks into it."""

    def __init__(self, message: str, reply: str) -> None:
        super().__init__(message)
        self.reply = reply


class _Doubted(Exception):
    """One reply that brings no record; `reply` is its beginning, `error` what it says itself."""

    def __init__(self, reason: BadReply | str, reply: str) -> None:
        super().__init__(str(reason))
        self.reply = reply
        self.error = (reason.code, reason.text) if isinstance(reason, ApiErrorReply) else None


class _RefusedReply(_Doubted):
    """It reads like a refusal."""


class _Unusable(_Doubted):
    """It cannot be read, or says an error."""


class RecordSource(Protocol):
    """Where records are read from; the worker knows no more of the API than this."""

    def get(self, key: Key) -> CrmRecord | None:
        """The record as it is now, or None where there is none. Raises CrmApiError."""

    def children(self, kind: Kind, parent: Key) -> list[CrmRecord]:
        """Records of a kind that hang on a parent, all or some of them. Raises CrmApiError.

        Absence proves nothing (rule 10).
        """


class CrmApi:
    """Reads records over the XML CRM API."""

    def __init__(
        self,
        transport: Transport,
        base_url: str,
        credentials: Credentials,
        refused_codes: frozenset[str] = frozenset(),
    ) -> None:
        """refused_codes: ERROR_CODEs known to mean refused; nobody has published the list, so
        a text that speaks of credentials or rights means the same."""
        self._transport = transport
        self._base = base_url.rstrip("/")
        self._credentials = credentials
        self._refused_codes = refused_codes

    def get(self, key: Key) -> CrmRecord | None:
        """The record as it is now, or None where there is none. Raises CrmApiError."""
        request = get_request(key, self._credentials)
        return self._ask(str(key), key.kind, request, partial(read_reply, key))

    def children(self, kind: Kind, parent: Key) -> list[CrmRecord]:
        """Records of a kind that hang on a parent, all or some of them. Raises CrmApiError."""
        request = list_request(kind, parent, self._credentials)
        return self._ask(f"each {kind} of {parent}", kind, request, partial(read_list, kind))

    def _ask(self, about: str, kind: Kind, xml: bytes, read: Callable[[bytes], T]) -> T:
        """What the reply holds.

        A reply that brings no record is doubted until a second read, of a record that there is
        not, tells whose fault it is. Refused are we only if that one, of the same kind, is refused
        too; the API is at fault only if one of another kind gets nothing that can be read either,
        or the same error. Else it is this record's own reply, whatever it reads like.
        """
        try:
            return self._call(about, xml, read)
        except _Doubted as first:
            refused = isinstance(first, _RefusedReply)
            second = self._read_nobody(kind if refused else _another(kind))
            if refused and isinstance(second, _RefusedReply):
                raise Refused(str(first), kind) from first
            if isinstance(second, _Unusable) and second.error in (None, first.error):
                sentence = "The CRM API gives no usable reply, whatever is asked"
                raise Temporary(f"{sentence}. {second}") from first
            raise BadAnswer(str(first), first.reply) from first

    def _read_nobody(self, kind: Kind) -> "_Doubted | None":
        """What is wrong with the reply about a record that there is not, if anything."""
        nobody = Key(kind, _NO_RECORD)
        request = get_request(nobody, self._credentials)
        try:
            self._call(str(nobody), request, partial(read_reply, nobody))
        except _Doubted as doubted:
            return doubted
        except BadAnswer:
            pass  # too large: let in, at least
        return None

    def _call(self, about: str, xml: bytes, read: Callable[[bytes], T]) -> T:
        url, headers, body = addressed(self._base, xml, self._credentials)
        try:
            reply = self._transport.post(url, headers, body)
        except TooLarge as error:
            raise BadAnswer(str(error), _excerpt(error.beginning)) from error
        except NoAnswer as error:
            raise Temporary(str(error)) from error
        _check_status(reply)
        _check_origin(reply.body)
        try:
            found = read(reply.body)
        except ApiErrorReply as error:
            if error.code in self._refused_codes or _REFUSAL.search(error.text):
                raise _RefusedReply(error, _excerpt(reply.body)) from error
            raise _Unusable(error, _excerpt(reply.body)) from error
        except BadReply as error:
            raise _Unusable(error, _excerpt(reply.body)) from error
        if is_doubtful(reply.body):
            log.warning("doubtful encoding", record=about, declared="ISO-8859-1", looks="UTF-8")
        return found


def addressed(
    base: str, xml: bytes, credentials: Credentials
) -> tuple[str, Mapping[str, str], bytes]:
    """Where a request goes, with what headers, in what body: the endpoint of our credentials."""
    if credentials.api_key:
        headers = {
            "Content-Type": "application/xml",
            "X-8x8-Tenant": credentials.tenant,
            "x-api-key": credentials.api_key,
        }
        return f"{base}/cc/v1/wapi", headers, xml
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return f"{base}/WAPI/wapi.php", headers, urlencode({"xml_query": xml}).encode()


def _another(kind: Kind) -> Kind:
    return Kind.CASE if kind is Kind.CUSTOMER else Kind.CUSTOMER


def _check_status(reply: Reply) -> None:
    """Raise what an HTTP status other than 200 decides."""
    if reply.status in (401, 403):
        text = f"The CRM API answered with HTTP {reply.status}."
        raise _RefusedReply(text, _excerpt(reply.body))
    if reply.status != 200:
        after = _retry_after_s(reply.headers)
        raise Temporary(f"The CRM API answered with HTTP {reply.status}.", after)


def _check_origin(body: bytes) -> None:
    """Raise Temporary for what the API cannot have said: a web page, text, JSON, nothing at all.

    A proxy or a maintenance page stands before the API; it says nothing of the record. Anything
    that at least begins like XML may be broken by the record itself, and counts against it.
    """
    beginning = body[:_LONGEST_PREAMBLE].replace(b"\x00", b"").lstrip(_BLANK)
    if not beginning:
        raise Temporary("An empty answer came instead of the CRM API's.")
    if not beginning.startswith(b"<"):
        raise Temporary("Something that is no XML came instead of the CRM API's answer.")
    if _WEB_PAGE.match(beginning):
        raise Temporary("A web page came instead of the CRM API's answer.")


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds, or an HTTP date counted from the answer's own one; None where it makes no sense."""
    header = headers.get("retry-after", "").strip()
    if header.isascii() and header.isdigit():
        seconds = float(header)
    else:
        try:
            until = parsedate_to_datetime(header)
            seconds = (until - parsedate_to_datetime(headers.get("date", ""))).total_seconds()
        except (TypeError, ValueError):  # TypeError: one of them has no zone
            return None
    return seconds if 0 <= seconds <= _LONGEST_RETRY_AFTER_S else None


def _excerpt(body: bytes) -> str:
    return body[:2000].decode("utf-8", "replace").replace("\x00", "")
