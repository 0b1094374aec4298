"""The one door through which a record of the Local CRM changes (hop 1); `many` is its wide wing.

In: a session, what to change, by which origin and actor, and when. Out: the record, its new
version, and for an agent's action the outbox entry with its final URL: all in the caller's
transaction (T1). Killed before its commit: nothing happened; after: the delivery is due.

    ChangeRefused(field -> sentence)   the change breaks a rule; nothing was written
      EmailTaken                       the only thing wrong: another customer has the email
      RecordNotFound                   there is no such record (any more)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from simulator import events
from simulator.events import What
from simulator.local_crm import custom_fields, fields, removal
from simulator.local_crm.fields import Field
from simulator.local_crm.models import (
    MODELS,
    NUMBER_COLUMN,
    Case,
    Customer,
    Followup,
    NumberSequence,
    Origin,
    Record,
    RecordVersion,
    Task,
)
from simulator.local_crm.verdicts import (
    ChangeRefused,
    EmailTaken,
    RecordNotFound,
    judge,
    parent_columns,
    rules_info,
)
from simulator.settings import Settings
from simulator.triggers import outbox
from simulator.triggers.urls import Event, Kind

__all__ = [  # the door's own, and what comes through it from `verdicts`
    "FIRST_NUMBER",
    "Author",
    "ChangeRefused",
    "EmailTaken",
    "RecordNotFound",
    "as_json",
    "create",
    "delete",
    "edit",
    "firing",
    "first_number",
    "next_numbers",
    "note_event",
    "parent_columns",
    "session_info",
    "stamp_created",
    "version_data",
]

# In session.info:
_FIRING = "simulator.local_crm.firing"
_FIRST_NUMBER = "simulator.local_crm.first_number"
FIRST_NUMBER = 10_000_000  # assumption records.numbers-in-sequence


@dataclass(frozen=True)
class Author:
    """Who changes a record and by which door; `followup_edit_fires` is the twelfth box's switch."""

    origin: Origin
    actor: str  # an agent id, the Used Identity of the CRM API, or a name for the channel
    followup_edit_fires: bool = False


@dataclass(frozen=True)
class Firing:
    """What settings change about which changes fire, and how their URLs are made."""

    email: bool = False  # trigger.email-silent
    unchanged_edit: bool = True  # trigger.edit-without-change
    cascade: bool = False  # trigger.delete-cascade
    continuation: str = "&"  # trigger.existing-query


def session_info(settings: Settings) -> dict[Any, Any]:
    """What a session factory gives each session, so that every door obeys the same settings."""
    return rules_info(settings) | {
        _FIRING: Firing(
            settings.email_fires,
            settings.unchanged_edit_fires,
            settings.delete_cascade_fires,
            settings.trigger_query_continuation,
        ),
        _FIRST_NUMBER: settings.first_number,
    }


def first_number(session: Session) -> int:
    """The number that the first record of a kind gets (records.numbers-in-sequence)."""
    return int(session.info.get(_FIRST_NUMBER, FIRST_NUMBER))


def create(
    session: Session,
    kind: Kind,
    values: Mapping[str, Any],
    author: Author,
    now: datetime,
    *,
    system_values: Mapping[str, str] | None = None,
) -> Record:
    """A new record with the next number, defaults where nothing is given.

    values: column names to text, instants for instant fields; the parent's number included
    (accountnum; casenum for a follow-up); under `custom_fields` texts by the field's name.
    system_values: what only the system fills in, such as a task's transactionid.
    Raises ChangeRefused.
    """
    custom = custom_fields.of_kind(session, kind)
    complete = fields.with_defaults(kind, values, custom)
    _refuse_broken_rules(session, kind, complete, custom, record=None)
    number = str(next_numbers(session, kind, 1))
    record = MODELS[kind](**{**complete, **(system_values or {}), NUMBER_COLUMN[kind]: number})
    if isinstance(record, Followup):
        record.accountnum = session.get_one(Case, record.casenum).accountnum
    stamp_created(record, author, now)
    session.add(record)
    session.flush()
    _note(session, kind, record, Event.CREATE, author, now)
    return record


def edit(
    session: Session,
    kind: Kind,
    record_id: str,
    values: Mapping[str, Any],
    author: Author,
    now: datetime,
) -> Record:
    """The record with the given columns changed; those not given stay, and so do custom fields
    that are not among `values["custom_fields"]`. Raises ChangeRefused.

    An edit that changes nothing is an edit all the same: the agent pressed Save
    (assumption trigger.edit-without-change).
    """
    record = _get(session, kind, record_id)
    custom = custom_fields.of_kind(session, kind)
    _refuse_broken_rules(session, kind, values, custom, record)
    was_closed = isinstance(record, Case) and record.status == "Closed"
    was_assigned_to = record.assignedto if isinstance(record, Case) else ""
    fires = firing(session).unchanged_edit or _would_change(record, values, custom)
    for name, value in values.items():
        if name == fields.CUSTOM:
            record.custom_fields = {**record.custom_fields, **fields.known_custom(value, custom)}
        else:
            setattr(record, name, value)
    if isinstance(record, Case):
        _stamp_case(record, author, now, was_closed, was_assigned_to)
    elif isinstance(record, Task):
        record.lastmoddate = now
    session.flush()
    _note(session, kind, record, Event.EDIT, author, now, fires=fires)
    return record


