"""Which custom fields records come with: a new or vanished one is an event, not an error (hop 9).

In: the rows of one claim and its ticket. Out: the changes to what was known of each kind, to be
logged after the commit. Kept as rows, so that each change is said once, by whichever worker sees
it. The API sends every custom field of a kind with every record of it, empty ones as empty
elements; a field that none of a kind's records has any more is gone from 8x8's definitions.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from external_crm.db import insert_missing, rows_changed
from external_crm.rows import Kind, Row
from receiver.models import CustomField


@dataclass(frozen=True)
class FieldChange:
    """A custom field that was not known, or that no record has any more."""

    event: str  # custom_field_appeared, custom_field_vanished
    kind: Kind
    tag: str


def notice(session: Session, rows: Iterable[Row], ticket: int) -> list[FieldChange]:
    """What these rows change; an answer asked for before the last change says nothing."""
    seen: dict[Kind, set[str]] = {}
    for row in rows:
        seen.setdefault(row.key.kind, set()).update(row.custom_fields)
    known: dict[Kind, dict[str, bool]] = {kind: {} for kind in seen}
    for kind, tag, present in session.execute(
        select(CustomField.kind, CustomField.tag, CustomField.present).where(
            CustomField.kind.in_(sorted(kind.value for kind in seen))
        )
    ):
        known[Kind(kind)][tag] = present
    changes: list[FieldChange] = []
    for kind in sorted(seen):  # in one order, so that two workers do not wait for each other
        for tag in sorted(seen[kind] | known[kind].keys()):
            present = tag in seen[kind]
            if known[kind].get(tag) is not present and _change(session, kind, tag, present, ticket):
                event = "custom_field_appeared" if present else "custom_field_vanished"
                changes.append(FieldChange(event, kind, tag))
    return changes


def _change(session: Session, kind: Kind, tag: str, present: bool, ticket: int) -> bool:
    """Whether it was us who changed it."""
    first = {"kind": kind.value, "tag": tag, "present": present, "ticket": 0}
    insert_missing(session, CustomField, [first])
    this = and_(CustomField.kind == kind.value, CustomField.tag == tag)
    newer = and_(
        CustomField.ticket < ticket,
        or_(CustomField.ticket == 0, CustomField.present.is_not(present)),
    )
    changed = update(CustomField).where(this, newer).values(present=present, ticket=ticket)
    return rows_changed(session.execute(changed)) > 0
