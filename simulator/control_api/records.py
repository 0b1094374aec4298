"""Records of the Local CRM as JSON: as they are, as they were, and every version."""

from typing import Any, cast

from flask import Response
from pydantic import AwareDatetime, BaseModel, Field
from sqlalchemy import func, literal_column, select

from simulator.control_api.frame import control, refusal, reply
from simulator.control_api.kinds import OfKind, OneRecord
from simulator.control_api.problems import ProblemFound
from simulator.db import read_session
from simulator.local_crm import queries
from simulator.local_crm.changes import version_data
from simulator.local_crm.models import MODELS, NUMBER_COLUMN, Origin, Record, RecordVersion
from simulator.services import services
from simulator.triggers.urls import Event, Kind

_UNKNOWN = refusal("There never was such a record.")


class RecordOut(BaseModel):
    """A live record: columns by name, instants as ISO text in UTC."""

    kind: Kind
    record_id: str
    values: dict[str, Any]


class RecordsOut(BaseModel):
    """One page of records, newest first."""

    records: list[RecordOut]
    page: int
    pages: int
    total: int


class VersionOut(BaseModel):
    """A record as one change left it; a delete leaves no values."""

    version: int
    event: Event
    origin: Origin
    actor: str
    changed_at: AwareDatetime
    values: dict[str, Any] | None


class RecordWithVersions(BaseModel):
    """A record that is there, or was."""

    kind: Kind
    record_id: str
    values: dict[str, Any] | None = Field(description="None where it is not there (any more).")
    versions: list[VersionOut]


class PageWanted(BaseModel):
    """Which page to list."""

    page: int = Field(1, ge=1, le=10_000_000)
    per_page: int = Field(50, ge=1, le=1000)


class AsOf(BaseModel):
    """When to look."""

    as_of: AwareDatetime | None = Field(None, description="By default now.")


@control.get("/records/<kind>", responses={"200": RecordsOut})
def list_records(path: OfKind, query: PageWanted) -> Response:
    """Live records of a kind; a page beyond the last shows the last."""
    kind = path.kind.kind
    with read_session(services().engine) as session:
        total = session.scalar(select(func.count()).select_from(MODELS[kind])) or 0
        pages = max(1, -(-total // query.per_page))
        page = min(query.page, pages)
        newest_first = select(MODELS[kind]).order_by(literal_column("rowid").desc())
        of_page = newest_first.limit(query.per_page).offset((page - 1) * query.per_page)
        records = [_record_out(kind, cast("Record", row)) for row in session.scalars(of_page)]
    return reply(RecordsOut(records=records, page=page, pages=pages, total=total))


@control.get("/records/<kind>/<record_id>", responses={"200": RecordWithVersions, "404": _UNKNOWN})
def show_record(path: OneRecord, query: AsOf) -> Response:
    """A record and its versions; of a deleted one the versions alone."""
    kind, record_id = path.kind.kind, path.record_id
    with read_session(services().engine) as session:
        versions = queries.versions(session, kind, record_id)
        if not versions:
            raise ProblemFound(404, f"There is no {kind} {record_id}.", "record_id")
        if query.as_of is not None:
            values = queries.as_of(session, kind, record_id, query.as_of)
        else:
            record = queries.get(session, kind, record_id)
            values = None if record is None else version_data(record)
    return reply(
        RecordWithVersions(
            kind=kind,
            record_id=record_id,
            values=values,
            versions=[_version_out(version) for version in versions],
        )
    )


def _record_out(kind: Kind, record: Record) -> RecordOut:
    number = str(getattr(record, NUMBER_COLUMN[kind]))
    return RecordOut(kind=kind, record_id=number, values=version_data(record))


def _version_out(version: RecordVersion) -> VersionOut:
    return VersionOut(
        version=version.version,
        event=version.event,
        origin=version.origin,
        actor=version.actor,
        changed_at=version.changed_at,
        values=version.data,
    )
