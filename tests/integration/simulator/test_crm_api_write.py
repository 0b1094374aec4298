"""ADD and MODIFY: what is written, by whom, what is refused, and that nothing fires or shows."""

import logging
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, text

from simulator.clock import ManualClock
from simulator.db import read_session
from simulator.local_crm import custom_fields, queries
from simulator.local_crm.fields import CustomType, Definition
from simulator.local_crm.first_start import ALL_RIGHTS
from simulator.local_crm.models import ApiAccess, Customer, RecordVersion
from simulator.local_crm.passwords import CustomerPassword
from simulator.local_crm.secrets import check_secret
from simulator.services import Services
from simulator.triggers.models import Delivery
from simulator.triggers.urls import Kind
from tests.crm_api_clients import CLIENTS, Client, Reply, encoded
from tests.forms import Browser
from tests.local_crm import create, fill_boxes

NAME = (("FIRSTNAME", "Zoë"), ("LASTNAME", "Ōe 李"))
V = "The value test of the tag {} is not valid."
Call = Callable[..., Reply]


@pytest.fixture(autouse=True)
def records(services: Services, clock: ManualClock) -> None:
    """Boxes with URLs; a customer with a case, a follow-up and a task; custom fields."""
    now = clock.now()
    types = {"txt": CustomType.TEXT, "num": CustomType.NUMBER, "day": CustomType.DATE}
    with services.sessions.begin() as session:
        for name, custom_type in types.items():
            custom_fields.define(session, Definition(Kind.CUSTOMER, name, name, custom_type))
        customer = create(session, Kind.CUSTOMER, now, email="zoe@example.com", company="Acme")
        case = create(session, Kind.CASE, now, accountnum=customer)
        create(session, Kind.FOLLOWUP, now, casenum=case)
        create(session, Kind.TASK, now, accountnum=customer)
        fill_boxes(session, "https://crm.example.com")  # after the agent's own: none of them fired


@pytest.fixture
def call(client: FlaskClient) -> Call:
    """A call as most clients send it."""
    return lambda *args: encoded(client, *args)


def counts(services: Services) -> tuple[int, ...]:
    """Versions, deliveries, numbers handed out, passwords."""
    with read_session(services.engine) as session:
        return tuple(
            session.scalar(text(sql)) or 0
            for sql in (
                "SELECT count(*) FROM record_versions",
                "SELECT count(*) FROM deliveries",
                "SELECT sum(next_number) FROM number_sequences",
                "SELECT count(*) FROM customer_passwords",
            )
        )


ADDITIONS = [
    ("Customer", NAME, "ACCOUNTNUM", Kind.CUSTOMER),
    ("Case", (("ACCOUNTNUM", "10000000"), ("SUBJECT", "x")), "CASENUM", Kind.CASE),
    ("Followup", (("CASENUM", "10000000"), ("SUBJECT", "x")), "FOLLOWUPNUM", Kind.FOLLOWUP),
    ("Task", (("ACCOUNTNUM", "10000000"), ("SUBJECT", "x")), "TASKNUM", Kind.TASK),
]


@pytest.mark.parametrize("send", CLIENTS)
@pytest.mark.parametrize(("object_name", "tags", "number_tag", "kind"), ADDITIONS)
def test_an_addition_answers_with_the_number_and_fires_nothing(
    client: FlaskClient,
    services: Services,
    send: Client,
    object_name: str,
    tags: tuple[tuple[str, str], ...],
    number_tag: str,
    kind: Kind,
) -> None:
    with services.sessions.begin() as session:
        session.get_one(ApiAccess, 1).used_identity = "ag1004"
    reply = send(client, object_name, "Add", *tags)
    assert reply.number == (number_tag, "10000001")
    with read_session(services.engine) as session:
        (version,) = queries.versions(session, kind, "10000001")
        assert (str(version.event), version.origin, version.actor) == ("Create", "api", "ag1004")
        assert session.scalar(select(func.count()).select_from(Delivery)) == 0
    shown = send(client, object_name, "Get", (number_tag, reply.added)).items[0]
    assert set(tags) <= set(shown)
    if kind is not Kind.CUSTOMER:
        assert dict(shown)["CREATEDBY"] == "ag1004"


