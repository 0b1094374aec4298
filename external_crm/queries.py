"""What the dashboard shows: reads only, each a function of a session (hop 10)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from external_crm import audit
from external_crm.models import LIVE_TABLES, AuditEntry, Case, SyncState
from external_crm.rows import COLUMNS, ID_COLUMN, Key, Kind

CLOSED = "Closed"


@dataclass(frozen=True)
class Record:
    """One record as its page shows it; `columns` is None where it is gone."""

    key: Key
    state: SyncState
    columns: dict[str, Any] | None
    history: Sequence[AuditEntry]
    broken_chain: str | None


def totals(session: Session) -> dict[Kind, int]:
    """How many live records there are of each kind."""
    return {
        kind: int(session.scalar(select(func.count()).select_from(table)) or 0)
        for kind, table in LIVE_TABLES.items()
    }


def open_cases_by_status(session: Session) -> list[tuple[str, int]]:
    """Every status but Closed with the number of its cases, the most frequent first."""
    query = (
        select(Case.status, func.count())
        .where(Case.status != CLOSED)
        .group_by(Case.status)
        .order_by(func.count().desc(), Case.status)
    )
    return [(status, int(number)) for status, number in session.execute(query)]


def latest_changes(session: Session, limit: int) -> Sequence[AuditEntry]:
    """The newest audit entries, the newest first."""
    return session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)).all()


def changes_caused(session: Session, key: Key, cause_id: int) -> Sequence[AuditEntry]:
    """The audit entries of a record that name this inbox row as their cause, the newest first."""
    return session.scalars(
        select(AuditEntry)
        .where(AuditEntry.kind == key.kind.value, AuditEntry.record_id == key.id)
        .where(AuditEntry.cause_id == cause_id)
        .order_by(AuditEntry.number.desc())
    ).all()


def latest_of_kind(session: Session, kind: Kind, limit: int) -> list[dict[str, Any]]:
    """Live rows with the highest ids; numbers are handed out in sequence, so the newest."""
    table = LIVE_TABLES[kind]
    id_column = table.c[ID_COLUMN[kind]]
    query = select(*[table.c[name] for name in COLUMNS[kind]])
    query = query.order_by(id_column.desc()).limit(limit)
    return [dict(row._mapping) for row in session.execute(query)]


def record(session: Session, key: Key) -> Record | None:
    """A record that was ever seen, with its whole history, or None."""
    state = session.get(SyncState, (key.kind.value, key.id))
    if state is None:
        return None
    table = LIVE_TABLES[key.kind]
    query = select(*[table.c[name] for name in COLUMNS[key.kind]])
    row = session.execute(query.where(table.c[ID_COLUMN[key.kind]] == key.id)).one_or_none()
    history = session.scalars(
        select(AuditEntry)
        .where(AuditEntry.kind == key.kind.value, AuditEntry.record_id == key.id)
        .order_by(AuditEntry.number)
    ).all()
    columns = dict(row._mapping) if row is not None else None
    return Record(key, state, columns, history, audit.verify(history))
