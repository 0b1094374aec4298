"""What a trigger says: pure, from path and query string to a Trigger (hop 5).

In: the part of the path behind the secret, and the raw query string. Out: a Trigger, whose kind
is the one its parameters tell. Nothing of it is data; it only names a record to read.

    BadTrigger(sentence)    the request is none; answered with 400 and kept among the rejects
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote_to_bytes

from external_crm.rows import Key, Kind


class Event(StrEnum):
    """What the box of the URL says an agent did."""

    CREATE = "create"
    EDIT = "edit"
    DELETE = "delete"


class BadTrigger(Exception):
    """A request that names no record; the message is a sentence for whoever set up the URL."""


@dataclass(frozen=True)
class Trigger:
    """One call of a CRM trigger. `event` is None where one URL serves all boxes."""

    kind: Kind
    event: Event | None
    record_id: str
    account_id: str
    case_id: str | None
    url_kind: Kind | None  # what the path says; a hint that may be pasted into the wrong box

    @property
    def key(self) -> Key:
        """The record to read."""
        return Key(self.kind, self.record_id)

    @property
    def in_wrong_box(self) -> bool:
        """Whether the path says another kind than the parameters."""
        return self.url_kind is not None and self.url_kind is not self.kind


PARAMETERS = ("AccountID", "CaseID", "FollowupID", "TaskID")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")  # an opaque string (assumption of the contract)
_SHAPES: dict[frozenset[str], tuple[Kind, str]] = {
    frozenset({"AccountID"}): (Kind.CUSTOMER, "AccountID"),
    frozenset({"AccountID", "CaseID"}): (Kind.CASE, "CaseID"),
    frozenset({"AccountID", "CaseID", "FollowupID"}): (Kind.FOLLOWUP, "FollowupID"),
    frozenset({"AccountID", "TaskID"}): (Kind.TASK, "TaskID"),
}


def parse(box: str, query: bytes) -> Trigger:
    """The trigger that a request means.

    box: the path behind the secret: empty, or kind/event as in "case/edit".
    query: the query string as received, still percent-encoded. Raises BadTrigger.
    """
    url_kind, event = _parse_box(box)
    ids = _parse_query(query)
    shape = _SHAPES.get(frozenset(ids))
    if shape is None:
        raise BadTrigger(_wrong_shape(ids))
    kind, id_parameter = shape
    return Trigger(kind, event, ids[id_parameter], ids["AccountID"], ids.get("CaseID"), url_kind)


def _parse_box(box: str) -> tuple[Kind | None, Event | None]:
    if not box:
        return None, None
    kind, _, event = box.partition("/")
    try:
        return Kind(kind.lower()), Event(event.lower())
    except ValueError:
        raise BadTrigger(
            "The URL must end with the secret, or with a kind and an event behind it, "
            "as in /case/edit. `crm-receiver urls` prints all of them."
        ) from None


def _parse_query(query: bytes) -> dict[str, str]:
    ids: dict[str, str] = {}
    for part in query.split(b"&"):
        raw_name, _, raw_value = part.partition(b"=")
        name = raw_name.decode("ascii", "replace")
        if name not in PARAMETERS:
            continue  # unknown parameters are ignored
        if name in ids:
            raise BadTrigger(f"{name} is given twice.")
        value = unquote_to_bytes(raw_value).decode("ascii", "replace")
        if not value:
            raise BadTrigger(f"{name} is empty.")
        if len(value) > 64:
            raise BadTrigger(f"{name} is longer than 64 characters.")
        if not _ID.fullmatch(value):
            raise BadTrigger(f"{name} may hold letters, digits and - _ . only.")
        ids[name] = value
    return ids


def _wrong_shape(ids: dict[str, str]) -> str:
    if not ids:
        return "AccountID is missing: no parameter of a CRM trigger was given."
    if "AccountID" not in ids:
        return "AccountID is missing."
    if "FollowupID" in ids and "CaseID" not in ids:
        return "CaseID is missing beside FollowupID."
    return f"{' and '.join(name for name in PARAMETERS if name in ids)} do not go together."
