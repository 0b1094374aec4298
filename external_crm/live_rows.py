"""Live rows and the audit entries of their changes, written under the locks (hop 9, T6).

In: the reads of a batch with their verdicts. Out: rows created, changed and deleted, parents
first, foreign keys as rule 9 says, and one audit entry for each change. What is read here before
it is written is the before-image; it holds because the sync state is locked (rule 12).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from external_crm import audit
from external_crm.models import LIVE_TABLES, AuditEntry
from external_crm.rows import (
    COLUMNS,
    ID_COLUMN,
    Batch,
    Found,
    Key,
    Kind,
    Outcome,
    Read,
    Verdict,
    Verification,
    as_columns,
)
from external_crm.states import States
from external_crm.verdicts import CHILD_KINDS, RecordState, lock_order

_AUDIT = AuditEntry.metadata.tables[AuditEntry.__tablename__]
REFS = {Kind.CUSTOMER: ("customer_ref", "account_id"), Kind.CASE: ("case_ref", "case_id")}


def write(
    session: Session,
    batch: Batch,
    states: States,
    verdicts: dict[Key, Verdict],
    ticket: int,
) -> None:
    """Live rows and audit entries, parents first; unchanged reads get their verdict here."""
    entries: list[dict[str, Any]] = []
    reads = sorted(batch.reads, key=lambda read: lock_order(read.key))
    becomes_live = {k for k, s in states.items() if s.state == RecordState.LIVE}
    becomes_live |= {k for k, v in verdicts.items() if v.outcome is Outcome.APPLIED}
    becomes_live -= {k for k, v in verdicts.items() if v.outcome is Outcome.GONE}
    for kind, run in groupby(reads, key=lambda read: read.key.kind):
        concerned = [r for r in run if verdicts[r.key].outcome in (Outcome.APPLIED, Outcome.GONE)]
        before = _live_rows(session, kind, [read.key for read in concerned])
        created: list[dict[str, Any]] = []
        changed: list[dict[str, Any]] = []
        gone: list[str] = []
        for read in concerned:
            old = before.get(read.key)
            new = as_columns(read.row) if isinstance(read, Found) else None
            if new is not None and old == new:
                verdicts[read.key] = Verdict(Outcome.UNCHANGED)
                continue
            if new is None:
                gone.append(read.key.id)
            else:
                (changed if old else created).append({**new, **_refs(read, becomes_live)})
            if old or new:
                state = states[read.key]
                state.audit_number += 1
                item = audit.entry(
                    read.key,
                    state.audit_number,
                    state.audit_hash,
                    old,
                    new,
                    read.cause,
                    ticket,
                    batch.now,
                )
                state.audit_hash = item["hash"]
                entries.append(item)
        _write_live(session, kind, created, changed, gone)
        _point_children_at(session, kind, [row[ID_COLUMN[kind]] for row in created])
    if entries:
        session.connection().execute(insert(_AUDIT), entries)


def _live_rows(session: Session, kind: Kind, keys: Sequence[Key]) -> dict[Key, dict[str, Any]]:
    """The rows outside as they are now: the before-images, without the foreign keys."""
    if not keys:
        return {}
    table = LIVE_TABLES[kind]
    columns = [table.c[name] for name in COLUMNS[kind]]
    query = select(*columns).where(columns[0].in_([key.id for key in keys]))
    return {Key(kind, row[0]): dict(row._mapping) for row in session.execute(query)}


def _refs(read: Read, live: set[Key]) -> dict[str, str | None]:
    """The foreign keys of a row: each parent that is live, else nothing (rule 9)."""
    parents = read.row.parents if isinstance(read, Found) else ()
    return {REFS[p.kind][0]: p.id if p in live else None for p in parents}


def _write_live(
    session: Session,
    kind: Kind,
    created: list[dict[str, Any]],
    changed: list[dict[str, Any]],
    gone: list[str],
) -> None:
    table, id_column = LIVE_TABLES[kind], LIVE_TABLES[kind].c[ID_COLUMN[kind]]
    if created:
        session.execute(insert(table), created)
    if changed:
        names = [name for name in changed[0] if name != id_column.name]
        statement = update(table).where(id_column == bindparam("the_id"))
        session.connection().execute(
            statement.values({name: bindparam(f"new_{name}") for name in names}),
            [
                {"the_id": row[id_column.name], **{f"new_{name}": row[name] for name in names}}
                for row in changed
            ],
        )
    if gone:
        session.execute(delete(table).where(id_column.in_(gone)))


def _point_children_at(session: Session, kind: Kind, ids: list[str]) -> None:
    """Fill the foreign keys of children that were there before their parent lived (again)."""
    if not ids or kind not in CHILD_KINDS:
        return
    ref, plain = REFS[kind]
    for child_kind in CHILD_KINDS[kind]:
        table = LIVE_TABLES[child_kind]
        session.execute(
            update(table)
            .where(table.c[plain].in_(ids), table.c[ref].is_(None))
            .values({ref: table.c[plain]})
        )


def known_children(session: Session, parent: Key) -> Iterable[Verification]:
    """Every live row under a parent, those written in this transaction included (rule 8)."""
    found: dict[Kind, list[Verification]] = defaultdict(list)
    for kind in CHILD_KINDS[parent.kind]:
        table = LIVE_TABLES[kind]
        plain = REFS[parent.kind][1]
        case_column = table.c.get("case_id")
        columns = [table.c[ID_COLUMN[kind]], table.c.account_id]
        columns += [case_column] if case_column is not None else []
        for row in session.execute(select(*columns).where(table.c[plain] == parent.id)):
            case_id = row[2] if len(row) > 2 else None
            found[kind].append(Verification(Key(kind, row[0]), row[1], case_id, parent))
    return [item for kind in Kind for item in found[kind]]
