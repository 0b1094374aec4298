"""Any query over the Local CRM as it was: the same statement, over the tables of another time.

In: a statement over live tables, an instant. Out: the statement with a common table expression
of each live table's own name, made from the versions; SQLite takes that for the table. Killed
here: nothing was changed.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import CTE, Select, func, select, type_coerce
from sqlalchemy.orm import aliased

from simulator.local_crm.models import MODELS, NUMBER_COLUMN, RecordVersion
from simulator.triggers.urls import Event, Kind


def as_it_was(statement: Select[Any], instant: datetime) -> Select[Any]:
    """The statement over the records as they were; a change made at that very instant is in."""
    return statement.add_cte(*(_earlier_table(kind, instant) for kind in Kind))


def _earlier_table(kind: Kind, instant: datetime) -> CTE:
    model, number = MODELS[kind], NUMBER_COLUMN[kind]
    later = aliased(RecordVersion)
    overtaken = select(later.id).where(
        later.kind == RecordVersion.kind,
        later.record_id == RecordVersion.record_id,
        later.version > RecordVersion.version,
        later.changed_at <= instant,
    )
    columns = [
        # The number as the index knows it: one record is found without a look at all others.
        RecordVersion.record_id.label(number)
        if column.key == number
        else type_coerce(
            func.json_extract(RecordVersion.data, f"$.{column.key}"), column.type
        ).label(column.key)
        for column in model.__table__.columns
    ]
    return (
        select(*columns)
        .where(
            RecordVersion.kind == kind,
            RecordVersion.event != Event.DELETE,
            RecordVersion.changed_at <= instant,
            ~overtaken.exists(),
        )
        .cte(model.__tablename__)
    )
