"""The one door through which a record of the Local CRM changes (hop 1).

In: a session, what to change, by which origin and actor, and when. Out: the record, its new
version, and for an agent's action the outbox entry with its final URL: all in the caller's
transaction (T1). Killed before its commit: nothing happened; after: the delivery is due.

    ChangeRefused(field -> sentence)   the change breaks a rule; nothing was written
      RecordNotFound                   there is no such record (any more)
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from simulator.local_crm import fields
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
from simulator.triggers import outbox
from simulator.triggers.urls import Event, Kind

FIRST_NUMBER = 10_000_000  # assumption records.numbers-in-sequence
_PARENT_COLUMNS: dict[Kind, tuple[tuple[Kind, str], ...]] = {
    Kind.CUSTOMER: (),
    Kind.CASE: ((Kind.CUSTOMER, "accountnum"),),
    Kind.FOLLOWUP: ((Kind.CASE, "casenum"),),
    Kind.TASK: ((Kind.CUSTOMER, "accountnum"),),
}


class ChangeRefused(Exception):
    """A change that breaks a rule; `problems` has a sentence for each field, by field name."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = dict(problems)


class RecordNotFound(ChangeRefused):
    """The record is not there, or no longer."""


@dataclass(frozen=True)
class Author:
    """Who changes a record and by which door; `followup_edit_fires` is the twelfth box's switch."""

    origin: Origin
    actor: str  # an agent id, the Used Identity of the CRM API, or a name for the channel
    followup_edit_fires: bool = False


def create(
    session: Session, kind: Kind, values: Mapping[str, Any], author: Author, now: datetime
) -> Record:
    """A new record with the next number.

    values: column names to text, instants for instant fields; the parent's number included
    (accountnum; casenum for a follow-up). Raises ChangeRefused.
    """
    _refuse_broken_rules(session, kind, values, record_id=None)
    number = str(next_numbers(session, kind, 1))
    record = MODELS[kind](**dict(values), **{NUMBER_COLUMN[kind]: number})
    if isinstance(record, Followup):
        record.accountnum = session.get_one(Case, record.casenum).accountnum
    _stamp_created(record, author, now)
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
    """The record with the given columns changed; those not given stay. Raises ChangeRefused.

    An edit that changes nothing is an edit all the same: the agent pressed Save
    (assumption trigger.edit-without-change).
    """
    record = _get(session, kind, record_id)
    _refuse_broken_rules(session, kind, values, record_id=record_id)
    was_closed = isinstance(record, Case) and record.status == "Closed"
    was_assigned_to = record.assignedto if isinstance(record, Case) else ""
    for name, value in values.items():
        setattr(record, name, value)
    if isinstance(record, Case):
        _stamp_case(record, author, now, was_closed, was_assigned_to)
    elif isinstance(record, Task):
        record.lastmoddate = now
    session.flush()
    _note(session, kind, record, Event.EDIT, author, now)
    return record


def delete(session: Session, kind: Kind, record_id: str, author: Author, now: datetime) -> None:
    """Remove a record and all that hangs on it; only the record itself fires a trigger
    (assumption trigger.delete-cascade). Raises RecordNotFound.
    """
    record = _get(session, kind, record_id)
    for child_kind, child in _descendants(session, record):
        _note(session, child_kind, child, Event.DELETE, author, now, fires=False)
        session.delete(child)
        session.flush()
    session.delete(record)
    session.flush()
    _note(session, kind, record, Event.DELETE, author, now)


def create_many(
    session: Session,
    kind: Kind,
    rows: Iterable[Mapping[str, Any]],
    author: Author,
    now: datetime,
) -> int:
    """Insert whole rows that already obey the rules, numbers included; how many.

    For silent channels with thousands of records: no trigger fires, every record gets its
    first version. Take the numbers from `next_numbers` first.
    """
    if author.origin is Origin.AGENT:
        raise ValueError("An agent's records are created one by one, because each fires a trigger.")
    batch = [dict(row) for row in rows]
    if not batch:
        return 0
    number = NUMBER_COLUMN[kind]
    session.execute(insert(MODELS[kind]), batch)
    session.execute(
        insert(RecordVersion),
        [
            {
                "kind": kind,
                "record_id": row[number],
                "version": 1,
                "event": Event.CREATE,
                "origin": author.origin,
                "actor": author.actor,
                "changed_at": row.get("createddate", now),
                "data": {name: _as_json(value) for name, value in row.items()},
            }
            for row in batch
        ],
    )
    return len(batch)


