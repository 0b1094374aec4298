"""Assumptions that no setting changes: what they say, seen from outside, at the one place each."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from simulator.clock import ManualClock
from simulator.local_crm.fields import FIELDS
from simulator.server import Simulator
from simulator.services import Services
from simulator.triggers.models import Delivery, DeliveryState
from simulator.triggers.urls import Kind, RecordIds, trigger_url
from tests.crm_api_clients import Reply, encoded
from tests.forms import Browser
from tests.local_crm import create, fill_boxes
from tests.tls_receiver import TlsReceiver, answer

NAME = (("FIRSTNAME", "Ada"), ("LASTNAME", "Byron"))


@pytest.fixture(autouse=True)
def records(services: Services, clock: ManualClock) -> None:
    """A customer with a case, a follow-up and a task; then boxes with URLs."""
    now = clock.now()
    with services.sessions.begin() as session:
        customer = create(session, Kind.CUSTOMER, now)
        case = create(session, Kind.CASE, now, accountnum=customer)
        create(session, Kind.FOLLOWUP, now, casenum=case)
        create(session, Kind.TASK, now, accountnum=customer)
        fill_boxes(session, "https://crm.example.com")


def fired(services: Services) -> list[str]:
    with services.sessions() as session:
        found = session.scalars(select(Delivery).order_by(Delivery.id))
        return [f"{delivery.kind} {delivery.event}" for delivery in found]


def test_values_in_a_trigger_are_percent_encoded() -> None:
    ids = RecordIds("a b&c=d+e/f?g%h#ë", task_id="1")
    assert trigger_url("https://x.example/t", ids) == (
        "https://x.example/t?AccountID=a%20b%26c%3Dd%2Be%2Ff%3Fg%25h%23%C3%AB&TaskID=1"
    )


def test_a_trigger_says_nothing_but_its_url(
    simulator: Simulator, tls_receiver: TlsReceiver
) -> None:
    services = simulator.services
    tls_receiver.will(answer(200), answer(200))
    with services.sessions.begin() as session:
        fill_boxes(session, tls_receiver.url(""))
        for _ in range(2):
            create(session, Kind.CUSTOMER, services.clock.now())
    assert services.dispatcher.run_once() == 2
    requests = sorted(tls_receiver.requests, key=lambda request: request.target)
    assert [request.target for request in requests] == [
        "/customer/create?AccountID=10000001",
        "/customer/create?AccountID=10000002",
    ]
    first, second = (dict(request.headers) for request in requests)
    assert first == second
    assert set(first) == {"host", "user-agent", "accept", "accept-encoding", "connection"}


def test_a_customers_tasks_go_with_it(client: FlaskClient, browser: Browser) -> None:
    assert len(encoded(client, "Task", "GET", ("TASKNUM", "10000000")).items) == 1
    browser.submit("/agent/customers/10000000/delete")
    assert encoded(client, "Task", "GET", ("TASKNUM", "10000000")).items == []


def test_a_change_is_announced_read_and_answered_without_an_echo(
    simulator: Simulator, tls_receiver: TlsReceiver
) -> None:
    """All four steps: the agent's edit, the trigger, the read, the priority that is sent back."""
    services, client = simulator.services, simulator.app.test_client()
    with services.sessions.begin() as session:
        fill_boxes(session, tls_receiver.url(""))
    browser = Browser.of(client)
    browser.submit("/agent/customers/new", firstname="Ada", lastname="Byron")
    browser.submit("/agent/cases/new", accountnum="10000000", subject="Help")
    assert services.dispatcher.run_once() == 2
    assert fired(services) == ["Customer Create", "Case Create"]
    target = next(r.target for r in tls_receiver.requests if "CaseID" in r.target)
    case = target.rpartition("CaseID=")[2]
    (record,) = encoded(client, "Case", "GET", ("CASENUM", case)).items
    assert dict(record)["PRIORITY"] != "High"
    reply = encoded(client, "Case", "MODIFY", ("CASENUM", case), ("PRIORITY", "High"))
    assert reply.status == "0"
    assert encoded(client, "Case", "GET", ("CASENUM", case)).column("PRIORITY") == ["High"]
    assert services.dispatcher.run_once() == 0
    assert len(fired(services)) == 2
    with services.sessions() as session:
        states = set(session.scalars(select(Delivery.state)))
    assert states == {DeliveryState.DELIVERED}


def test_followup_is_an_object(client: FlaskClient) -> None:
    assert len(encoded(client, "Followup", "GET", ("CASENUM", "10000000")).items) == 1
    assert encoded(client, "FAQ", "GET", ("CASENUM", "10000000")).refused[0] == "1011"


@pytest.mark.parametrize("action", ["GET", "ADD", "MODIFY"])
def test_a_tag_that_is_given_twice_is_refused(client: FlaskClient, action: str) -> None:
    tags = (("ACCOUNTNUM", "10000000"), ("accountnum", "10000000"))
    expected = ("1026", "The tag ACCOUNTNUM is given more than once.")
    assert encoded(client, "Customer", action, *tags).refused == expected


