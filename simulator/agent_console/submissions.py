"""A form that is sent twice acts once.

In: a posted form, which carries a key of its own. Out: what an earlier sending of it did, if there
was one, and whether it said the same. The mark is written in the transaction of the change: two
sendings at the same time queue up at the write lock, and the second finds it. Killed before the
commit: there is neither.

The same form with other entries is no repetition: somebody went back, typed on and sent it again.
What that means is for the caller to say.
"""

import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import request
from sqlalchemy import delete
from sqlalchemy.orm import Mapped, Session, mapped_column

from simulator.agent_console.actions import Done
from simulator.db import Base, UtcDateTime
from simulator.triggers.urls import Event, Kind

FIELD = "form_key"
_NOT_TYPED = (FIELD, "csrf_token")
_KEPT = timedelta(days=1)


class Submission(Base):
    """A form that was sent, what stood in it and what it did."""

    __tablename__ = "submissions"

    form: Mapped[str] = mapped_column(primary_key=True)
    entries: Mapped[str]
    kind: Mapped[Kind]
    event: Mapped[Event]
    record_id: Mapped[str]
    delivery_id: Mapped[int | None]
    submitted_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


@dataclass(frozen=True)
class Sent:
    """An earlier sending of a form."""

    done: Done
    had_same_entries: bool


def new_key(*, again: bool = True) -> str:
    """For a form that is about to be shown; one that was sent and refused keeps its own.

    again: False for a form that has acted, and may act once more.
    """
    return (again and request.form.get(FIELD)) or secrets.token_urlsafe(12)


def earlier(session: Session) -> Sent | None:
    """What the posted form did when it was sent before, or None."""
    found = session.get(Submission, _form())
    if found is None:
        return None
    done = Done(found.kind, found.event, found.record_id, found.delivery_id)
    return Sent(done, found.entries == _entries())


def remember(session: Session, done: Done, now: datetime) -> None:
    """What the posted form did."""
    session.execute(delete(Submission).where(Submission.submitted_at < now - _KEPT))
    if form := _form():
        session.merge(
            Submission(
                form=form,
                entries=_entries(),
                kind=done.kind,
                event=done.event,
                record_id=done.record_id,
                delivery_id=done.delivery_id,
                submitted_at=now,
            )
        )


def _form() -> str:
    """Stands for the form on its page; empty for one without a key."""
    key = request.form.get(FIELD)
    return _digest([request.path, key]) if key else ""


def _entries() -> str:
    """Stands for all that was typed into the form."""
    typed = [pair for pair in request.form.items(multi=True) if pair[0] not in _NOT_TYPED]
    return _digest(sorted(typed))


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
