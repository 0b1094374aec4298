"""The audit trail: what one change did to one record, chained per record by hashes.

In: a record's columns before and after, the cause, the ticket. Out: the entry's values, ready to
be inserted in the transaction of the change. Pure but for `verify`, which reads entries.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from external_crm.models import AuditEntry
from external_crm.rows import Cause, Key

Columns = Mapping[str, Any]


def as_json(columns: Columns | None) -> dict[str, Any] | None:
    """Columns as JSON values: dates and instants in ISO 8601, decimals as text."""
    if columns is None:
        return None
    return {name: _plain(value) for name, value in columns.items()}


def diff(before: Columns | None, after: Columns | None) -> dict[str, tuple[Any, Any]]:
    """The columns that differ: name to (before, after); a side that is not there counts as None."""
    before, after = before or {}, after or {}
    names = dict.fromkeys([*before, *after])
    pairs = {name: (before.get(name), after.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def entry(
    key: Key,
    number: int,
    previous_hash: str,
    before: Columns | None,
    after: Columns | None,
    cause: Cause,
    ticket: int,
    now: datetime,
) -> dict[str, Any]:
    """The values of one audit entry; `before` or `after` is None where the record was not there."""
    action = "created" if before is None else "deleted" if after is None else "changed"
    values: dict[str, Any] = {
        "kind": key.kind.value,
        "record_id": key.id,
        "number": number,
        "action": action,
        "before": as_json(before),
        "after": as_json(after),
        "cause": cause.kind,
        "cause_id": cause.id,
        "ticket": ticket,
        "written_at": now,
        "previous_hash": previous_hash,
    }
    return {**values, "hash": chain_hash(values)}


def chain_hash(values: Mapping[str, Any]) -> str:
    """SHA-256, in hex, over an entry's values and so over the hash of the entry before it."""
    hashed = {name: value for name, value in values.items() if name not in ("id", "hash")}
    text = json.dumps(as_json(hashed), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def verify(entries: Iterable[AuditEntry]) -> str | None:
    """What is wrong with one record's entries, oldest first, as a sentence; None if they hold."""
    previous = ""
    for number, item in enumerate(entries, start=1):
        values = {c.key: getattr(item, c.key) for c in AuditEntry.__table__.columns}
        where = f"Audit entry {item.number} of {item.kind} {item.record_id}"
        if item.number != number:
            return f"{where} follows a gap: entry {number} is missing."
        if item.previous_hash != previous:
            return f"{where} does not follow from the entry before it."
        if item.hash != chain_hash(values):
            return f"{where} was altered after it was written."
        previous = item.hash
    return None


def _plain(value: Any) -> Any:
    if value is None or type(value) in (str, int):
        return value  # most are
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return dict(value) if isinstance(value, Mapping) else value
