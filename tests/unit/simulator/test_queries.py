"""Reads: pages, children, and records as they were."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from simulator.db import open_database, session_factory
from simulator.local_crm import changes, queries
from simulator.triggers.urls import Kind
from tests.local_crm import AGENT, create

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    engine = open_database(tmp_path / "local_crm.db")
    with session_factory(engine).begin() as session:
        yield session
    engine.dispose()


def test_a_page_shows_the_newest_first_also_where_numbers_grow_longer(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "FIRST_NUMBER", 98)
    for _ in range(5):
        create(session, Kind.CUSTOMER, NOW)
    first = queries.page(session, Kind.CUSTOMER, 1, size=2)
    assert [record.ids.account_id for record in first.records] == ["102", "101"]
    assert (first.number, first.page_count, first.total) == (1, 3, 5)
    last = queries.page(session, Kind.CUSTOMER, 99, size=2)
    assert [record.ids.account_id for record in last.records] == ["98"]
    assert last.number == 3


def test_a_page_of_nothing_is_page_one_of_one(session: Session) -> None:
    empty = queries.page(session, Kind.TASK, 0)
    assert (list(empty.records), empty.number, empty.page_count, empty.total) == ([], 1, 1, 0)


def test_children_are_those_that_hang_directly_on_a_record(session: Session) -> None:
    customer = create(session, Kind.CUSTOMER, NOW)
    case = create(session, Kind.CASE, NOW, accountnum=customer)
    followup = create(session, Kind.FOLLOWUP, NOW, casenum=case)
    task = create(session, Kind.TASK, NOW, accountnum=customer)
    create(session, Kind.CASE, NOW, accountnum=create(session, Kind.CUSTOMER, NOW))

    of_customer = queries.children(session, Kind.CUSTOMER, customer)
    assert [record.ids.case_id for record in of_customer[Kind.CASE]] == [case]
    assert [record.ids.task_id for record in of_customer[Kind.TASK]] == [task]
    of_case = queries.children(session, Kind.CASE, case)
    assert [record.ids.followup_id for record in of_case[Kind.FOLLOWUP]] == [followup]


def test_a_record_can_be_seen_as_it_was(session: Session) -> None:
    customer = create(session, Kind.CUSTOMER, NOW, company="Old")
    changes.edit(session, Kind.CUSTOMER, customer, {"company": "New"}, AGENT, NOW + HOUR)
    changes.delete(session, Kind.CUSTOMER, customer, AGENT, NOW + 2 * HOUR)

    def company_at(instant: datetime) -> str | None:
        data = queries.as_of(session, Kind.CUSTOMER, customer, instant)
        return None if data is None else data["company"]

    microsecond = timedelta(microseconds=1)
    assert company_at(NOW - microsecond) is None
    assert company_at(NOW) == "Old"
    assert company_at(NOW + HOUR - microsecond) == "Old"
    assert company_at(NOW + HOUR) == "New"
    assert company_at(NOW + 2 * HOUR) is None
    assert queries.get(session, Kind.CUSTOMER, customer) is None
    kept = queries.versions(session, Kind.CUSTOMER, customer)
    assert [(version.version, str(version.event)) for version in kept] == [
        (1, "Create"),
        (2, "Edit"),
        (3, "Delete"),
    ]