@pytest.mark.parametrize("send", CLIENTS)
@pytest.mark.parametrize(
    ("kind", "number_tag", "change"),
    [
        (Kind.CUSTOMER, "ACCOUNTNUM", ("company", "Ōe")),
        (Kind.CASE, "CaseNum", ("Status", "Closed")),
        (Kind.TASK, "TASKNUM", ("TASK_STATUS", "Completed")),
    ],
)
def test_a_modification_changes_what_is_given_and_fires_nothing(
    client: FlaskClient,
    services: Services,
    send: Client,
    kind: Kind,
    number_tag: str,
    change: tuple[str, str],
) -> None:
    number = (number_tag.upper(), "10000000")
    before = dict(send(client, kind, "Get", number).items[0])
    reply = send(client, kind, "Modify", (number_tag, "10000000"), change)
    assert (reply.status, reply.items, reply.number) == ("0", [], None)
    after = dict(send(client, kind, "Get", number).items[0])
    stamped = {"CLOSEDBY", "CLOSEDDATE"} if kind is Kind.CASE else set()
    changed = {tag for tag in before if before[tag] != after[tag]}
    assert changed == {change[0].upper()} | stamped
    assert after[change[0].upper()] == change[1]
    with read_session(services.engine) as session:
        version = queries.versions(session, kind, "10000000")[-1]
        assert (str(version.event), version.origin, version.actor) == ("Edit", "api", "ag1001")
        assert session.scalar(select(func.count()).select_from(Delivery)) == 0


def test_an_empty_element_clears_a_value(call: Call) -> None:
    call("Customer", "Modify", ("ACCOUNTNUM", "10000000"), ("COMPANY", ""), ("EMAIL", ""))
    shown = dict(call("Customer", "Get", ("ACCOUNTNUM", "10000000")).items[0])
    assert (shown["COMPANY"], shown["EMAIL"]) == ("", "")


def test_custom_fields_are_written_by_name_in_any_case(call: Call) -> None:
    custom = (("TXT", "李 & <b>"), ("num", "-3.5"), ("Day", "02282024"))
    added = call("Customer", "Add", *NAME, *custom).added
    assert call("Customer", "Get", ("ACCOUNTNUM", added)).items[0][-3:] == [
        ("txt", "李 & <b>"),
        ("num", "-3.5"),
        ("day", "02282024"),
    ]
    call("Customer", "Modify", ("ACCOUNTNUM", added), ("num", "4"))
    assert call("Customer", "Get", ("txt", "李 & <b>"), ("num", "4")).column("ACCOUNTNUM") == [
        added
    ]


def test_a_due_date_has_hours_and_minutes(call: Call) -> None:
    tags = (("ACCOUNTNUM", "10000000"), ("SUBJECT", "x"), ("DUEDATE", "022920241545"))
    added = call("Task", "Add", *tags).added
    assert call("Task", "Get", ("TASKNUM", added)).column("DUEDATE") == ["022920241545"]
    call("Task", "Modify", ("TASKNUM", added), ("DUEDATE", ""))
    assert call("Task", "Get", ("TASKNUM", added)).column("DUEDATE") == [""]


def test_a_followup_may_name_its_customer_if_it_is_the_cases(call: Call) -> None:
    tags = (("CASENUM", "10000000"), ("SUBJECT", "x"))
    assert call("Followup", "Add", ("ACCOUNTNUM", "10000000"), *tags).added == "10000001"
    other = call("Customer", "Add", *NAME).added
    refused = call("Followup", "Add", ("ACCOUNTNUM", other), *tags).refused
    assert refused == ("5", V.format("accountnum"))


def test_what_was_added_can_be_added_to(call: Call) -> None:
    customer = call("Customer", "ADD", *NAME).added
    case = call("Case", "ADD", ("ACCOUNTNUM", customer), ("SUBJECT", "x")).added
    call("Followup", "ADD", ("CASENUM", case), ("SUBJECT", "y"))
    assert call("Followup", "GET", ("ACCOUNTNUM", customer)).column("CASENUM") == [case]


CUSTOMER = (("ACCOUNTNUM", "10000000"),)
CASE = (("ACCOUNTNUM", "10000000"), ("SUBJECT", "x"))


