"""What a change must not do to system fields, agents, emails; batches obey the same rules."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from simulator.local_crm import changes, many
from simulator.local_crm.changes import Author, ChangeRefused, EmailTaken
from simulator.local_crm.models import Case, Customer, Origin, RecordVersion
from simulator.settings import Settings
from simulator.triggers.models import Delivery
from simulator.triggers.urls import Kind
from tests.local_crm import AGENT, CUSTOMER, create

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
CSV = Author(Origin.CSV, "csv import")


def test_a_taken_email_can_be_told_from_other_problems(crm: Session) -> None:
    create(crm, Kind.CUSTOMER, NOW, email="zoe@example.com")
    with pytest.raises(EmailTaken):
        create(crm, Kind.CUSTOMER, NOW, email="ZOE@example.com")
    with pytest.raises(ChangeRefused) as refused:
        create(crm, Kind.CUSTOMER, NOW, email="ZOE@example.com", firstname="")
    assert not isinstance(refused.value, EmailTaken)


def test_the_database_itself_keeps_emails_unique(crm: Session) -> None:
    create(crm, Kind.CUSTOMER, NOW, email="zoe@example.com")
    row = changes.version_data(crm.get_one(Customer, "10000000"))
    copy = {**row, "accountnum": "10000001", "email": "Zoe@Example.com"}
    with pytest.raises(IntegrityError), crm.begin_nested():
        many.create_many(crm, Kind.CUSTOMER, [copy], CSV, NOW)


@pytest.mark.parametrize(
    ("kind", "values", "name", "sentence"),
    [
        (Kind.CUSTOMER, {"accountnum": "7"}, "accountnum", "Account Number is view only."),
        (Kind.CASE, {"casenum": "7"}, "casenum", "Case Number is view only."),
        (Kind.CASE, {"createdby": "me"}, "createdby", "Created By is view only."),
        (Kind.CASE, {"closeddate": NOW}, "closeddate", "Closed is view only."),
        (
            Kind.CASE,
            {"assignedto": "nobody"},
            "assignedto",
            "Assigned To: there is no agent nobody.",
        ),
        (Kind.CASE, {"colour": "red"}, "colour", "A Case has no field colour."),
        (Kind.TASK, {"duedate": "tomorrow"}, "duedate", "Due must be a date."),
        (
            Kind.FOLLOWUP,
            {"accountnum": "10000001"},
            "accountnum",
            "Account Number is view only: Case Number tells it.",
        ),
        (
            Kind.CASE,
            {"accountnum": "1" * 65},
            "accountnum",
            "Account Number is 65 characters long; at most 64 are allowed.",
        ),
        (
            Kind.CASE,
            {"accountnum": "\ud800"},
            "accountnum",
            "Account Number contains U+D800, which no XML can carry. Remove it.",
        ),
    ],
)
def test_what_only_the_system_knows_is_refused(
    crm: Session, kind: Kind, values: dict[str, Any], name: str, sentence: str
) -> None:
    owner, _ = create(crm, Kind.CUSTOMER, NOW), create(crm, Kind.CUSTOMER, NOW)
    case = create(crm, Kind.CASE, NOW, accountnum=owner)
    parents = {
        Kind.CUSTOMER: {},
        Kind.CASE: {"accountnum": owner},
        Kind.FOLLOWUP: {"casenum": case},
        Kind.TASK: {"accountnum": owner},
    }
    with pytest.raises(ChangeRefused) as refused:
        create(crm, kind, NOW, **{**parents[kind], **values})
    assert refused.value.problems == {name: sentence}


def test_a_parent_cannot_be_changed_but_may_be_named(crm: Session) -> None:
    owner, other = create(crm, Kind.CUSTOMER, NOW), create(crm, Kind.CUSTOMER, NOW)
    case = create(crm, Kind.CASE, NOW, accountnum=owner)
    changes.edit(crm, Kind.CASE, case, {"accountnum": owner, "subject": "New"}, AGENT, NOW)
    with pytest.raises(ChangeRefused, match=r"Account Number is view only\."):
        changes.edit(crm, Kind.CASE, case, {"accountnum": other}, AGENT, NOW)
    assert crm.get_one(Case, case).accountnum == owner


def test_pick_lists_have_defaults_and_are_never_emptied(crm: Session) -> None:
    owner = create(crm, Kind.CUSTOMER, NOW)
    case = crm.get_one(Case, create(crm, Kind.CASE, NOW, accountnum=owner, status=""))
    assert (case.status, case.priority, case.visibility) == ("Open", "Medium", "Private")
    with pytest.raises(ChangeRefused, match=r"Status is required\."):
        changes.edit(crm, Kind.CASE, case.casenum, {"status": ""}, AGENT, NOW)


def test_a_batch_creates_what_is_right_and_says_what_is_not(crm: Session) -> None:
    create(crm, Kind.CUSTOMER, NOW, email="zoe@example.com")
    before = crm.scalar(select(func.count()).select_from(Delivery))
    verdicts = many.create_batch(
        crm,
        Kind.CUSTOMER,
        [
            {**CUSTOMER, "email": "a@example.com"},
            {**CUSTOMER, "email": "ZOE@EXAMPLE.COM"},
            {**CUSTOMER, "email": "A@example.com"},  # the first row has it
            {"firstname": "x" * 31, "lastname": "y"},
            {**CUSTOMER, "firstname": "\ud800"},
            dict(CUSTOMER),
        ],
        CSV,
        NOW,
    )
    assert [type(v).__name__ if v else None for v in verdicts] == [
        *(None, "EmailTaken", "EmailTaken", "ChangeRefused", "ChangeRefused", None)
    ]
    assert crm.scalars(select(Customer.accountnum)).all() == ["10000000", "10000001", "10000002"]
    assert crm.scalar(select(func.count()).select_from(Delivery)) == before


@pytest.mark.parametrize("kind", list(Kind))
def test_a_record_of_a_batch_is_like_one_made_alone(crm: Session, kind: Kind) -> None:
    owner = create(crm, Kind.CUSTOMER, NOW, CSV)
    case = create(crm, Kind.CASE, NOW, CSV, accountnum=owner)
    values = {
        Kind.CUSTOMER: dict(CUSTOMER),
        Kind.CASE: {
            "accountnum": owner,
            "subject": "S",
            "status": "Closed",
            "assignedto": "ag1001",
        },
        Kind.FOLLOWUP: {"casenum": case, "subject": "S"},
        Kind.TASK: {"accountnum": owner, "subject": "S", "duedate": NOW},
    }[kind]
    alone = changes.create(crm, kind, values, CSV, NOW)
    assert many.create_batch(crm, kind, [values], CSV, NOW) == [None]
    number = next(iter(alone.__table__.primary_key.columns)).key
    batched = crm.get_one(type(alone), str(int(getattr(alone, number)) + 1))
    expected = {**changes.version_data(alone), number: getattr(batched, number)}
    assert changes.version_data(batched) == expected
    versions = crm.scalars(
        select(RecordVersion).where(RecordVersion.kind == kind).order_by(RecordVersion.id.desc())
    )
    of_batch, of_alone = versions.fetchmany(2)
    assert of_batch.data == expected
    assert (of_batch.origin, of_batch.actor, of_batch.changed_at, of_batch.event) == (
        *(of_alone.origin, of_alone.actor, of_alone.changed_at, of_alone.event),
    )


def test_the_email_setting_reaches_every_session(crm: Session) -> None:
    crm.info.update(changes.session_info(Settings(email_max_length=40)))
    with pytest.raises(ChangeRefused, match=r"Email is 42 characters long; at most 40"):
        create(crm, Kind.CUSTOMER, NOW, email="a" * 30 + "@example.com")
