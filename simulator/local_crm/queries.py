"""Reads of the Local CRM: records as they are, and as they were.

In: a session, ids, an instant. Out: records, or a record's columns as its versions kept them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from simulator.local_crm.models import MODELS, NUMBER_COLUMN, Record, RecordVersion
from simulator.triggers.urls import Kind

PAGE_SIZE = 50
# Which kinds hang on which, and by which column.
CHILDREN: dict[Kind, tuple[tuple[Kind, str], ...]] = {
    Kind.CUSTOMER: ((Kind.CASE, "accountnum"), (Kind.TASK, "accountnum")),
    Kind.CASE: ((Kind.FOLLOWUP, "casenum"),),
    Kind.FOLLOWUP: (),
    Kind.TASK: (),
}


@dataclass(frozen=True)
class Page:
    """One page of records; `number` counts from 1 and is within `page_count`."""

    records: Sequence[Record]
    number: int
    page_count: int  # at least 1
    total: int


def get(session: Session, kind: Kind, record_id: str) -> Record | None:
    """The live record, or None."""
    return cast("Record | None", session.get(MODELS[kind], record_id))


def page(session: Session, kind: Kind, number: int = 1, size: int = PAGE_SIZE) -> Page:
    """Records of a kind, newest first; a number out of range gives the nearest page."""
    total = session.scalar(select(func.count()).select_from(MODELS[kind])) or 0
    page_count = max(1, -(-total // size))
    number = min(max(1, number), page_count)
    rows = session.scalars(_newest_first(kind).offset((number - 1) * size).limit(size)).all()
    return Page(rows, number, page_count, total)


def children(session: Session, kind: Kind, record_id: str) -> dict[Kind, Sequence[Record]]:
    """What hangs directly on a record, by kind, newest first."""
    return {
        child: session.scalars(
            _newest_first(child).where(getattr(MODELS[child], column) == record_id)
        ).all()
        for child, column in CHILDREN[kind]
    }


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


def _newest_first(kind: Kind) -> Select[Any]:
    # Numbers are decimal text handed out in sequence: the longer one is the newer one.
    number = getattr(MODELS[kind], NUMBER_COLUMN[kind])
    return cast(
        "Select[tuple[Record]]",
        select(MODELS[kind]).order_by(func.length(number).desc(), number.desc()),
    )
