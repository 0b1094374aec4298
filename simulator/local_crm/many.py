"""Many records at once: the door of `changes` for thousands, at a fraction of the cost of each.

In: a session, rows or numbers, by which origin and actor, and when. Out: records with their first
version, or gone with their last one; for an agent's deletion the outbox entries: all in the
caller's transaction. Killed before its commit: nothing happened.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ColumnDefault, func, select
from sqlalchemy.orm import Session

from simulator import events
from simulator.db import Base
from simulator.events import What
from simulator.local_crm import changes, custom_fields, fields, removal
from simulator.local_crm.changes import Author, ChangeRefused, as_json
from simulator.local_crm.models import MODELS, NUMBER_COLUMN, Followup, Origin, RecordVersion
from simulator.local_crm.verdicts import judge, owners_of_cases
from simulator.triggers import outbox
from simulator.triggers.urls import Event, Kind

_FIRST_FIRED = 5  # are named


@dataclass(frozen=True)
class Deleted:
    """Records that were deleted together, what went with them not counted."""

    kind: Kind
    count: int = 0
    fired: int = 0  # triggers
    deliveries: tuple[int, ...] = ()  # the first of them

    def and_then(self, other: "Deleted") -> "Deleted":
        """Both."""
        deliveries = (self.deliveries + other.deliveries)[:_FIRST_FIRED]
        return Deleted(self.kind, self.count + other.count, self.fired + other.fired, deliveries)


def create_many(
    session: Session,
    kind: Kind,
    rows: Iterable[Mapping[str, Any]],
    author: Author,
    now: datetime,
) -> int:
    """Insert whole rows that already obey the rules, numbers included; how many.

    For silent channels with thousands of records: no trigger fires, every record gets its
    first version. Take the numbers from `next_numbers` first; all rows have the same columns.
    """
    if author.origin is Origin.AGENT:
        raise ValueError("An agent's records are created one by one, because each fires a trigger.")
    number = NUMBER_COLUMN[kind]
    bulk = [{name: as_json(value) for name, value in row.items()} for row in rows]
    _insert_many(session, MODELS[kind], bulk)
    added_at = as_json(now)
    versions = [
        {
            "kind": kind.name,  # an enum's column holds its name
            "record_id": data[number],
            "version": 1,
            "event": Event.CREATE.name,
            "origin": author.origin.name,
            "actor": author.actor,
            "changed_at": data.get("createddate", added_at),
            "data": data,
        }
        for data in bulk
    ]
    _insert_many(session, RecordVersion, versions)
    if bulk and events.noted(session):
        events.note_at_commit(
            session,
            What.RECORDS_CREATED,
            f"{kind} {bulk[0][number]}",
            at=now,
            count=len(bulk),
            origin=author.origin,
            actor=author.actor,
            data=events.fingerprint(bulk),
        )
    return len(bulk)


def create_batch(
    session: Session,
    kind: Kind,
    rows: Sequence[Mapping[str, Any]],
    author: Author,
    now: datetime,
) -> list[ChangeRefused | None]:
    """Create what obeys the rules; for each row what is wrong with it, or None.

    rows: as `create` takes them. For silent channels: what `create` asks of the database for each
    record is asked once for all.
    """
    custom = custom_fields.of_kind(session, kind)
    complete = [fields.with_defaults(kind, values, custom) for values in rows]
    verdicts = judge(session, kind, complete, custom)
    sound = [values for values, wrong in zip(complete, verdicts, strict=True) if wrong is None]
    first_number = changes.next_numbers(session, kind, len(sound))
    owners = owners_of_cases(session, kind, sound)
    create_many(
        session,
        kind,
        [
            _whole_row(kind, str(number), values, owners, author, now)
            for number, values in enumerate(sound, first_number)
        ],
        author,
        now,
    )
    return verdicts


def delete_many(
    session: Session,
    kind: Kind,
    numbers: Sequence[str],
    author: Author,
    now: datetime,
    *,
    fires: bool = True,
) -> Deleted:
    """Remove those of the records that are there, with all that hangs on them.

    What `delete` does to each, asked of the database once for all: some hundred at a time.
    fires: whether an agent's deletion of this sort fires (trigger.delete-selected-fires,
    trigger.delete-all-fires).
    """
    own = removal.ids_of(session, kind, numbers)
    going = removal.what_goes(session, kind, numbers)
    removal.delete_rows(session, kind, numbers)
    fires = fires and author.origin is Origin.AGENT
    about = changes.firing(session)
    fired: list[int] = []
    for each, deleted in [*going, (kind, own)]:
        _note_deleted(session, each, [removal.number_of(ids) for ids in deleted], author, now)
        if fires and (each is kind or about.cascade):
            entries = (
                outbox.enqueue(session, each, Event.DELETE, ids, now, about.continuation)
                for ids in deleted
            )
            fired += [entry.id for entry in entries if entry is not None]
    return Deleted(kind, len(own), len(fired), tuple(fired[:_FIRST_FIRED]))


def _whole_row(
    kind: Kind,
    number: str,
    values: Mapping[str, Any],
    owners: Mapping[str, str],
    author: Author,
    now: datetime,
) -> dict[str, Any]:
    """All columns of a new record. owners: of cases."""
    record = MODELS[kind](**{**values, NUMBER_COLUMN[kind]: number})
    if isinstance(record, Followup):
        record.accountnum = owners[record.casenum]
    changes.stamp_created(record, author, now)
    row = {column.key: getattr(record, column.key) for column in record.__table__.columns}
    return {
        name: value if value is not None else _column_default(kind, name)
        for name, value in row.items()
    }


def _column_default(kind: Kind, name: str) -> Any:
    default = MODELS[kind].__table__.c[name].default
    return default.arg if isinstance(default, ColumnDefault) and default.is_scalar else None


def _insert_many(session: Session, model: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows of equal columns, values as the database holds them, by the driver itself: the ORM and
    the compiler would take four fifths of the time of a hundred thousand rows.
    """
    if not rows:
        return
    names = list(rows[0])
    columns, marks = ", ".join(names), ", ".join("?" * len(names))
    jsons = {name for name in names if isinstance(model.__table__.c[name].type, JSON)}
    session.connection().exec_driver_sql(
        f"INSERT INTO {model.__tablename__} ({columns}) VALUES ({marks})",  # noqa: S608 own names
        [
            tuple(json.dumps(row[name]) if name in jsons else row[name] for name in names)
            for row in rows
        ],
    )


def _note_deleted(
    session: Session, kind: Kind, numbers: Sequence[str], author: Author, now: datetime
) -> None:
    """The last versions of records that are deleted together."""
    latest = select(RecordVersion.record_id, func.max(RecordVersion.version)).where(
        RecordVersion.kind == kind, RecordVersion.record_id.in_(numbers)
    )
    so_far = {row[0]: row[1] for row in session.execute(latest.group_by(RecordVersion.record_id))}
    versions = [
        RecordVersion(
            kind=kind,
            record_id=number,
            version=so_far.get(number, 0) + 1,
            event=Event.DELETE,
            origin=author.origin,
            actor=author.actor,
            changed_at=now,
            data=None,
        )
        for number in numbers
    ]
    session.add_all(versions)
    session.flush()
    for version in versions:
        changes.note_event(session, version)
