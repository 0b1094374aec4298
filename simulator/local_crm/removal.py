"""What goes with a record that is deleted, and the deletion of rows.

In: a session, a kind, the numbers of records. Out: the ids of all that hangs on them; rows gone.
Nothing here writes versions or fires: `changes` does.

A customer takes its cases, follow-ups and tasks along, a case its follow-ups
(trigger.delete-takes-children, trigger.delete-takes-tasks). Attachments are not simulated.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from simulator.local_crm.models import MODELS, NUMBER_COLUMN
from simulator.triggers.urls import Kind, RecordIds

# What hangs on a kind by its number, the deepest first.
GOES_WITH: dict[Kind, tuple[Kind, ...]] = {
    Kind.CUSTOMER: (Kind.FOLLOWUP, Kind.TASK, Kind.CASE),
    Kind.CASE: (Kind.FOLLOWUP,),
    Kind.FOLLOWUP: (),
    Kind.TASK: (),
}
_ID_COLUMNS = {"accountnum": "account_id", "casenum": "case_id"} | {
    NUMBER_COLUMN[Kind.FOLLOWUP]: "followup_id",
    NUMBER_COLUMN[Kind.TASK]: "task_id",
}


def ids_of(session: Session, kind: Kind, numbers: Sequence[str]) -> list[RecordIds]:
    """The ids of those records that are there, in the order in which they were created."""
    return _ids(session, kind, NUMBER_COLUMN[kind], numbers)


def what_goes(
    session: Session, kind: Kind, numbers: Sequence[str]
) -> list[tuple[Kind, list[RecordIds]]]:
    """The ids of all that goes with records, kind by kind, the deepest first."""
    column = NUMBER_COLUMN[kind]
    return [(child, _ids(session, child, column, numbers)) for child in GOES_WITH[kind]]


def count_what_goes(session: Session, kind: Kind, numbers: Sequence[str] | None) -> dict[Kind, int]:
    """How many records of each kind go with some, or with all of the kind."""
    counts = {}
    for child in (child for child in Kind if child in GOES_WITH[kind]):
        rows = select(func.count()).select_from(MODELS[child])
        if numbers is not None:
            rows = rows.where(_column(child, NUMBER_COLUMN[kind]).in_(numbers))
        counts[child] = session.scalar(rows) or 0
    return counts


def delete_rows(session: Session, kind: Kind, numbers: Sequence[str]) -> None:
    """Delete records and all that goes with them."""
    column = NUMBER_COLUMN[kind]
    for each in (*GOES_WITH[kind], kind):
        session.execute(delete(MODELS[each]).where(_column(each, column).in_(numbers)))


def number_of(ids: RecordIds) -> str:
    """The record's own number."""
    return ids.task_id or ids.followup_id or ids.case_id or ids.account_id


def _ids(session: Session, kind: Kind, column: str, numbers: Sequence[str]) -> list[RecordIds]:
    table = MODELS[kind].__table__.c
    names = [name for name in _ID_COLUMNS if name in table]
    rows = select(*(table[name] for name in names)).where(table[column].in_(numbers))
    found = session.execute(rows.order_by(table[NUMBER_COLUMN[kind]]))
    return [
        RecordIds(**{_ID_COLUMNS[n]: v for n, v in zip(names, row, strict=True)}) for row in found
    ]


def _column(kind: Kind, name: str) -> Any:
    return getattr(MODELS[kind], name)
