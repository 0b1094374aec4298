"""Tables of the receiver: inbox of triggers, rejects, what is on hold, who is alive, alarms."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, Double, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from external_crm.db import UtcDateTime
from receiver.db import Base

RowId = BigInteger().with_variant(Integer(), "sqlite")


class State(StrEnum):
    """Where an inbox row stands."""

    WAITING = "waiting"  # due at due_at; while claimed, due again when the lease runs out
    DONE = "done"  # the row outside includes the change it announced
    DEAD = "dead"  # given up, in plain sight; last_error and last_reply say why
    DROPPED = "dropped"  # was dead, and an operator gave it up for good


class InboxTrigger(Base):
    """One received trigger, or one read that the worker owes itself (`cause` says which).

    A claim is a lease: it writes its ticket and moves due_at to the lease's end, so that the
    row of a worker that died is simply due again.
    """

    __tablename__ = "inbox_triggers"
    __table_args__ = (
        Index("ix_inbox_triggers_due", "state", "due_at", "id"),
        Index("ix_inbox_triggers_record", "kind", "record_id", "state", "received_at"),
        Index(
            "ix_inbox_triggers_waiting",
            "cause",
            "received_at",
            sqlite_where=text("state = 'waiting'"),
            postgresql_where=text("state = 'waiting'"),
        ),
        Index(
            "ix_inbox_triggers_held",
            "state",
            sqlite_where=text("held IS 1"),
            postgresql_where=text("held IS true"),
        ),
        {"sqlite_autoincrement": True},  # the audit trail names rows by id: none is used twice
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    cause: Mapped[str] = mapped_column(String(16))  # trigger, verification, settle
    caused_by: Mapped[int | None] = mapped_column(BigInteger)  # the inbox row behind it
    kind: Mapped[str] = mapped_column(String(16))
    event: Mapped[str | None] = mapped_column(String(16))
    record_id: Mapped[str] = mapped_column(String(64))
    account_id: Mapped[str] = mapped_column(String(64))
    case_id: Mapped[str | None] = mapped_column(String(64))
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    state: Mapped[str] = mapped_column(String(16), default=State.WAITING)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ticket: Mapped[int | None] = mapped_column(BigInteger)  # of the claim that holds it
    attempts: Mapped[int] = mapped_column(default=0)  # failures that bring it nearer to dead
    postponed: Mapped[int] = mapped_column(default=0)  # temporary failures, never dead of them
    cascaded: Mapped[bool] = mapped_column(default=False)  # rule 8: a delete cascades once
    held: Mapped[bool] = mapped_column(default=False)  # rule 7: its tombstone is stopped
    allowed: Mapped[bool] = mapped_column(default=False)  # an operator allowed the tombstone
    verdict: Mapped[str | None] = mapped_column(String(16))
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_error: Mapped[str | None] = mapped_column(Text)
    last_reply: Mapped[str | None] = mapped_column(Text)


class InboxCount(Base):
    """How many inbox rows of a sort a connection added, less those it took away.

    Triggers of the database keep it; `receiver.counts` reads it.
    """

    __tablename__ = "receiver_inbox_counts"

    state: Mapped[str] = mapped_column(String(16), primary_key=True)
    cause: Mapped[str] = mapped_column(String(16), primary_key=True)
    failed: Mapped[bool] = mapped_column(primary_key=True)  # attempts or postponed are not 0
    slot: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(BigInteger)


class Reject(Base):
    """A request with the right secret that was no trigger; only the newest are kept."""

    __tablename__ = "inbox_rejects"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    method: Mapped[str] = mapped_column(String(8))
    line: Mapped[str] = mapped_column(Text)  # path behind the secret and raw query string
    reason: Mapped[str] = mapped_column(Text)


class Hold(Base):
    """Something that is stopped until it is resolved: `credentials`, `circuit`, `tombstones`."""

    __tablename__ = "receiver_holds"

    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    since: Mapped[datetime] = mapped_column(UtcDateTime)
    until: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when to probe, if by itself
    reason: Mapped[str] = mapped_column(Text)
    kind: Mapped[str | None] = mapped_column(String(16))  # of the records that are refused


class ApiUse(Base):
    """What all workers together have of the CRM API: one row."""

    __tablename__ = "receiver_api_use"

    id: Mapped[int] = mapped_column(primary_key=True)  # always 1
    failures: Mapped[int]  # reads that failed in a row, a record's repetitions counted once
    failed_record: Mapped[str | None] = mapped_column(String(96))  # by the last of them
    tokens: Mapped[float] = mapped_column(Double)  # calls left in the budget; below zero: overdrawn
    refilled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class CustomField(Base):
    """A custom field that records of a kind came with, and whether they still do."""

    __tablename__ = "receiver_custom_fields"

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    tag: Mapped[str] = mapped_column(Text, primary_key=True)
    present: Mapped[bool]
    ticket: Mapped[int] = mapped_column(BigInteger)  # of the claim that saw the last change


class Heartbeat(Base):
    """A worker's last sign of life."""

    __tablename__ = "receiver_heartbeats"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)  # host/slot
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    beat_at: Mapped[datetime] = mapped_column(UtcDateTime)
    restarts: Mapped[int] = mapped_column(default=0)  # by the supervisor, since it runs


class Alarm(Base):
    """Something an operator must hear of, until its all-clear was said."""

    __tablename__ = "receiver_alarms"

    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    sentence: Mapped[str] = mapped_column(Text)
    since: Mapped[datetime] = mapped_column(UtcDateTime)
    over_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # its all-clear is to be said
    said: Mapped[bool]  # somebody took the alarm itself
    tries: Mapped[int]  # to say either
    try_at: Mapped[datetime] = mapped_column(UtcDateTime)  # while it is being said: try again then


class Total(Base):
    """How often something happened, ever; written in the transaction in which it happens."""

    __tablename__ = "receiver_totals"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    label: Mapped[str] = mapped_column(String(32), primary_key=True)  # one of few; or empty
    value: Mapped[float] = mapped_column(Double)
