"""Reads of the Local CRM: a record as it is, and as it was. Lists are read by `walk`.

In: a session, ids, an instant. Out: records, or a record's columns as its versions kept them.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from simulator.local_crm.models import MODELS, Record, RecordVersion
from simulator.triggers.urls import Kind


def get(session: Session, kind: Kind, record_id: str) -> Record | None:
    """The live record, or None."""
    return cast("Record | None", session.get(MODELS[kind], record_id))


def as_of(session: Session, kind: Kind, record_id: str, instant: datetime) -> dict[str, Any] | None:
    """The record's columns as they were at `instant`, or None where it did not exist then.

    Instants inside are ISO text. A change made at that very instant is in.
    """
    version = session.scalar(
        select(RecordVersion)
        .where(
            RecordVersion.kind == kind,
            RecordVersion.record_id == record_id,
            RecordVersion.changed_at <= instant,
        )
        .order_by(RecordVersion.version.desc())
        .limit(1)
    )
    return None if version is None else version.data


def versions(session: Session, kind: Kind, record_id: str) -> Sequence[RecordVersion]:
    """Every version of a record, the first first; a deleted record has them too."""
    return session.scalars(
        select(RecordVersion)
        .where(RecordVersion.kind == kind, RecordVersion.record_id == record_id)
        .order_by(RecordVersion.version)
    ).all()


def latest_version(session: Session, kind: Kind, record_id: str) -> RecordVersion | None:
    """The newest version of a record; of a deleted one that is its deletion."""
    newest = RecordVersion.version.desc()
    of_record = (RecordVersion.kind == kind, RecordVersion.record_id == record_id)
    return session.scalar(select(RecordVersion).where(*of_record).order_by(newest).limit(1))
