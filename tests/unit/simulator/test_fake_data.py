"""Believable data obeys the rules, hangs together, and is the same for the same seed."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from simulator.db import open_database, session_factory
from simulator.local_crm import changes, custom_fields, fields, queries
from simulator.local_crm.fake_data import AWKWARD_NAMES, FakeData, add_fake_data
from simulator.local_crm.models import MODELS, Case, Customer, Followup, RecordVersion, Task
from simulator.triggers.models import Delivery
from simulator.triggers.urls import Kind
from tests.local_crm import create, fill_boxes

NOW = datetime(2026, 3, 2, 9, 0, 30, 123456, tzinfo=UTC)


@contextmanager
def filled(path: Path, customers: int = 200, seed: int = 1) -> Iterator[Session]:
    engine = open_database(path)
    with session_factory(engine).begin() as session:
        fill_boxes(session, "https://crm.example.com")
        add_fake_data(session, customers, seed, NOW)
        yield session
    engine.dispose()


def everything(session: Session) -> dict[Kind, list[dict[str, Any]]]:
    """All columns of all records."""
    return {
        kind: [changes.version_data(record) for record in session.scalars(select(MODELS[kind]))]
        for kind in Kind
    }


def test_every_value_fits_its_field(tmp_path: Path) -> None:
    with filled(tmp_path / "a.db") as session:
        problems = [
            (kind, row, problem)
            for kind, rows in everything(session).items()
            for row in rows
            if (
                problem := fields.check_all(
                    kind, {n: v for n, v in row.items() if n in fields.BY_NAME[kind] and v}
                )
            )
        ]
        assert problems == []


def test_there_is_as_much_as_was_asked_for(tmp_path: Path) -> None:
    with filled(tmp_path / "a.db") as session:
        counts = {kind: len(rows) for kind, rows in everything(session).items()}
    assert counts[Kind.CUSTOMER] == 200
    assert 240 <= counts[Kind.CASE] <= 360
    assert 220 <= counts[Kind.FOLLOWUP] <= 380
    assert 150 <= counts[Kind.TASK] <= 250


def test_the_same_seed_gives_the_same_data_and_another_seed_other_data(tmp_path: Path) -> None:
    with filled(tmp_path / "a.db", 20) as first, filled(tmp_path / "b.db", 20) as second:
        assert everything(first) == everything(second)
        with filled(tmp_path / "c.db", 20, seed=2) as third:
            assert everything(first) != everything(third)


def test_nothing_happens_before_its_cause(tmp_path: Path) -> None:
    with filled(tmp_path / "a.db") as session:
        for case in session.scalars(select(Case)):
            assert case.createddate <= case.lastactdate <= NOW
            assert (case.status == "Closed") == (case.closeddate is not None)
            assert bool(case.closedby) == (case.closeddate is not None)
            assert case.createddate <= (case.closeddate or NOW) <= NOW
            assert bool(case.assignedto) == (case.assigneddate is not None)
            assert case.createddate <= (case.assigneddate or case.createddate)
        for followup in session.scalars(select(Followup)):
            parent = session.get_one(Case, followup.casenum)
            assert followup.accountnum == parent.accountnum
            assert parent.createddate <= followup.createddate <= (parent.closeddate or NOW)
        for task in session.scalars(select(Task)):
            assert task.createddate <= task.lastmoddate <= NOW
            assert task.duedate is None or task.duedate >= task.createddate.replace(second=0)
            owner = session.get_one(Customer, task.accountnum)
            assert queries.as_of(session, Kind.CUSTOMER, owner.accountnum, task.createddate)


def test_emails_stay_unique_when_data_is_added_twice(tmp_path: Path) -> None:
    with filled(tmp_path / "a.db") as session:
        add_fake_data(session, 200, 1, NOW)
        emails = Counter(email.lower() for email in session.scalars(select(Customer.email)))
    assert emails.pop("") > 0
    assert max(emails.values()) == 1


def test_data_is_the_same_in_one_transaction_or_chunk_by_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulator.local_crm.fake_data.CHUNK", 7)
    engine = open_database(tmp_path / "chunks.db")
    source = FakeData(20, 1, NOW)
    chunks = 0
    while source.customers_left:
        with session_factory(engine).begin() as session:
            source.add_chunk(session)
        chunks += 1
    with filled(tmp_path / "whole.db", 20) as whole, session_factory(engine)() as session:
        assert everything(session) == everything(whole)
    engine.dispose()
    assert chunks == 3


def test_custom_fields_are_filled_by_their_rules(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "a.db")
    with session_factory(engine).begin() as session:
        for position, custom_type in enumerate(fields.CustomType):
            choices = ("Gold", "Tin") if custom_type is fields.CustomType.PICK_LIST else ()
            custom_fields.define(
                session,
                fields.Definition(
                    *(Kind.CASE, f"CF{position}", "Extra", custom_type),
                    required=True,
                    choices=choices,
                ),
            )
        add_fake_data(session, 30, 1, NOW)
        custom = custom_fields.of_kind(session, Kind.CASE)
        cases = session.scalars(select(Case)).all()
        assert len(cases) > 20
        for case in cases:
            given = {"custom_fields": case.custom_fields}
            assert case.custom_fields.keys() == {field.name for field in custom}
            assert fields.check_all(Kind.CASE, given, custom) == {}
    engine.dispose()


def test_names_that_test_encodings_are_among_them(tmp_path: Path) -> None:
    with filled(tmp_path / "a.db", len(AWKWARD_NAMES)) as session:
        names = {
            (record.firstname, record.lastname) for record in session.scalars(select(Customer))
        }
    assert names == set(AWKWARD_NAMES)


def test_it_fires_nothing_and_leaves_the_numbers_in_order(tmp_path: Path) -> None:
    with filled(tmp_path / "a.db", 20) as session:
        assert session.scalar(select(func.count()).select_from(Delivery)) == 0
        records = sum(len(rows) for rows in everything(session).values())
        assert session.scalar(select(func.count()).select_from(RecordVersion)) == records
        assert create(session, Kind.CUSTOMER, NOW) == "10000020"
