"""ADD and MODIFY: from a command's tags to a change of the Local CRM, by origin api.

In: a session that may write, the kind, the tags, the author, now. Out: the number of the record,
or CallRefused: then nothing was changed. No trigger fires (trigger.agent-only). Killed before the
commit: nothing happened; the caller asks again, and may then add a record twice.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from simulator.crm_api.errors import CallRefused, Refusal, value_test
from simulator.crm_api.tags import AUTOPASSWD, PASSWORD, Tag, known_tags, read_tags
from simulator.local_crm import changes, custom_fields, fields, passwords, queries
from simulator.local_crm.changes import Author, ChangeRefused, EmailTaken
from simulator.local_crm.fields import Field, FieldClass, FieldType
from simulator.local_crm.models import NUMBER_COLUMN
from simulator.local_crm.secrets import hash_secret
from simulator.settings import Settings
from simulator.triggers.urls import Kind

# Which tag names the record that a new one belongs to (records.parents).
PARENT_TAG: dict[Kind, tuple[Kind, str]] = {
    Kind.CASE: (Kind.CUSTOMER, "ACCOUNTNUM"),
    Kind.FOLLOWUP: (Kind.CASE, "CASENUM"),
    Kind.TASK: (Kind.CUSTOMER, "ACCOUNTNUM"),
}
# A follow-up's customer is its case's; callers may say it all the same.
_CONFIRMED = {Kind.FOLLOWUP: "ACCOUNTNUM"}
_LONGEST_NUMBER = 64
Values = Sequence[tuple[str, str]]


def password_hash(values: Values) -> str:
    """The hash of a PASSWORD among the values, or nothing: slow, so before the lock is taken.

    Raises CallRefused for one that is too long.
    """
    for tag, text in values:
        if tag.upper() == PASSWORD and text:
            if fields.check(fields.PASSWORD, text) is not None:
                raise value_test(PASSWORD)
            return hash_secret(text)
    return ""


def add(
    session: Session,
    kind: Kind,
    values: Values,
    hashed: str,
    author: Author,
    now: datetime,
    settings: Settings,
) -> str:
    """The number of the new record. `hashed` is what `password_hash` said. Raises CallRefused."""
    tags = _read(session, kind, values, settings)
    parent = PARENT_TAG.get(kind)
    given = {tag.name: tag.text for tag in tags}
    for tag in tags:
        allowed = tag.name in {parent and parent[1], _CONFIRMED.get(kind)}
        if tag.field is not None and tag.field.system and not allowed:
            raise CallRefused(Refusal.SYSTEM_TAG, tag.name)
    with_password = _wants_password(given, hashed)
    if parent is not None:
        _check_number(session, parent[0], parent[1], given.get(parent[1], ""))
    for field in fields.fields_of(kind, custom_fields.of_kind(session, kind)):
        if field.required and not field.default and field.tag.upper() not in given:
            raise CallRefused(Refusal.MISSING_TAG, field.tag)
    try:
        record = changes.create(session, kind, _columns(tags, settings), author, now)
    except ChangeRefused as refused:
        raise _refusal(refused, tags, given) from refused
    number = str(getattr(record, NUMBER_COLUMN[kind]))
    if with_password:
        passwords.keep(session, number, hashed)
    return number


def modify(
    session: Session, kind: Kind, values: Values, author: Author, now: datetime, settings: Settings
) -> str:
    """The number of the record, now changed: it is named by its own tag, and what is not given
    stays (api.modify-names). Raises CallRefused.
    """
    tags = _read(session, kind, values, settings)
    own = NUMBER_COLUMN[kind].upper()
    given = {tag.name: tag.text for tag in tags}
    number = _check_number(session, kind, own, given.get(own, ""))
    rest = [tag for tag in tags if tag.name != own]
    for tag in rest:
        if tag.field is None:
            raise CallRefused(Refusal.ADD_ONLY, tag.name)
        if tag.field.system:
            raise CallRefused(Refusal.SYSTEM_TAG, tag.name)
    if not rest:
        raise CallRefused(Refusal.NOTHING_TO_CHANGE, own)
    try:
        changes.edit(session, kind, number, _columns(rest, settings), author, now)
    except ChangeRefused as refused:
        raise _refusal(refused, rest, given) from refused
    return number


def _read(session: Session, kind: Kind, values: Values, settings: Settings) -> list[Tag]:
    known = known_tags(kind, custom_fields.of_kind(session, kind), settings)
    return read_tags(kind, values, known, settings)


def _wants_password(given: dict[str, str], hashed: str) -> bool:
    automatic = given.get(AUTOPASSWD, "").upper()
    if automatic not in ("", "TRUE", "FALSE"):
        raise value_test(AUTOPASSWD)
    if automatic == "TRUE" and hashed:
        raise CallRefused(Refusal.TWO_PASSWORDS)
    return automatic == "TRUE" or bool(hashed)


def _check_number(session: Session, kind: Kind, tag: str, number: str) -> str:
    """The number of a record that is there. Raises CallRefused."""
    if not number:
        raise CallRefused(Refusal.MISSING_TAG, tag)
    if not (number.isascii() and number.isdigit()) or len(number) > _LONGEST_NUMBER:
        raise value_test(tag)
    if queries.get(session, kind, number) is None:
        raise CallRefused(Refusal.NO_SUCH_RECORD, kind, number)
    return number


def _columns(tags: Sequence[Tag], settings: Settings) -> dict[str, Any]:
    """Column names to values as `changes` takes them. Raises CallRefused."""
    values: dict[str, Any] = {}
    own: dict[str, str] = {}
    for tag in tags:
        field = tag.field
        if field is None:
            continue
        if field.field_class is FieldClass.CUSTOM:
            own[field.name] = tag.text
        elif field.type is FieldType.INSTANT:
            values[field.name] = _instant(field, tag.text, settings)
        else:
            values[field.name] = tag.text
    return values | {fields.CUSTOM: own} if own else values


def _instant(field: Field, text: str, settings: Settings) -> datetime | None:
    """The instant that MMDDYYYYHHMM names; an empty value is none (records.dates)."""
    if not text:
        return None
    if len(text) != len("MMDDYYYYHHMM"):
        raise value_test(field.tag)
    try:
        local = fields.read_wire_date(text).replace(tzinfo=ZoneInfo(settings.api_time_zone))
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        raise value_test(field.tag) from None


def _refusal(refused: ChangeRefused, tags: Sequence[Tag], given: dict[str, str]) -> CallRefused:
    """The service names one tag: the first that was given and is wrong."""
    if isinstance(refused, EmailTaken):
        return CallRefused(Refusal.EMAIL_TAKEN, given.get("EMAIL", ""))
    names = [tag.field.name for tag in tags if tag.field is not None]
    return value_test(
        next((n for n in names if n in refused.problems), next(iter(refused.problems)))
    )
