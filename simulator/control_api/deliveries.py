"""The outbox: deliveries with their attempts, redelivery of one or many, pause and resume."""

from typing import Any

from flask import Response
from pydantic import AwareDatetime, BaseModel, Field
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import selectinload

from simulator.control_api.frame import control, refusal, reply
from simulator.control_api.problems import ProblemFound
from simulator.db import read_session
from simulator.services import services
from simulator.triggers import outbox
from simulator.triggers.models import Attempt, Delivery, DeliveryState
from simulator.triggers.urls import Event, Kind

_UNKNOWN = refusal("There is no such delivery.")
_WAITS = refusal("It still waits for its next attempt by itself.")
_NOT_SO_MANY = refusal("There are not as many as expected; nothing was done.")
_LARGEST_ID = 2**63 - 1  # SQLite knows no larger integer


class DeliveryFilter(BaseModel):
    """Which deliveries are meant: those that fit all that is given."""

    state: DeliveryState | None = None
    kind: Kind | None = None
    event: Event | None = None
    record_id: str | None = Field(None, max_length=64)
    account_id: str | None = Field(None, max_length=64)

    def conditions(self) -> list[ColumnElement[bool]]:
        """The same as conditions of a query."""
        given = {name: getattr(self, name) for name in DeliveryFilter.model_fields}
        columns = Delivery.__table__.c
        return [columns[name] == value for name, value in given.items() if value is not None]


class DeliveriesWanted(DeliveryFilter):
    """Which deliveries to list, oldest first."""

    after: int = Field(0, ge=0, le=_LARGEST_ID, description="The last id of the page before.")
    limit: int = Field(1000, ge=1, le=10_000)


class DeliveryId(BaseModel):
    """A delivery."""

    delivery_id: int = Field(ge=1, le=_LARGEST_ID)


class AttemptOut(BaseModel):
    """One call of the URL; `error` is a sentence, unless it was answered with 200."""

    number: int
    started_at: AwareDatetime
    finished_at: AwareDatetime
    status: int | None
    error: str | None
    reply_excerpt: str
    method: str | None = Field(description="Of the request; None when none was sent.")
    fault: str | None = Field(description="The fault that hit the call.")
    duration_ms: float


class DeliveryOut(BaseModel):
    """A trigger to be called until it is answered with 200, and the calls so far."""

    id: int
    kind: Kind
    event: Event
    record_id: str
    account_id: str
    case_id: str | None
    url: str
    created_at: AwareDatetime
    state: DeliveryState
    attempt_count: int
    next_attempt_at: AwareDatetime | None
    attempts: list[AttemptOut]


class DeliveriesOut(BaseModel):
    """Deliveries, oldest first."""

    deliveries: list[DeliveryOut]
    total: int = Field(description="How many fit the filter, on this page or not.")
    paused: bool = Field(description="Whether nothing is sent until it is resumed.")


class RedeliveryWish(DeliveryFilter):
    """Which deliveries to send again; those that still wait are left alone."""

    dry_run: bool = Field(False, description="Only say how many there are.")
    expected: int | None = Field(
        None, ge=0, description="Refuse unless it is so many: the count of a dry run."
    )


class Redelivered(BaseModel):
    """What was sent again, or would be."""

    count: int
    delivery_ids: list[int] = Field(description="The first 10,000 of them.")


class DispatchState(BaseModel):
    """Whether deliveries are sent."""

    paused: bool


@control.get("/deliveries", responses={"200": DeliveriesOut})
def list_deliveries(query: DeliveriesWanted) -> Response:
    """Deliveries with their attempts."""
    conditions = query.conditions()
    wanted = (
        select(Delivery)
        .where(*conditions, Delivery.id > query.after)
        .order_by(Delivery.id)
        .limit(query.limit)
        .options(selectinload(Delivery.attempts))
    )
    with read_session(services().engine) as session:
        found = [_out(delivery) for delivery in session.scalars(wanted)]
        total = session.scalar(select(func.count()).select_from(Delivery).where(*conditions)) or 0
    paused = services().dispatcher.paused
    return reply(DeliveriesOut(deliveries=found, total=total, paused=paused))


@control.get("/deliveries/<int:delivery_id>", responses={"200": DeliveryOut, "404": _UNKNOWN})
def show_delivery(path: DeliveryId) -> Response:
    """One delivery with its attempts."""
    return reply(_delivery(path.delivery_id))


@control.post(
    "/deliveries/<int:delivery_id>/redeliver",
    responses={"200": DeliveryOut, "404": _UNKNOWN, "409": _WAITS},
)
def redeliver_one(path: DeliveryId) -> Response:
    """Send a delivered or exhausted delivery again, from the start of its retry schedule."""
    with services().sessions.begin() as session:
        is_due = outbox.redeliver(session, path.delivery_id, services().clock.now())
    now = _delivery(path.delivery_id)
    if not is_due:
        raise ProblemFound(
            409, f"Delivery {now.id} still waits for its next attempt by itself.", "delivery_id"
        )
    return reply(now)


@control.post("/deliveries/redeliver", responses={"200": Redelivered, "409": _NOT_SO_MANY})
def redeliver_many(body: RedeliveryWish) -> Response:
    """Send all that fit the filter again; with `dry_run` only count them."""
    fitting = select(Delivery.id).where(*body.conditions(), Delivery.state != DeliveryState.WAITING)
    with services().sessions.begin() as session:
        ids = list(session.scalars(fitting.order_by(Delivery.id)))
        if body.expected not in (None, len(ids)):
            raise ProblemFound(
                409,
                f"It is {len(ids)} deliveries that would be sent again, not {body.expected}. "
                "Nothing was done.",
                "expected",
            )
        for delivery_id in [] if body.dry_run else ids:
            outbox.redeliver(session, delivery_id, services().clock.now())
    return reply(Redelivered(count=len(ids), delivery_ids=ids[:10_000]))


@control.post("/deliveries/pause", responses={"200": DispatchState})
def pause_deliveries() -> Response:
    """Send nothing until it is resumed; triggers that are under way are finished."""
    services().pause_deliveries()
    return reply(DispatchState(paused=True))


@control.post("/deliveries/resume", responses={"200": DispatchState})
def resume_deliveries() -> Response:
    """Send what is due again."""
    services().resume_deliveries()
    return reply(DispatchState(paused=False))


def _delivery(delivery_id: int) -> DeliveryOut:
    wanted = select(Delivery).where(Delivery.id == delivery_id)
    with read_session(services().engine) as session:
        found = session.scalar(wanted.options(selectinload(Delivery.attempts)))
        if found is None:
            raise ProblemFound(404, f"There is no delivery {delivery_id}.", "delivery_id")
        return _out(found)


def _out(delivery: Delivery) -> DeliveryOut:
    return DeliveryOut(
        **_public(delivery, DeliveryOut, "attempts"),
        attempts=[AttemptOut(**_public(attempt, AttemptOut)) for attempt in delivery.attempts],
    )


def _public(row: Delivery | Attempt, model: type[BaseModel], *but: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in model.model_fields if name not in but}