def delete(session: Session, kind: Kind, record_id: str, author: Author, now: datetime) -> None:
    """Remove a record and all that hangs on it; only the record itself fires a trigger
    (assumption trigger.delete-cascade). Raises RecordNotFound.
    """
    record = _get(session, kind, record_id)
    cascades = firing(session).cascade
    for child_kind, child in _descendants(session, kind, record_id):
        _note(session, child_kind, child, Event.DELETE, author, now, fires=cascades)
        session.delete(child)
        session.flush()
    session.delete(record)
    session.flush()
    _note(session, kind, record, Event.DELETE, author, now)


def next_numbers(session: Session, kind: Kind, count: int) -> int:
    """The first of `count` consecutive numbers, now taken."""
    sequence = session.get(NumberSequence, kind)
    if sequence is None:
        sequence = NumberSequence(kind=kind, next_number=first_number(session))
        session.add(sequence)
    first = sequence.next_number
    sequence.next_number = first + count
    session.flush()
    return first


def version_data(record: Record) -> dict[str, Any]:
    """A record's columns as JSON values; instants as ISO text."""
    return {c.key: as_json(getattr(record, c.key)) for c in record.__table__.columns}


def firing(session: Session) -> Firing:
    """What the settings say about which changes fire."""
    found: Firing = session.info.get(_FIRING, Firing())
    return found


def _would_change(record: Record, values: Mapping[str, Any], custom: Sequence[Field]) -> bool:
    own = fields.known_custom(values.get(fields.CUSTOM, {}), custom)
    return any(record.custom_fields.get(name, "") != text for name, text in own.items()) or any(
        getattr(record, name) != value for name, value in values.items() if name != fields.CUSTOM
    )


def _get(session: Session, kind: Kind, record_id: str) -> Record:
    record = cast("Record | None", session.get(MODELS[kind], record_id))
    if record is None:
        raise RecordNotFound({"": f"{kind} {record_id} does not exist, or not any more."})
    return record


def _refuse_broken_rules(
    session: Session,
    kind: Kind,
    values: Mapping[str, Any],
    custom: Sequence[Field],
    record: Record | None,
) -> None:
    """record: the one to edit, None for a new one, whose `values` are complete."""
    [refused] = judge(session, kind, [values], custom, record)
    if refused is not None:
        raise refused


def stamp_created(record: Record, author: Author, now: datetime) -> None:
    """Who created it and when, and what follows from its status."""
    if isinstance(record, Customer):
        return
    record.createdby = author.actor
    record.createddate = now
    if isinstance(record, Case):
        _stamp_case(record, author, now, was_closed=False, was_assigned_to="")
    elif isinstance(record, Task):
        record.lastmoddate = now


def _stamp_case(
    case: Case, author: Author, now: datetime, was_closed: bool, was_assigned_to: str
) -> None:
    case.lastactdate = now
    if case.assignedto != was_assigned_to:
        case.assigneddate = now if case.assignedto else None
    is_closed = case.status == "Closed"
    if is_closed and not was_closed:
        case.closedby, case.closeddate = author.actor, now
    elif was_closed and not is_closed:
        case.closedby, case.closeddate = "", None


def _descendants(session: Session, kind: Kind, record_id: str) -> list[tuple[Kind, Record]]:
    """All that goes with a record, the deepest first."""
    column = NUMBER_COLUMN[kind]
    return [
        (child, cast("Record", record))
        for child in removal.GOES_WITH[kind]
        for record in session.scalars(
            select(MODELS[child]).where(MODELS[child].__table__.c[column] == record_id)
        )
    ]


def _note(
    session: Session,
    kind: Kind,
    record: Record,
    event: Event,
    author: Author,
    now: datetime,
    *,
    fires: bool = True,
) -> None:
    """The version and, for an agent's own action, the outbox entry."""
    record_id = str(getattr(record, NUMBER_COLUMN[kind]))
    # A number is never handed out twice, so a new record has no earlier version.
    latest = event is not Event.CREATE and session.scalar(
        select(func.max(RecordVersion.version)).where(
            RecordVersion.kind == kind, RecordVersion.record_id == record_id
        )
    )
    version = RecordVersion(
        kind=kind,
        record_id=record_id,
        version=(latest or 0) + 1,
        event=event,
        origin=author.origin,
        actor=author.actor,
        changed_at=now,
        data=None if event is Event.DELETE else version_data(record),
    )
    session.add(version)
    note_event(session, version)
    silent = (kind, event) == (Kind.FOLLOWUP, Event.EDIT) and not author.followup_edit_fires
    about = firing(session)
    by_agent = author.origin is Origin.AGENT or (author.origin is Origin.EMAIL and about.email)
    if fires and by_agent and not silent:
        outbox.enqueue(session, kind, event, record.ids, now, about.continuation)


def note_event(session: Session, version: RecordVersion) -> None:
    """Tell the log of events about a version."""
    events.note_at_commit(
        session,
        What.RECORD_CHANGED,
        f"{version.kind} {version.record_id}",
        at=version.changed_at,
        event=version.event,
        version=version.version,
        origin=version.origin,
        actor=version.actor,
        data=events.fingerprint(version.data),
    )


def as_json(value: Any) -> Any:
    """A column's value as versions keep it: instants as ISO text."""
    return (
        value.astimezone(UTC).isoformat(timespec="microseconds")
        if isinstance(value, datetime)
        else value
    )
