"""Reads: records as they were."""

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