@pytest.mark.parametrize("number", ["1000000x", "10 000", "-1", "１２", "1e7", " 10000000"])
def test_a_number_with_letters_fails_the_value_test(client: FlaskClient, number: str) -> None:
    reply = encoded(client, "Task", "GET", ("TASKNUM", number))
    assert reply.refused == ("5", "The value test of the tag tasknum is not valid.")


def test_a_tenant_can_be_enumerated_and_not_by_time(client: FlaskClient) -> None:
    def found(object_name: str, tag: str, value: str) -> int:
        return len(encoded(client, object_name, "GET", (tag, value)).items)

    assert found("Customer", "CUSTOMERTYPE", "Default") == 1
    assert found("Case", "STATUS", "Open") == 1
    assert found("Followup", "CASENUM", "10000000") == 1
    assert found("Task", "ACCOUNTNUM", "10000000") == 1
    assert found("Task", "TASK_STATUS", "Pending") == 1
    for object_name, tag in (
        ("Case", "LASTACTDATE"),
        ("Case", "CREATEDDATE"),
        ("Task", "LASTMODDATE"),
        ("Followup", "CREATEDDATE"),
    ):
        code, _ = encoded(client, object_name, "GET", (tag, "03022026")).refused
        assert code == "1025"
    assert encoded(client, "Case", "GET", ("PAGE", "2")).refused[0] == "1022"


CASE = (("ACCOUNTNUM", "10000000"), ("SUBJECT", "x"))


def test_the_values_that_clients_show_are_taken(client: FlaskClient) -> None:
    shown = (
        ("STATUS", "Open"),
        ("PRIORITY", "High"),
        ("SEVERITY", "Information"),
        ("CATEGORY", "Default"),
        ("PROJECT", "Default"),
        ("VISIBILITY", "Private"),
        ("MEDIATYPE", "Phone"),
    )
    added = encoded(client, "Case", "ADD", *CASE, *shown).added
    (item,) = encoded(client, "Case", "GET", ("CASENUM", added)).items
    assert set(shown) <= set(item)
    task = (("TASK_STATUS", "Pending"), ("CALL_TYPE", "DAA"), ("MEDIA_TYPE", "Phone"))
    assert encoded(client, "Task", "ADD", *CASE, *task).status == "0"


def test_a_subject_is_mandatory_and_a_pick_list_has_its_own_values(client: FlaskClient) -> None:
    reply = encoded(client, "Case", "ADD", CASE[0])
    assert reply.refused == ("1041", "The tag SUBJECT is mandatory.")
    reply = encoded(client, "Case", "ADD", *CASE, ("STATUS", "Pending"))
    assert reply.status == "0"
    reply = encoded(client, "Case", "ADD", *CASE, ("STATUS", "Ajar"))
    assert reply.refused == ("5", "The value test of the tag status is not valid.")


def test_two_changes_of_one_day_cannot_be_put_in_order(client: FlaskClient) -> None:
    """An older and a newer version differ in what was changed and in nothing else."""
    for kind, number_tag, tag in (
        (Kind.CUSTOMER, "ACCOUNTNUM", "COMPANY"),
        (Kind.CASE, "CASENUM", "SUBJECT"),
        (Kind.TASK, "TASKNUM", "SUBJECT"),
    ):
        versions = []
        for value in ("older", "newer"):
            number = (number_tag, "10000000")
            encoded(client, kind, "MODIFY", number, (tag, value))
            versions.append(dict(encoded(client, kind, "GET", number).items[0]))
        older, newer = versions
        assert {name for name in older if older[name] != newer[name]} == {tag}


LENGTHS = {
    "FIRSTNAME": 30,
    "LASTNAME": 30,
    "COMPANY": 50,
    "VOICE": 38,
    "FAX": 38,
    "ALTERNATIVE": 38,
    "PASSWORD": 15,
    "COMMENTS": 400,
    **{f"ADDR{n}{part}": 50 for n in (1, 2) for part in ("STR1", "STR2", "CITY")},
    **{f"ADDR{n}STATE": 40 for n in (1, 2)},
    **{f"ADDR{n}ZIP": 30 for n in (1, 2)},
    **{f"ADDR{n}COUNTRY": 15 for n in (1, 2)},
}


@pytest.mark.parametrize("tag", LENGTHS)
def test_each_length_fits_and_one_more_does_not(client: FlaskClient, tag: str) -> None:
    """Characters are counted: an é is one, though two bytes."""
    known = {field.tag for field in FIELDS[Kind.CUSTOMER]} | {"PASSWORD"}
    assert tag in known

    def add(text: str) -> Reply:
        return encoded(client, "Customer", "ADD", *{**dict(NAME), tag: text}.items())

    assert add("é" * LENGTHS[tag]).status == "0"
    expected = f"The value test of the tag {tag.lower()} is not valid."
    assert add("é" * (LENGTHS[tag] + 1)).refused == ("5", expected)