def next_numbers(session: Session, kind: Kind, count: int) -> int:
    """The first of `count` consecutive numbers, now taken."""
    sequence = session.get(NumberSequence, kind)
    if sequence is None:
        sequence = NumberSequence(kind=kind, next_number=FIRST_NUMBER)
        session.add(sequence)
    first = sequence.next_number
    sequence.next_number = first + count
    session.flush()
    return first


def version_data(record: Record) -> dict[str, Any]:
    """A record's columns as JSON values; instants as ISO text."""
    return {c.key: _as_json(getattr(record, c.key)) for c in record.__table__.columns}


def _get(session: Session, kind: Kind, record_id: str) -> Record:
    record = cast("Record | None", session.get(MODELS[kind], record_id))
    if record is None:
        raise RecordNotFound({"": f"{kind} {record_id} does not exist, or not any more."})
    return record


def _refuse_broken_rules(
    session: Session, kind: Kind, values: Mapping[str, Any], record_id: str | None
) -> None:
    typed = {n: v for n, v in values.items() if n in fields.BY_NAME[kind] and isinstance(v, str)}
    if record_id is None:
        missing = {f.name: "" for f in fields.FIELDS[kind] if f.required and f.name not in values}
        typed = {**missing, **typed}
    problems = fields.check_all(kind, typed)
    if kind is Kind.CUSTOMER and values.get("email") and "email" not in problems:
        taken = select(Customer.accountnum).where(
            func.lower(Customer.email) == str(values["email"]).lower(),
            Customer.accountnum != (record_id or ""),
        )
        if session.scalar(taken.limit(1)) is not None:
            problems["email"] = f"Another customer has the email {values['email']}."
    if record_id is None:
        for parent_kind, column in _PARENT_COLUMNS[kind]:
            parent_id = str(values.get(column, ""))
            if session.get(MODELS[parent_kind], parent_id) is None:
                label = fields.BY_NAME[kind][column].label
                problems[column] = f"{label}: there is no {parent_kind} {parent_id or '(empty)'}."
    if problems:
        raise ChangeRefused(problems)


def _stamp_created(record: Record, author: Author, now: datetime) -> None:
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


def _descendants(session: Session, record: Record) -> list[tuple[Kind, Record]]:
    """All that goes with a record, the deepest first."""
    found: list[tuple[Kind, Record]] = []
    if isinstance(record, Customer):
        owner = record.accountnum
        followups = session.scalars(select(Followup).where(Followup.accountnum == owner))
        found += [(Kind.FOLLOWUP, row) for row in followups]
        tasks = session.scalars(select(Task).where(Task.accountnum == owner))
        found += [(Kind.TASK, row) for row in tasks]
        cases = session.scalars(select(Case).where(Case.accountnum == owner))
        found += [(Kind.CASE, row) for row in cases]
    elif isinstance(record, Case):
        followups = session.scalars(select(Followup).where(Followup.casenum == record.casenum))
        found += [(Kind.FOLLOWUP, row) for row in followups]
    return found


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
    latest = session.scalar(
        select(func.max(RecordVersion.version)).where(
            RecordVersion.kind == kind, RecordVersion.record_id == record_id
        )
    )
    session.add(
        RecordVersion(
            kind=kind,
            record_id=record_id,
            version=(latest or 0) + 1,
            event=event,
            origin=author.origin,
            actor=author.actor,
            changed_at=now,
            data=None if event is Event.DELETE else version_data(record),
        )
    )
    silent = (kind, event) == (Kind.FOLLOWUP, Event.EDIT) and not author.followup_edit_fires
    if fires and author.origin is Origin.AGENT and not silent:
        outbox.enqueue(session, kind, event, record.ids, now)


def _as_json(value: Any) -> Any:
    return (
        value.astimezone(UTC).isoformat(timespec="microseconds")
        if isinstance(value, datetime)
        else value
    )