@pytest.mark.parametrize(
    ("object_name", "action", "tags", "expected"),
    [
        ("Customer", "Add", (), ("1041", "The tag FIRSTNAME is mandatory.")),
        ("Customer", "Add", (("FIRSTNAME", " "), ("LASTNAME", "x")), ("5", V.format("firstname"))),
        (
            "Customer",
            "Add",
            (*NAME, ("EMAIL", "ZOE@EXAMPLE.COM")),
            ("81", "A customer with the email ZOE@EXAMPLE.COM exists already."),
        ),
        ("Customer", "Add", (*NAME, ("EMAIL", "nobody")), ("5", V.format("email"))),
        ("Customer", "Add", (*NAME, ("CUSTOMERTYPE", "King")), ("5", V.format("customertype"))),
        ("Customer", "Add", (*NAME, ("COMMENTS", "x" * 401)), ("5", V.format("comments"))),
        ("Customer", "Add", (*NAME, ("VOICE", "1" * 39)), ("5", V.format("voice"))),
        ("Customer", "Add", (*NAME, ("txt", "ë" * 2000 + "x")), ("5", V.format("txt"))),
        ("Customer", "Add", (*NAME, ("num", "12a")), ("5", V.format("num"))),
        ("Customer", "Add", (*NAME, ("day", "02302024")), ("5", V.format("day"))),
        ("Customer", "Add", (*NAME, ("PASSWORD", "x" * 16)), ("5", V.format("password"))),
        ("Customer", "Add", (*NAME, ("AUTOPASSWD", "1")), ("5", V.format("autopasswd"))),
        (
            "Customer",
            "Add",
            (*NAME, ("AUTOPASSWD", "true"), ("PASSWORD", "x")),
            ("1045", "Give either PASSWORD or AUTOPASSWD, not both."),
        ),
        ("Customer", "Add", (*NAME, *NAME), ("1026", "The tag FIRSTNAME is given more than once.")),
        ("Customer", "Add", (*NAME, ("custom_fields", "{}")), ("1022", "")),
        ("Customer", "Modify", CUSTOMER, ("1044", "")),
        ("Customer", "Modify", NAME, ("1041", "The tag ACCOUNTNUM is mandatory.")),
        (
            "Customer",
            "Modify",
            (("ACCOUNTNUM", "99999999"), *NAME),
            ("1043", "There is no Customer 99999999."),
        ),
        ("Customer", "Modify", (("ACCOUNTNUM", "1e7"), *NAME), ("5", V.format("accountnum"))),
        ("Customer", "Modify", (*CUSTOMER, ("FIRSTNAME", "")), ("5", V.format("firstname"))),
        ("Customer", "Modify", (*CUSTOMER, ("AUTOPASSWD", "TRUE")), ("1046", "")),
        ("Customer", "Delete", CUSTOMER, ("1013", "")),
        ("Case", "Add", (("SUBJECT", "x"),), ("1041", "The tag ACCOUNTNUM is mandatory.")),
        ("Case", "Add", (("ACCOUNTNUM", ""), ("SUBJECT", "x")), ("1041", "")),
        ("Case", "Add", (("ACCOUNTNUM", "9" * 5000), ("SUBJECT", "x")), ("5", "")),
        ("Case", "Add", (("ACCOUNTNUM", "99999999"), ("SUBJECT", "x")), ("1043", "")),
        ("Case", "Add", (*CASE, ("ASSIGNEDTO", "nobody")), ("5", V.format("assignedto"))),
        ("Case", "Add", (*CASE, ("CREATEDDATE", "02022026")), ("1042", "")),
        ("Case", "Modify", (("CASENUM", "10000000"), *CASE), ("1042", "")),
        ("Case", "Modify", (("CASENUM", "10000000"), ("STATUS", "")), ("5", V.format("status"))),
        ("Followup", "Modify", (("FOLLOWUPNUM", "10000000"), ("SUBJECT", "x")), ("1013", "")),
        ("Task", "Add", (*CASE, ("DUEDATE", "02302024")), ("5", V.format("duedate"))),
        ("Task", "Add", (*CASE, ("DUEDATE", "023020241200")), ("5", V.format("duedate"))),
        ("Task", "Add", (*CASE, ("DUEDATE", "022820242460")), ("5", V.format("duedate"))),
        ("Task", "Add", (*CASE, ("DUEDATE", "tomorrow")), ("5", V.format("duedate"))),
        ("Task", "Add", (*CASE, ("TASKNUM", "1")), ("1042", "")),
        ("Task", "Add", (*CASE, ("AUTOPASSWD", "TRUE")), ("1024", "")),
    ],
)
def test_a_call_that_breaks_a_rule_is_refused_and_changes_nothing(
    call: Call,
    services: Services,
    object_name: str,
    action: str,
    tags: tuple[tuple[str, str], ...],
    expected: tuple[str, str],
) -> None:
    before = counts(services)
    code, sentence = call(object_name, action, *tags).refused
    assert code == expected[0]
    assert sentence.endswith(".") and (not expected[1] or sentence == expected[1])
    assert counts(services) == before


