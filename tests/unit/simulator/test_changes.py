"""The one door for changes: what is written together, what fires, what is refused."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from simulator.db import Base, open_database, session_factory
from simulator.local_crm import changes, many
from simulator.local_crm.changes import Author, ChangeRefused, RecordNotFound
from simulator.local_crm.models import MODELS, Case, Customer, Followup, Origin, RecordVersion
from simulator.triggers.models import Delivery
from simulator.triggers.urls import Event, Kind
from tests.local_crm import AGENT, CUSTOMER, create, fill_boxes

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BASE = "https://crm.example.com/8x8"
SILENT = [origin for origin in Origin if origin is not Origin.AGENT]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(tmp_path / "local_crm.db")
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with session_factory(engine).begin() as session:
        fill_boxes(session, BASE)
        yield session


def urls(session: Session) -> list[str]:
    """The URLs of all deliveries, the first first, without the common beginning."""
    found = session.scalars(select(Delivery.url).order_by(Delivery.id))
    return [url.removeprefix(BASE) for url in found]


def test_the_eleven_events_append_the_documented_strings_byte_for_byte(session: Session) -> None:
    customer = create(session, Kind.CUSTOMER, NOW)
    case = create(session, Kind.CASE, NOW, accountnum=customer)
    followup = create(session, Kind.FOLLOWUP, NOW, casenum=case)
    task = create(session, Kind.TASK, NOW, accountnum=customer)
    for kind, number in ((Kind.CUSTOMER, customer), (Kind.CASE, case), (Kind.TASK, task)):
        values = {"comments": "x"} if kind is Kind.CUSTOMER else {"subject": "Other"}
        changes.edit(session, kind, number, values, AGENT, NOW)
    for kind, number in (
        (Kind.FOLLOWUP, followup),
        (Kind.TASK, task),
        (Kind.CASE, case),
        (Kind.CUSTOMER, customer),
    ):
        changes.delete(session, kind, number, AGENT, NOW)

    assert urls(session) == [
        "/customer/create?AccountID=10000000",
        "/case/create?AccountID=10000000&CaseID=10000000",
        "/followup/create?AccountID=10000000&CaseID=10000000&FollowupID=10000000",
        "/task/create?AccountID=10000000&TaskID=10000000",
        "/customer/edit?AccountID=10000000",
        "/case/edit?AccountID=10000000&CaseID=10000000",
        "/task/edit?AccountID=10000000&TaskID=10000000",
        "/followup/delete?AccountID=10000000&CaseID=10000000&FollowupID=10000000",
        "/task/delete?AccountID=10000000&TaskID=10000000",
        "/case/delete?AccountID=10000000&CaseID=10000000",
        "/customer/delete?AccountID=10000000",
    ]


@pytest.mark.parametrize("origin", SILENT)
def test_only_an_agents_changes_fire(session: Session, origin: Origin) -> None:
    author = Author(origin, "a channel")
    customer = create(session, Kind.CUSTOMER, NOW, author)
    changes.edit(session, Kind.CUSTOMER, customer, {"company": "New"}, author, NOW)
    changes.delete(session, Kind.CUSTOMER, customer, author, NOW)
    assert urls(session) == []
    assert session.scalar(select(func.count()).select_from(RecordVersion)) == 3


def test_an_edited_followup_fires_only_under_the_switch(session: Session) -> None:
    case = create(session, Kind.CASE, NOW, accountnum=create(session, Kind.CUSTOMER, NOW))
    followup = create(session, Kind.FOLLOWUP, NOW, casenum=case)
    before = len(urls(session))
    changes.edit(session, Kind.FOLLOWUP, followup, {"body": "Other"}, AGENT, NOW)
    assert len(urls(session)) == before
    switched_on = replace(AGENT, followup_edit_fires=True)
    changes.edit(session, Kind.FOLLOWUP, followup, {"body": "Third"}, switched_on, NOW)
    assert urls(session)[before:] == [
        "/followup/edit?AccountID=10000000&CaseID=10000000&FollowupID=10000000"
    ]


def test_deleting_a_customer_takes_all_with_it_and_fires_once(session: Session) -> None:
    author = Author(Origin.CSV, "csv import")
    customer = create(session, Kind.CUSTOMER, NOW, author)
    other = create(session, Kind.CUSTOMER, NOW, author)
    for owner in (customer, other):
        for _ in range(2):
            case = create(session, Kind.CASE, NOW, author, accountnum=owner)
            create(session, Kind.FOLLOWUP, NOW, author, casenum=case)
        create(session, Kind.TASK, NOW, author, accountnum=owner)

    changes.delete(session, Kind.CUSTOMER, customer, AGENT, NOW)

    assert urls(session) == [f"/customer/delete?AccountID={customer}"]
    left = {kind: session.scalar(select(func.count()).select_from(MODELS[kind])) for kind in Kind}
    assert left == {Kind.CUSTOMER: 1, Kind.CASE: 2, Kind.FOLLOWUP: 2, Kind.TASK: 1}
    gone = session.scalars(select(RecordVersion).where(RecordVersion.event == Event.DELETE)).all()
    assert [version.data for version in gone] == [None] * 6  # each has a last version of its own


def test_a_box_left_empty_fires_nothing(session: Session) -> None:
    session.execute(Base.metadata.tables["trigger_boxes"].delete())
    create(session, Kind.CUSTOMER, NOW)
    assert urls(session) == []


def test_record_version_and_delivery_are_committed_together_or_not_at_all(engine: Engine) -> None:
    sessions = session_factory(engine)
    with sessions.begin() as session:
        fill_boxes(session, BASE)

    def counts() -> list[int | None]:
        with sessions() as reading:
            tables = (Customer, RecordVersion, Delivery)
            return [reading.scalar(select(func.count()).select_from(table)) for table in tables]

    with pytest.raises(KeyboardInterrupt), sessions.begin() as session:
        create(session, Kind.CUSTOMER, NOW)
        raise KeyboardInterrupt  # killed between the change and its commit
    assert counts() == [0, 0, 0]

    with sessions.begin() as session:
        create(session, Kind.CUSTOMER, NOW)
    assert counts() == [1, 1, 1]


def test_a_delivery_keeps_the_url_that_the_box_had_at_the_change(session: Session) -> None:
    create(session, Kind.CUSTOMER, NOW)
    fill_boxes(session, "https://other.example.com")
    assert urls(session) == ["/customer/create?AccountID=10000000"]


def test_numbers_are_never_handed_out_twice(session: Session) -> None:
    first = create(session, Kind.CUSTOMER, NOW)
    changes.delete(session, Kind.CUSTOMER, first, AGENT, NOW)
    assert create(session, Kind.CUSTOMER, NOW) == str(int(first) + 1)


@pytest.mark.parametrize(
    ("kind", "values", "field", "sentence"),
    [
        (Kind.CUSTOMER, {"firstname": "A"}, "lastname", "Last Name is required."),
        (
            Kind.CUSTOMER,
            {**CUSTOMER, "firstname": "x" * 31},
            "firstname",
            "First Name is 31 characters long; at most 30 are allowed.",
        ),
        (
            Kind.CUSTOMER,
            {**CUSTOMER, "email": "ZOE@example.com"},
            "email",
            "Another customer has the email ZOE@example.com.",
        ),
        (
            Kind.CASE,
            {"subject": "Help", "accountnum": "99"},
            "accountnum",
            "Account Number: there is no Customer 99.",
        ),
        (Kind.FOLLOWUP, {"subject": "Help"}, "casenum", "Case Number: there is no Case (empty)."),
    ],
)
def test_a_broken_rule_is_named_beside_its_field(
    session: Session, kind: Kind, values: dict[str, str], field: str, sentence: str
) -> None:
    create(session, Kind.CUSTOMER, NOW, email="zoe@example.com")
    with pytest.raises(ChangeRefused) as refusal:
        changes.create(session, kind, values, AGENT, NOW)
    assert refusal.value.problems == {field: sentence}


def test_a_customer_may_keep_its_own_email_and_many_may_have_none(session: Session) -> None:
    customer = create(session, Kind.CUSTOMER, NOW, email="zoe@example.com")
    changes.edit(session, Kind.CUSTOMER, customer, {"email": "Zoe@example.com"}, AGENT, NOW)
    create(session, Kind.CUSTOMER, NOW)
    create(session, Kind.CUSTOMER, NOW)


def test_what_is_gone_cannot_be_changed(session: Session) -> None:
    with pytest.raises(RecordNotFound, match=r"Case 7 does not exist, or not any more\."):
        changes.edit(session, Kind.CASE, "7", {"subject": "Other"}, AGENT, NOW)
    with pytest.raises(RecordNotFound):
        changes.delete(session, Kind.CASE, "7", AGENT, NOW)


def test_a_case_remembers_who_closed_it_until_it_is_opened_again(session: Session) -> None:
    number = create(session, Kind.CASE, NOW, accountnum=create(session, Kind.CUSTOMER, NOW))
    later = NOW + timedelta(hours=1)
    changes.edit(session, Kind.CASE, number, {"status": "Closed"}, AGENT, later)
    case = session.get_one(Case, number)
    assert (case.closedby, case.closeddate, case.lastactdate) == ("ag1001", later, later)
    changes.edit(session, Kind.CASE, number, {"status": "Open"}, AGENT, later)
    assert (case.closedby, case.closeddate) == ("", None)


def test_a_followup_belongs_to_the_customer_of_its_case_and_leaves_the_case(
    session: Session,
) -> None:
    customer = create(session, Kind.CUSTOMER, NOW)
    number = create(session, Kind.CASE, NOW, accountnum=customer)
    followup = create(session, Kind.FOLLOWUP, NOW + timedelta(hours=1), casenum=number)
    assert session.get_one(Followup, followup).accountnum == customer
    assert session.get_one(Case, number).lastactdate == NOW


def test_an_agents_records_cannot_slip_through_the_silent_door(session: Session) -> None:
    with pytest.raises(ValueError, match="one by one"):
        many.create_many(session, Kind.CUSTOMER, [{"accountnum": "1"}], AGENT, NOW)
