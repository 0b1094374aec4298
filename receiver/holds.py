"""What is stopped until it is resolved: claiming for want of an API, or tombstones (rule 7).

In: a session, a name. Out: rows that every worker obeys; nothing here commits. The gate says when
claiming stops and goes on; an operator, or a settlement that holds nothing back any more, lets
tombstones go on.
"""

from datetime import datetime, timedelta

from sqlalchemy import and_, delete, select, update
from sqlalchemy.orm import Session

from external_crm.db import insert_missing, rows_changed
from external_crm.models import SyncState
from external_crm.rows import Key, Kind, Verification
from receiver import inbox
from receiver.models import Hold, InboxTrigger, State

TOMBSTONES = "tombstones"  # name of a hold
LOOK_BACK = timedelta(hours=1)


def hold(
    session: Session,
    name: str,
    reason: str,
    now: datetime,
    until: datetime | None = None,
    kind: Kind | None = None,
) -> bool:
    """Stop something, or keep it stopped until later; whether it was going on before."""
    values = {"until": until, "reason": reason, "kind": kind.value if kind else None}
    if rows_changed(session.execute(update(Hold).where(Hold.name == name).values(**values))):
        return False
    row = {"name": name, "since": now, **values}
    insert_missing(session, Hold, [row])
    return True


def resume(session: Session, name: str) -> bool:
    """Let it go on; whether it was stopped."""
    return rows_changed(session.execute(delete(Hold).where(Hold.name == name))) > 0


def is_on_hold(session: Session, name: str) -> bool:
    """Whether something is stopped. Not locked: others lock holds after their records."""
    return session.scalar(select(Hold.name).where(Hold.name == name)) is not None


def has_held(session: Session) -> bool:
    """Whether any row waits because tombstones are stopped."""
    query = select(InboxTrigger.id).where(
        InboxTrigger.state == State.WAITING, InboxTrigger.held.is_(True)
    )
    return session.scalar(query.limit(1)) is not None


def verify_tombstones(session: Session, now: datetime) -> int:
    """Read again what was believed gone, unexplained, in the hour before tombstones stopped.

    The guard lets the first few of many false not-founds through; with the rights back, these
    would stay away until somebody edits them. Call it before the hold goes; how many.
    """
    since = session.scalar(select(Hold.since).where(Hold.name == TOMBSTONES))
    if since is None:
        return 0
    believed = select(SyncState.kind, SyncState.id).where(
        SyncState.unexplained_gone_at > since - LOOK_BACK
    )
    asked = {
        Key(Kind(kind), record_id): _last_row_about(session, Key(Kind(kind), record_id))
        for kind, record_id in session.execute(believed)
    }
    for key, row in asked.items():
        if row is not None:
            item = Verification(key, row.account_id, row.case_id, because_of=key)
            inbox.enqueue_verifications(session, [item], row.id, now)
    return len(asked)


def _last_row_about(session: Session, key: Key) -> InboxTrigger | None:
    """The newest row that asked for a record, or named it as a parent."""
    row = InboxTrigger
    names_it = (row.kind == key.kind.value) & (row.record_id == key.id)
    if key.kind is Kind.CUSTOMER:
        names_it |= row.account_id == key.id
    elif key.kind is Kind.CASE:
        names_it |= row.case_id == key.id
    return session.scalars(select(row).where(names_it).order_by(row.id.desc()).limit(1)).first()


def allow_held(session: Session, now: datetime) -> int:
    """An operator allows the tombstones of all rows held now; how many rows.

    He answers for those written before, too: the guard counts anew from here, and what was
    believed shortly before it stopped them is read once more.
    """
    verify_tombstones(session, now)
    counted = SyncState.unexplained_gone_at.is_not(None)
    session.execute(update(SyncState).where(counted).values(unexplained_gone_at=None))
    held = and_(InboxTrigger.state == State.WAITING, InboxTrigger.held.is_(True))
    return inbox.change(session, held, allowed=True, held=False, due_at=now)
