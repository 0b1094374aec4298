"""Two agents edit one record: what the second is told, and what stands in the form then.

In: the record as it was when the form was opened, as it is now, and what was typed. Out: a
Difference for each field that somebody else changed to something else than what was typed. A
field that the second agent did not touch takes the newer value; what both changed keeps what was
typed, until it is saved knowingly.

An API client, an import or an email that changes the record meanwhile is told in the same way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from simulator.agent_console import forms
from simulator.agent_console.screens import Screen
from simulator.db import UtcDateTime
from simulator.local_crm.fields import Field
from simulator.local_crm.models import MODELS, Record, RecordVersion
from simulator.local_crm.queries import latest_version
from simulator.triggers.urls import Kind

FIELD = "version"  # of the form: the version that it was opened with


@dataclass(frozen=True)
class Difference:
    """One field that two have changed, or only the other one; texts as the form has them."""

    name: str  # of the input
    label: str
    opened: str
    saved: str
    typed: str

    @property
    def is_untouched(self) -> bool:
        """Whether only the other one changed it."""
        return self.typed == self.opened

    @property
    def standing(self) -> str:
        """What stands in the form now."""
        return self.saved if self.is_untouched else self.typed


class SavedMeanwhile(Exception):
    """Somebody else has saved the record since the form was opened."""

    def __init__(self, latest: RecordVersion, differences: Sequence[Difference]) -> None:
        super().__init__(f"The record was saved by {latest.actor} meanwhile.")
        # Not the row itself: the rollback that follows empties it.
        self.version, self.actor = latest.version, latest.actor
        self.saved_at = latest.changed_at
        self.differences = differences


def refuse_if_saved_meanwhile(
    session: Session,
    screen: Screen,
    custom: Sequence[Field],
    record: Record,
    opened_with: str,
    typed: Mapping[str, str],
) -> None:
    """Raises SavedMeanwhile; under the write lock nobody can save in between.

    opened_with: the version as the form says it; what is no version is not compared. typed: by
    input.
    """
    record_id = str(getattr(record, screen.number))
    latest = latest_version(session, screen.kind, record_id)
    if latest is None or str(latest.version) == opened_with:
        return
    opened = _opened(session, screen.kind, record_id, opened_with)
    if opened is None:
        return
    before, now = forms.texts(screen, custom, opened), forms.texts(screen, custom, record)
    differences = [
        Difference(name, field.label, before[name], now[name], typed[name])
        for field in forms.editable(screen, custom)
        if (name := forms.input_name(field)) in typed
        and now[name] not in (before[name], typed[name])
    ]
    if differences:
        raise SavedMeanwhile(latest, differences)


def _opened(session: Session, kind: Kind, record_id: str, version: str) -> Record | None:
    """The record as that version kept it."""
    if not (version.isascii() and version.isdecimal() and len(version) < 10):
        return None
    data = session.scalar(
        select(RecordVersion.data).where(
            RecordVersion.kind == kind,
            RecordVersion.record_id == record_id,
            RecordVersion.version == int(version),
        )
    )
    if data is None:
        return None
    columns = MODELS[kind].__table__.c
    values = {name: _value(columns[name], kept) for name, kept in data.items() if name in columns}
    return MODELS[kind](**values)


def _value(column: Any, kept: Any) -> Any:
    is_instant = isinstance(column.type, UtcDateTime) and kept is not None
    return datetime.fromisoformat(kept) if is_instant else kept
