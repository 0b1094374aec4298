"""Tables of the External CRM: live rows, the sync state of every record ever seen, the audit.

Live tables hold live rows only. Each row keeps its parents' ids in plain columns and points at
the live parent through a nullable foreign key: a parent that goes leaves its children in place,
and each of them goes by its own answer (rules 8 and 9).
"""

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Date,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from external_crm.db import Base, UtcDateTime
from external_crm.rows import Kind

# SQLite numbers rows by itself only where the key is a plain INTEGER.
RowId = BigInteger().with_variant(Integer(), "sqlite")


class Customer(Base):
    """A live customer."""

    __tablename__ = "customers"

    account_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    first_name: Mapped[str] = mapped_column(Text)
    last_name: Mapped[str] = mapped_column(Text)
    company: Mapped[str] = mapped_column(Text)
    pbx: Mapped[str] = mapped_column(Text)
    comments: Mapped[str] = mapped_column(Text)
    customer_type: Mapped[str] = mapped_column(Text)
    email: Mapped[str] = mapped_column(Text)
    voice: Mapped[str] = mapped_column(Text)
    alternative: Mapped[str] = mapped_column(Text)
    fax: Mapped[str] = mapped_column(Text)
    address1_line1: Mapped[str] = mapped_column(Text)
    address1_line2: Mapped[str] = mapped_column(Text)
    address1_city: Mapped[str] = mapped_column(Text)
    address1_state: Mapped[str] = mapped_column(Text)
    address1_zip: Mapped[str] = mapped_column(Text)
    address1_country: Mapped[str] = mapped_column(Text)
    address2_line1: Mapped[str] = mapped_column(Text)
    address2_line2: Mapped[str] = mapped_column(Text)
    address2_city: Mapped[str] = mapped_column(Text)
    address2_state: Mapped[str] = mapped_column(Text)
    address2_zip: Mapped[str] = mapped_column(Text)
    address2_country: Mapped[str] = mapped_column(Text)
    custom_fields: Mapped[dict[str, Any]] = mapped_column(JSON)


def _customer_ref() -> Mapped[str | None]:
    return mapped_column(
        String(64), ForeignKey("customers.account_id", ondelete="SET NULL"), index=True
    )


class Case(Base):
    """A live case."""

    __tablename__ = "cases"

    case_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[str] = mapped_column(String(64), index=True)
    customer_ref: Mapped[str | None] = _customer_ref()
    subject: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text, index=True)
    priority: Mapped[str] = mapped_column(Text)
    severity: Mapped[str] = mapped_column(Text)
    category: Mapped[str] = mapped_column(Text)
    project: Mapped[str] = mapped_column(Text)
    visibility: Mapped[str] = mapped_column(Text)
    media_type: Mapped[str] = mapped_column(Text)
    assigned_to: Mapped[str] = mapped_column(Text)
    assigned_date: Mapped[date | None] = mapped_column(Date)
    created_by: Mapped[str] = mapped_column(Text)
    created_date: Mapped[date | None] = mapped_column(Date)
    closed_by: Mapped[str] = mapped_column(Text)
    closed_date: Mapped[date | None] = mapped_column(Date)
    last_activity_date: Mapped[date | None] = mapped_column(Date)
    custom_fields: Mapped[dict[str, Any]] = mapped_column(JSON)


class Followup(Base):
    """A live follow-up."""

    __tablename__ = "followups"

    followup_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[str] = mapped_column(String(64), index=True)
    case_id: Mapped[str] = mapped_column(String(64), index=True)
    customer_ref: Mapped[str | None] = _customer_ref()
    case_ref: Mapped[str | None] = mapped_column(
        String(64), ForeignKey("cases.case_id", ondelete="SET NULL"), index=True
    )
    subject: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    direction: Mapped[str] = mapped_column(Text)
    media_type: Mapped[str] = mapped_column(Text)
    visibility: Mapped[str] = mapped_column(Text)
    created_by: Mapped[str] = mapped_column(Text)
    created_date: Mapped[date | None] = mapped_column(Date)
    custom_fields: Mapped[dict[str, Any]] = mapped_column(JSON)


class Task(Base):
    """A live task."""

    __tablename__ = "tasks"

    task_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[str] = mapped_column(String(64), index=True)
    customer_ref: Mapped[str | None] = _customer_ref()
    subject: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    assigned_to: Mapped[str] = mapped_column(Text)
    call_type: Mapped[str] = mapped_column(Text)
    media_type: Mapped[str] = mapped_column(Text)
    middleware_url: Mapped[str] = mapped_column(Text)
    phone: Mapped[str] = mapped_column(Text)
    email: Mapped[str] = mapped_column(Text)
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(Text)
    created_date: Mapped[date | None] = mapped_column(Date)
    last_modified_date: Mapped[date | None] = mapped_column(Date)
    transaction_id: Mapped[str] = mapped_column(Text)
    parent_task_id: Mapped[str] = mapped_column(Text)
    custom_fields: Mapped[dict[str, Any]] = mapped_column(JSON)


LIVE_TABLES: dict[Kind, Table] = {
    kind: Base.metadata.tables[model.__tablename__]
    for kind, model in zip(Kind, (Customer, Case, Followup, Task), strict=True)
}


class RecordState(StrEnum):
    """What is known of a record outside."""

    UNKNOWN = "unknown"  # a placeholder: asked for, never yet seen
    LIVE = "live"
    GONE = "gone"  # a tombstone


class SyncState(Base):
    """One row per record ever seen, never deleted: the fence's numbers (rule 12)."""

    __tablename__ = "sync_state"
    __table_args__ = (Index("ix_sync_state_unexplained", "unexplained_gone_at"),)

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    ticket: Mapped[int] = mapped_column(BigInteger, default=0)  # of the read it shows
    seq: Mapped[int] = mapped_column(BigInteger, default=0)  # of its last write
    ks: Mapped[int] = mapped_column(BigInteger, default=0)  # of its last cascade
    state: Mapped[str] = mapped_column(String(16), default=RecordState.UNKNOWN)
    first_not_found_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    unexplained_gone_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    audit_number: Mapped[int] = mapped_column(default=0)  # of its latest audit entry
    audit_hash: Mapped[str] = mapped_column(String(64), default="")


class AuditEntry(Base):
    """One change of one record, written in the transaction of the change, never updated."""

    __tablename__ = "audit_entries"
    __table_args__ = (UniqueConstraint("kind", "record_id", "number"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    record_id: Mapped[str] = mapped_column(String(64))
    number: Mapped[int]  # 1 for the record's first entry
    action: Mapped[str] = mapped_column(String(16))  # created, changed, deleted
    before: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    after: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    cause: Mapped[str] = mapped_column(String(16))  # trigger, verification, settle
    cause_id: Mapped[int | None] = mapped_column(BigInteger)  # the inbox row that asked
    ticket: Mapped[int] = mapped_column(BigInteger)
    written_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    previous_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class FenceCounter(Base):
    """The one counter on SQLite, a single row; on PostgreSQL a sequence takes its place."""

    __tablename__ = "fence_counter"

    id: Mapped[int] = mapped_column(primary_key=True)  # always 1
    value: Mapped[int] = mapped_column(BigInteger)