def test_4000_bytes_fit_and_one_more_in_2000_characters_does_not(call: Call) -> None:
    assert call("Customer", "Add", *NAME, ("txt", "ë" * 2000)).added == "10000001"
    refused = call("Customer", "Add", *NAME, ("txt", "ë" * 1998 + "😀x")).refused
    assert refused == ("5", V.format("txt"))


@pytest.mark.parametrize("right", ALL_RIGHTS)
def test_each_right_is_needed_and_no_other(call: Call, services: Services, right: str) -> None:
    kind, _, action = right.partition(":")
    number_tag = next(tag for name, _, tag, _ in ADDITIONS if name == kind)
    tags = {
        "Get": ((number_tag, "10000000"),),
        "Add": next(tags for name, tags, _, _ in ADDITIONS if name == kind),
        "Modify": ((number_tag, "10000000"), ("FIRSTNAME", "A"))
        if kind == Kind.CUSTOMER
        else ((number_tag, "10000000"), ("SUBJECT", "A")),
    }[action]
    with services.sessions.begin() as session:
        access = session.get_one(ApiAccess, 1)
        access.rights = [other for other in ALL_RIGHTS if other != right]
    before = counts(services)
    assert call(kind, action, *tags).refused == (
        "1004",
        f"The CRM API user has no right to {action} {kind}.",
    )
    assert counts(services) == before
    with services.sessions.begin() as session:
        session.get_one(ApiAccess, 1).rights = [right]
    assert call(kind, action, *tags).status == "0"


def test_rights_do_not_come_from_the_identity(call: Call, services: Services) -> None:
    with services.sessions.begin() as session:
        session.get_one(ApiAccess, 1).used_identity = "nobody"
    assert call("Case", "Add", *CASE).added == "10000001"


def test_a_password_is_kept_as_a_hash_and_shown_nowhere(
    client: FlaskClient,
    call: Call,
    services: Services,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    added = call("Customer", "Add", *NAME, ("PASSWORD", "S3cret-fifteen!")).added
    with read_session(services.engine) as session:
        kept = session.get_one(CustomerPassword, added)
        assert check_secret(kept.password_hash, "S3cret-fifteen!")
        versions = session.scalars(select(RecordVersion.data)).all()
    out, err = capsys.readouterr()
    pages = [
        client.get("/agent/customers/" + added).text,
        str(call("Customer", "Get", ("ACCOUNTNUM", added))),
    ]
    for place in (out, err, caplog.text, str(versions), *pages, kept.password_hash):
        assert "S3cret" not in place
    assert kept.password_hash not in str(versions) + str(pages)


@pytest.mark.parametrize(("wish", "kept"), [("TRUE", 1), ("true", 1), ("FALSE", 0), ("", 0)])
def test_autopasswd_makes_a_password_that_nobody_is_told(
    call: Call, services: Services, wish: str, kept: int
) -> None:
    call("Customer", "Add", *NAME, ("AUTOPASSWD", wish))
    assert counts(services)[3] == kept


def test_a_password_goes_with_its_customer(
    browser: Browser, call: Call, services: Services
) -> None:
    added = call("Customer", "Add", *NAME, ("AUTOPASSWD", "TRUE")).added
    browser.submit(f"/agent/customers/{added}/delete")
    with read_session(services.engine) as session:
        assert session.get(Customer, added) is None
    assert counts(services)[3] == 0
