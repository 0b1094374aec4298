"""Leases and their proofs: who may claim, who may settle, and what a late comer may not do."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from simulator.chance import Chance
from simulator.db import open_database, session_factory
from simulator.triggers import outbox
from simulator.triggers.backoff import RetryPolicy
from simulator.triggers.models import Delivery, DeliveryState
from simulator.triggers.outbox import ClaimedDelivery
from simulator.triggers.outcome import Outcome
from simulator.triggers.urls import Kind
from tests.local_crm import create, fill_boxes

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LEASE_S = 60.0
LEASE = timedelta(seconds=LEASE_S)
SECOND = timedelta(seconds=1)
POLICY = RetryPolicy("test", (10,), jitter=0)
CHANCE = Chance("1")
OK = Outcome(200, None, "", 1.0)
FAILED = Outcome(500, "The answer was 500.", "", 1.0)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    engine = open_database(tmp_path / "local_crm.db")
    with session_factory(engine).begin() as session:
        fill_boxes(session, "https://crm.example.com")
        yield session
    engine.dispose()


def claim(session: Session, now: datetime, owner: str = "a", limit: int = 10) -> list[int]:
    return [claimed.id for claimed in outbox.claim_due(session, now, limit, LEASE_S, owner)]


def claim_one(session: Session, now: datetime, owner: str) -> ClaimedDelivery:
    [claimed] = outbox.claim_due(session, now, 1, LEASE_S, owner)
    return claimed


def record(session: Session, claimed: ClaimedDelivery, outcome: Outcome, now: datetime) -> Delivery:
    delivery = outbox.record(session, claimed, outcome, POLICY, CHANCE, now)
    assert delivery is not None
    return delivery


def test_the_longest_due_comes_first_and_the_limit_holds(session: Session) -> None:
    for minutes in (2, 1, 3):
        create(session, Kind.CUSTOMER, NOW - timedelta(minutes=minutes))
    create(session, Kind.CUSTOMER, NOW + SECOND)
    assert claim(session, NOW, limit=2) == [3, 1]
    assert claim(session, NOW) == [2]
    assert claim(session, NOW) == []  # the fourth is not due yet


def test_a_leased_delivery_is_nobody_elses_until_the_lease_runs_out(session: Session) -> None:
    create(session, Kind.CUSTOMER, NOW)
    assert claim(session, NOW, "a") == [1]
    assert claim(session, NOW + LEASE - SECOND, "b") == []
    assert claim(session, NOW + LEASE, "b") == [1]


def test_a_failure_after_the_lease_ran_out_leaves_the_new_owner_alone(session: Session) -> None:
    create(session, Kind.CUSTOMER, NOW)
    late = claim_one(session, NOW, "a")
    present = claim_one(session, NOW + LEASE, "b")
    delivery = record(session, late, FAILED, NOW + LEASE)
    assert (delivery.schedule_step, delivery.lease_owner) == (0, "b")
    assert claim(session, NOW + LEASE, "c") == []
    assert record(session, present, OK, NOW + LEASE).state is DeliveryState.DELIVERED
    assert delivery.attempt_count == 2


def test_the_same_claimers_older_lease_proves_nothing(session: Session) -> None:
    create(session, Kind.CUSTOMER, NOW)
    late = claim_one(session, NOW, "a")
    claim_one(session, NOW + LEASE, "a")
    delivery = record(session, late, FAILED, NOW + LEASE)
    assert (delivery.schedule_step, delivery.lease_owner) == (0, "a")


def test_a_success_counts_whoever_finds_it(session: Session) -> None:
    create(session, Kind.CUSTOMER, NOW)
    late = claim_one(session, NOW, "a")
    present = claim_one(session, NOW + LEASE, "b")
    assert record(session, late, OK, NOW + LEASE).state is DeliveryState.DELIVERED
    delivery = record(session, present, FAILED, NOW + LEASE)
    assert (delivery.state, delivery.next_attempt_at) == (DeliveryState.DELIVERED, None)


def test_the_delay_counts_from_the_end_of_the_attempt(session: Session) -> None:
    create(session, Kind.CUSTOMER, NOW)
    ended_at = NOW + timedelta(seconds=15)
    delivery = record(session, claim_one(session, NOW, "a"), FAILED, ended_at)
    assert delivery.next_attempt_at == ended_at + timedelta(seconds=10)
    assert (delivery.lease_owner, delivery.leased_until) == (None, None)


def test_what_waits_by_itself_is_not_redelivered(session: Session) -> None:
    create(session, Kind.CUSTOMER, NOW)
    assert not outbox.redeliver(session, 1, NOW)
    assert not outbox.redeliver(session, 99, NOW)


@pytest.mark.parametrize("outcomes", [[OK], [FAILED, FAILED]], ids=["delivered", "exhausted"])
def test_a_settled_delivery_is_redelivered_with_a_whole_schedule(
    session: Session, outcomes: list[Outcome]
) -> None:
    create(session, Kind.CUSTOMER, NOW)
    now = NOW
    for outcome in outcomes:
        delivery = record(session, claim_one(session, now, "a"), outcome, now)
        now = delivery.next_attempt_at or now
    assert delivery.state is not DeliveryState.WAITING

    assert outbox.redeliver(session, 1, now)
    assert (delivery.state, delivery.schedule_step) == (DeliveryState.WAITING, 0)
    again = record(session, claim_one(session, now, "a"), FAILED, now)
    assert again.next_attempt_at == now + timedelta(seconds=10)


def test_a_delivery_that_is_gone_is_no_error(session: Session) -> None:
    create(session, Kind.CUSTOMER, NOW)
    claimed = claim_one(session, NOW, "a")
    session.delete(session.get_one(Delivery, 1))
    session.flush()
    assert outbox.record(session, claimed, OK, POLICY, CHANCE, NOW) is None
