"""Tables of the trigger side: the twelve boxes, the outbox of deliveries, and their attempts."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column, relationship

from simulator.db import Base, UtcDateTime
from simulator.triggers.urls import Event, Kind, RecordIds


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"  # due at next_attempt_at; leased while an attempt is under way
    DELIVERED = "delivered"  # answered with exactly 200
    EXHAUSTED = "exhausted"  # the retry schedule is used up; redelivery starts it again


class TriggerBox(Base):
    """One box of Integration > CRM Triggers; a box that was never filled has no row."""

    __tablename__ = "trigger_boxes"

    kind: Mapped[Kind] = mapped_column(primary_key=True)
    event: Mapped[Event] = mapped_column(primary_key=True)
    url: Mapped[str]


class Delivery(Base):
    """An outbox entry: one trigger to be called until it is answered with 200.

    `url` is final: what the box said at the moment of the change, with the ids appended.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        Index("ix_deliveries_due", "state", "next_attempt_at"),
        Index("ix_deliveries_record", "kind", "record_id"),
        Index("ix_deliveries_listed", "state", "kind", "event"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[Kind]
    event: Mapped[Event]
    record_id: Mapped[str]  # the id of the object itself, also the last id in the URL
    account_id: Mapped[str]
    case_id: Mapped[str | None]
    url: Mapped[str]
    is_test: Mapped[bool] = mapped_column(default=False)  # asked for by hand: nothing changed
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    state: Mapped[DeliveryState] = mapped_column(default=DeliveryState.WAITING)
    attempt_count: Mapped[int] = mapped_column(
        default=0
    )  # all attempts ever, redeliveries included
    schedule_step: Mapped[int] = mapped_column(default=0)  # failures in the present schedule
    next_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lease_owner: Mapped[str | None]
    leased_until: Mapped[datetime | None] = mapped_column(UtcDateTime)

    attempts: Mapped[list["Attempt"]] = relationship(
        back_populates="delivery", order_by="Attempt.id"
    )

    def ids(self) -> RecordIds:
        """The ids as the trigger carries them."""
        return RecordIds(
            account_id=self.account_id,
            case_id=self.case_id,
            followup_id=self.record_id if self.kind is Kind.FOLLOWUP else None,
            task_id=self.record_id if self.kind is Kind.TASK else None,
        )


class Attempt(Base):
    """One call of a trigger URL and what came of it."""

    __tablename__ = "attempts"

    id: Mapped[int] = mapped_column(primary_key=True)
    delivery_id: Mapped[int] = mapped_column(ForeignKey("deliveries.id"), index=True)
    number: Mapped[int]  # 1 for the first
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime] = mapped_column(UtcDateTime)
    status: Mapped[int | None]  # HTTP status; None when no complete answer came
    error: Mapped[str | None]  # a sentence, unless it was answered with 200
    reply_excerpt: Mapped[str] = mapped_column(default="")
    method: Mapped[str | None]  # of the request; None when none was sent
    fault: Mapped[str | None]  # the one that hit the call
    duration_ms: Mapped[float]

    delivery: Mapped[Delivery] = relationship(back_populates="attempts")
