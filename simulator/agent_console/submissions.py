"""A form that is sent twice acts once.

In: a posted form, which carries a key of its own. Out: what its first sending did, if this is not
the first. The mark is written in the transaction of the change: two sendings at the same time
queue up at the write lock, and the second finds it. Killed before the commit: there is neither.

The same key with other content is no repetition: somebody went back, typed on and sent again.
"""

import hashlib
import json
import secrets
from datetime import datetime, timedelta

from flask import request
from sqlalchemy import delete
from sqlalchemy.orm import Mapped, Session, mapped_column

from simulator.agent_console.actions import Done
from simulator.db import Base, UtcDateTime
from simulator.triggers.urls import Event, Kind

FIELD = "form_key"
_KEPT = timedelta(days=1)


class Submission(Base):
    """A form that was sent and what it did."""

    __tablename__ = "submissions"

    digest: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[Kind]
    event: Mapped[Event]
    record_id: Mapped[str]
    delivery_id: Mapped[int | None]
    submitted_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


def new_key() -> str:
    """For a form that is about to be shown; one that was sent and refused keeps its own."""
    return request.form.get(FIELD) or secrets.token_urlsafe(12)


def first_sending(session: Session) -> Done | None:
    """What the posted form did when it was sent before, or None."""
    found = session.get(Submission, _digest())
    if found is None:
        return None
    return Done(found.kind, found.event, found.record_id, found.delivery_id)


def remember(session: Session, done: Done, now: datetime) -> None:
    """What the posted form did."""
    session.execute(delete(Submission).where(Submission.submitted_at < now - _KEPT))
    if digest := _digest():
        session.add(
            Submission(
                digest=digest,
                kind=done.kind,
                event=done.event,
                record_id=done.record_id,
                delivery_id=done.delivery_id,
                submitted_at=now,
            )
        )


def _digest() -> str:
    """Stands for the form and all that was typed into it; empty for one without a key."""
    if not request.form.get(FIELD):
        return ""
    content = [pair for pair in request.form.items(multi=True) if pair[0] != "csrf_token"]
    return hashlib.sha256(json.dumps([request.path, sorted(content)]).encode()).hexdigest()
