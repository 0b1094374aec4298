"""Agents create, edit and delete all four kinds through the forms; triggers go to the outbox."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from simulator.agent_console import reads
from simulator.app import create_app
from simulator.clock import ManualClock
from simulator.db import read_session
from simulator.local_crm.models import (
    MODELS,
    Case,
    Customer,
    Followup,
    Origin,
    Record,
    RecordVersion,
    Task,
)
from simulator.services import Services
from simulator.settings import Settings
from simulator.triggers.models import Delivery, DeliveryState
from simulator.triggers.urls import BOXES, Kind
from tests.conftest import MORNING
from tests.forms import Browser, Page

FIRST = "10000000"


def set_urls(browser: Browser, **urls: str) -> Page:
    """Fill boxes of Integration > CRM Triggers through its form."""
    page = browser.submit("/config/integration/crm-triggers", **urls)
    assert page.flashes == ["The CRM triggers are saved."]
    return page


def set_all_urls(browser: Browser) -> None:
    """A URL of its own in each of the twelve boxes."""
    set_urls(
        browser,
        **{
            f"{kind.lower()}_{event.lower()}": f"https://crm.example.com/{kind}/{event}"
            for kind, event in BOXES
        },
    )


def outbox(services: Services) -> list[str]:
    """The URLs of all deliveries, in the order in which they came."""
    with read_session(services.engine) as session:
        return list(session.scalars(select(Delivery.url).order_by(Delivery.id)))


def count(services: Services, model: type[Any]) -> int:
    """How many rows a table has."""
    with read_session(services.engine) as session:
        return session.scalar(select(func.count()).select_from(model)) or 0


def get(services: Services, kind: Kind, record_id: str = FIRST) -> Record:
    """The row of a record."""
    with read_session(services.engine) as session:
        found: Record = session.get_one(MODELS[kind], record_id)
        return found


@pytest.fixture
def customer(browser: Browser) -> str:
    """A customer made by an agent; no trigger is set yet."""
    page = browser.submit("/agent/customers/new", firstname="Ada", lastname="Byron")
    return page.path.rpartition("/")[2]


@pytest.fixture
def case(browser: Browser, customer: str) -> str:
    """A case of the customer."""
    page = browser.submit(f"/agent/cases/new?accountnum={customer}", subject="No dial tone")
    return page.path.rpartition("/")[2]


def test_a_customer_is_created_through_the_form(browser: Browser, services: Services) -> None:
    page = browser.submit(
        "/agent/customers/new",
        firstname="Zoë",
        lastname="O'Neill & Söhne",
        company="Müller GmbH",
        comments="first\nsecond",
        customertype="Partner",
        email="zoe@example.com",
        addr1country="Österreich",
    )
    assert (page.status, page.path) == (200, f"/agent/customers/{FIRST}")
    row = get(services, Kind.CUSTOMER)
    assert isinstance(row, Customer)
    assert (row.firstname, row.lastname, row.company) == ("Zoë", "O'Neill & Söhne", "Müller GmbH")
    assert (row.comments, row.customertype) == ("first\nsecond", "Partner")
    assert page.field("lastname") == "O'Neill & Söhne"
    assert page.field("addr1country") == "Österreich"
    assert "2026-03-02 09:00:00 UTC" in page.text


def test_every_kind_is_created_edited_and_deleted_through_forms(
    browser: Browser, services: Services, clock: ManualClock
) -> None:
    browser.submit("/agent/customers/new", firstname="Ada", lastname="Byron")
    browser.submit(f"/agent/cases/new?accountnum={FIRST}", subject="Broken", priority="High")
    browser.submit(f"/agent/followups/new?casenum={FIRST}", subject="Called", body="Nobody there")
    browser.submit(
        f"/agent/tasks/new?accountnum={FIRST}",
        subject="Call back",
        assignedto="ag1002",
        duedate="2026-06-01T09:15",
    )
    task, followup = get(services, Kind.TASK), get(services, Kind.FOLLOWUP)
    assert isinstance(task, Task)
    assert isinstance(followup, Followup)
    assert task.duedate == datetime(2026, 6, 1, 9, 15, tzinfo=UTC)
    assert (task.assignedto, task.task_status, task.createdby) == ("ag1002", "Pending", "ag1001")
    assert (followup.accountnum, followup.casenum) == (FIRST, FIRST)

    clock.advance(timedelta(minutes=5))
    browser.submit(f"/agent/customers/{FIRST}/edit", company="Analytical Engines")
    browser.submit(f"/agent/cases/{FIRST}/edit", status="Closed")
    browser.submit(f"/agent/followups/{FIRST}/edit", body="Somebody there")
    browser.submit(f"/agent/tasks/{FIRST}/edit", task_status="Completed", duedate="")
    case, task = get(services, Kind.CASE), get(services, Kind.TASK)
    assert isinstance(case, Case)
    assert isinstance(task, Task)
    assert (case.status, case.closedby, case.subject) == ("Closed", "ag1001", "Broken")
    assert case.closeddate == MORNING + timedelta(minutes=5)
    assert (task.task_status, task.duedate) == ("Completed", None)

    for path in ("followups", "tasks", "cases", "customers"):
        page = browser.submit(f"/agent/{path}/{FIRST}/delete")
        assert (page.status, page.path) == (200, f"/agent/{path}")
    assert [count(services, model) for model in MODELS.values()] == [0, 0, 0, 0]
    assert count(services, RecordVersion) == 12


def test_each_of_the_eleven_events_leaves_its_url_in_the_outbox(
    browser: Browser, services: Services
) -> None:
    set_all_urls(browser)
    browser.submit("/agent/customers/new", firstname="Ada", lastname="Byron")
    browser.submit(f"/agent/customers/{FIRST}/edit", company="Analytical Engines")
    browser.submit(f"/agent/cases/new?accountnum={FIRST}", subject="Broken")
    browser.submit(f"/agent/cases/{FIRST}/edit", subject="Still broken")
    browser.submit(f"/agent/followups/new?casenum={FIRST}", subject="Called")
    edited = browser.submit(f"/agent/followups/{FIRST}/edit", subject="Called twice")
    browser.submit(f"/agent/tasks/new?accountnum={FIRST}", subject="Call back")
    browser.submit(f"/agent/tasks/{FIRST}/edit", subject="Call back soon")
    browser.submit(f"/agent/followups/{FIRST}/delete")
    browser.submit(f"/agent/tasks/{FIRST}/delete")
    browser.submit(f"/agent/cases/{FIRST}/delete")
    browser.submit(f"/agent/customers/{FIRST}/delete")

    base = "https://crm.example.com"
    assert outbox(services) == [
        f"{base}/Customer/Create?AccountID=10000000",
        f"{base}/Customer/Edit?AccountID=10000000",
        f"{base}/Case/Create?AccountID=10000000&CaseID=10000000",
        f"{base}/Case/Edit?AccountID=10000000&CaseID=10000000",
        f"{base}/Followup/Create?AccountID=10000000&CaseID=10000000&FollowupID=10000000",
        f"{base}/Task/Create?AccountID=10000000&TaskID=10000000",
        f"{base}/Task/Edit?AccountID=10000000&TaskID=10000000",
        f"{base}/Followup/Delete?AccountID=10000000&CaseID=10000000&FollowupID=10000000",
        f"{base}/Task/Delete?AccountID=10000000&TaskID=10000000",
        f"{base}/Case/Delete?AccountID=10000000&CaseID=10000000",
        f"{base}/Customer/Delete?AccountID=10000000",
    ]
    assert edited.flashes == [
        "Follow-up 10000000 was saved. No trigger fired: Followup Edit fires none."
    ]


def test_a_deleted_customer_takes_all_with_it_and_fires_alone(
    browser: Browser, services: Services, case: str
) -> None:
    browser.submit(f"/agent/followups/new?casenum={case}", subject="Called")
    browser.submit(f"/agent/tasks/new?accountnum={FIRST}", subject="Call back")
    set_all_urls(browser)
    question = browser.get(f"/agent/customers/{FIRST}/delete")
    assert "With it go 1 case, 1 follow-up, 1 task;" in question.text
    browser.send(question)
    assert [count(services, model) for model in MODELS.values()] == [0, 0, 0, 0]
    assert outbox(services) == ["https://crm.example.com/Customer/Delete?AccountID=10000000"]


def test_a_line_says_which_delivery_an_action_made_and_links_to_it(browser: Browser) -> None:
    set_urls(browser, customer_create="https://crm.example.com/c?kind=customer")
    page = browser.submit("/agent/customers/new", firstname="Ada", lastname="Byron")
    assert page.flashes == [
        "Customer 10000000 was created. Its trigger Customer Create fired: delivery 1 waiting"
    ]
    assert page.links.count("/deliveries/1") == 2  # in the line and in the record's deliveries
    page = browser.submit(f"/agent/customers/{FIRST}/edit", company="X")
    assert page.flashes == [
        "Customer 10000000 was saved. No trigger fired: "
        "no URL is set for Customer Edit in CRM Triggers."
    ]


def test_save_without_a_change_fires(browser: Browser, services: Services, customer: str) -> None:
    set_all_urls(browser)
    browser.submit(f"/agent/customers/{customer}/edit")
    browser.submit(f"/agent/customers/{customer}/edit")
    assert len(outbox(services)) == 2


def test_wrong_input_is_named_beside_its_field_and_entries_are_kept(
    browser: Browser, services: Services
) -> None:
    page = browser.submit(
        "/agent/customers/new",
        firstname="F" * 31,
        lastname="  ",
        email="not an address",
        comments="kept <b>as text</b>\nsecond line",
        customertype="Prospect",
    )
    assert page.status == 422
    assert page.problem("firstname") == (
        "First Name is 31 characters long; at most 30 are allowed."
    )
    assert page.problem("lastname") == "Last Name is required."
    assert page.problem("email") == "Email must be an address like name@example.com."
    assert page.problem("comments") == ""
    assert page.value("firstname") == "F" * 31
    assert page.value("email") == "not an address"
    assert page.value("comments") == "kept <b>as text</b>\nsecond line"
    assert page.value("customertype") == "Prospect"
    assert count(services, Customer) == 0
    mended = browser.send(page, firstname="Ada", lastname="Byron", email="ada@example.com")
    assert mended.path == f"/agent/customers/{FIRST}"


def test_a_taken_email_is_refused_beside_its_field(browser: Browser) -> None:
    browser.submit("/agent/customers/new", firstname="A", lastname="B", email="a@example.com")
    page = browser.submit(
        "/agent/customers/new", firstname="C", lastname="D", email="A@example.com"
    )
    assert page.status == 422
    assert page.problem("email") == "Another customer has the email A@example.com."
    assert page.value("firstname") == "C"


@pytest.mark.parametrize(
    ("duedate", "kept"),
    [("tomorrow", "tomorrow"), ("2026-13-01T00:00", "2026-13-01T00:00"), ("0009-01-01T00:00",) * 2],
)
def test_a_wrong_due_date_is_refused_beside_its_field(
    browser: Browser, services: Services, customer: str, duedate: str, kept: str
) -> None:
    page = browser.submit(
        f"/agent/tasks/new?accountnum={customer}", subject="Call", duedate=duedate
    )
    assert page.status == 422
    assert page.problem("duedate") == "Due must be a date and time in UTC like 2030-12-31T09:30."
    assert (page.value("duedate"), page.value("subject")) == (kept, "Call")
    assert count(services, Task) == 0


def test_a_choice_that_is_none_is_refused_beside_its_field(browser: Browser, customer: str) -> None:
    form = browser.get(f"/agent/tasks/new?accountnum={customer}")
    token = _token(form)
    page = browser.post(
        f"/agent/tasks/new?accountnum={customer}",
        [
            ("csrf_token", token),
            ("accountnum", customer),
            ("subject", "Call"),
            ("task_status", "Lost"),
            ("assignedto", "ag9999"),
        ],
    )
    assert page.status == 422
    assert page.problem("task_status") == (
        "Status must be one of: Pending, In Progress, Completed."
    )
    assert page.problem("assignedto") == "Assigned To: there is no agent ag9999."


def test_a_case_needs_a_customer_that_exists(browser: Browser) -> None:
    page = browser.submit("/agent/cases/new", accountnum="4711", subject="Broken")
    assert page.status == 422
    assert page.problem("accountnum") == "Account Number: there is no Customer 4711."
    assert page.value("accountnum") == "4711"


def test_all_that_is_wrong_with_a_new_record_is_said_at_once(browser: Browser) -> None:
    page = browser.submit("/agent/tasks/new?accountnum=1", subject=" ", phone="1" * 39)
    assert page.problem("accountnum") == "Account Number: there is no Customer 1."
    assert page.problem("subject") == "Subject is required."
    assert page.problem("phone") == "Phone is 39 characters long; at most 38 are allowed."


def test_a_line_and_the_table_below_it_say_the_same_of_a_delivery(
    browser: Browser, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_all_urls(browser)
    read = reads.latest_deliveries

    def read_and_then_it_is_delivered(*about: Any) -> Any:
        found = read(*about)
        with services.sessions.begin() as session:
            session.execute(update(Delivery).values(state=DeliveryState.DELIVERED))
        return found

    monkeypatch.setattr(reads, "latest_deliveries", read_and_then_it_is_delivered)
    page = browser.submit("/agent/customers/new", firstname="Ada", lastname="Byron")
    assert "delivery 1 waiting" in page.flashes[0]
    assert [each.text for each in page.document.find_class("badge")] == ["waiting"] * 2


def test_an_email_is_broken_after_its_at_sign(browser: Browser, customer: str) -> None:
    browser.submit(f"/agent/customers/{customer}/edit", email="<b>@example.com")
    for path in ("/agent/customers", f"/agent/customers/{customer}"):
        assert b"&lt;b&gt;@<wbr>example.com" in browser.get(path).content


def test_html_in_a_field_comes_back_as_text(browser: Browser) -> None:
    script = '<script>alert("x")</script>&amp;'
    page = browser.submit(
        "/agent/customers/new", firstname="<i>A</i>", lastname="'\"&", comments=script
    )
    assert page.field("comments") == script
    assert page.field("firstname") == "<i>A</i>"
    assert page.document.xpath("//script | //main//i") == []
    edit = browser.get(f"{page.path}/edit")
    assert edit.value("comments") == script
    assert edit.value("lastname") == "'\"&"


def test_a_record_shows_parents_children_and_versions_as_links(
    browser: Browser, customer: str, case: str
) -> None:
    browser.submit(f"/agent/followups/new?casenum={case}", subject="Called")
    page = browser.get(f"/agent/followups/{FIRST}")
    assert f"/agent/customers/{customer}" in page.links
    assert f"/agent/cases/{case}" in page.links
    page = browser.get(f"/agent/cases/{case}")
    assert f"/agent/followups/{FIRST}" in page.links
    assert f"/agent/followups/new?casenum={case}" in page.links
    page = browser.get(f"/agent/customers/{customer}")
    headings = page.document.xpath("//section[@id='cases']//th/text()")
    assert headings == ["Case Number", "Subject", "Status", "Priority", "Created"]
    assert {f"/agent/cases/{case}", f"/agent/followups/{FIRST}"} <= set(page.links)
    (versions,) = page.document.xpath("//section[@id='versions']")
    row = [cell.text_content() for cell in versions.xpath(".//tbody//td")]
    assert row == ["1", "2026-03-02 09:00:00 UTC", "Create", "agent", "ag1001"]


def test_the_acting_agent_is_the_author(
    browser: Browser, services: Services, customer: str
) -> None:
    page = browser.submit("/agent/cases", action="/agent/act-as", agent_id="ag1003")
    assert page.path == "/agent/cases"
    assert page.flashes == ["You act as agent ag1003 now."]
    browser.submit(f"/agent/cases/new?accountnum={customer}", subject="Broken")
    case = get(services, Kind.CASE)
    assert isinstance(case, Case)
    assert case.createdby == "ag1003"
    with read_session(services.engine) as session:
        version = session.scalars(select(RecordVersion).order_by(RecordVersion.id.desc())).first()
        assert version is not None
        assert (version.origin, version.actor) == (Origin.AGENT, "ag1003")


def test_nobody_acts_as_an_agent_that_is_none(browser: Browser) -> None:
    token = _token(browser.get("/agent/cases"))
    page = browser.post("/agent/act-as", [("csrf_token", token), ("agent_id", "boss")])
    assert page.status == 400
    assert "There is no agent boss. Choose one from the list." in page.text


def test_act_as_does_not_lead_elsewhere(browser: Browser) -> None:
    token = _token(browser.get("/agent/cases"))
    fields = [("csrf_token", token), ("agent_id", "ag1002"), ("next", "https://evil.example/")]
    assert browser.post("/agent/act-as", fields).url == "http://localhost/agent/customers"
    fields[-1] = ("next", "/agent/cases\r\nSet-Cookie: a=b")
    assert browser.post("/agent/act-as", fields).url == "http://localhost/agent/customers"


def test_a_deleted_record_shows_its_deliveries_and_versions(
    browser: Browser, customer: str
) -> None:
    set_urls(browser, customer_delete="https://crm.example.com/c")
    browser.submit(f"/agent/customers/{customer}/delete")
    page = browser.get(f"/agent/customers/{customer}")
    assert page.status == 404
    assert "Customer 10000000 was deleted" in page.text
    assert "by ag1001; nothing can be restored." in page.text
    assert "/deliveries/1" in page.links
    versions = page.document.xpath("//*[@id='versions']//tbody/tr/td[3]/text()")
    assert versions == ["Delete", "Create"]


@pytest.mark.parametrize("path", ["", "/edit", "/delete"])
def test_a_record_that_is_gone_is_a_page_with_a_sentence(browser: Browser, path: str) -> None:
    page = browser.get(f"/agent/customers/99{path}")
    assert page.status == 404
    assert "Customer 99 does not exist, or not any more." in page.text


@pytest.mark.parametrize("path", ["/edit", "/delete"])
def test_a_record_deleted_meanwhile_cannot_be_changed(
    browser: Browser, services: Services, customer: str, path: str
) -> None:
    form = browser.get(f"/agent/customers/{customer}{path}")
    browser.submit(f"/agent/customers/{customer}/delete")
    page = browser.send(form)
    assert page.status == 404
    assert f"Customer {customer} was deleted" in page.text
    assert "It was deleted at 2026-03-02 09:00:00 UTC by ag1001" in page.text


def test_what_was_typed_for_a_record_deleted_meanwhile_is_shown(
    browser: Browser, customer: str
) -> None:
    form = browser.get(f"/agent/customers/{customer}/edit")
    browser.submit(f"/agent/customers/{customer}/delete")
    page = browser.send(form, company="<b>Engines</b>")
    assert "Nothing was saved. This is what you had typed:" in page.text
    assert "Company<b>Engines</b>" in page.text.replace("Company ", "Company")


def test_an_empty_list_says_what_to_do_next(browser: Browser) -> None:
    page = browser.get("/agent/customers")
    assert "There are no customers yet. Create the first one" in page.text
    assert "/agent/customers/new" in page.links
    assert "There are no tasks here yet. Open a customer" in browser.get("/agent/tasks").text


def test_the_list_of_a_parent_shows_its_children_alone(
    browser: Browser, customer: str, case: str
) -> None:
    browser.submit("/agent/customers/new", firstname="B", lastname="B")
    browser.submit("/agent/cases/new?accountnum=10000001", subject="Another")
    page = browser.get(f"/agent/cases?accountnum={customer}")
    assert f"/agent/cases/{case}" in page.links
    assert "/agent/cases/10000001" not in page.links
    assert f"/agent/cases/new?accountnum={customer}" in page.links


class TestWithTheSwitchOn:
    """The twelfth box fires under the switch `followup_edit_trigger`."""

    @pytest.fixture
    def app(self, sim_settings: Settings, clock: ManualClock) -> Iterator[Flask]:
        """The app with the switch on."""
        app = create_app(
            sim_settings.model_copy(update={"followup_edit_trigger": True}), clock=clock
        )
        yield app
        app.extensions["crm_simulator"].close()

    def test_followup_edit_fires(self, browser: Browser, services: Services, case: str) -> None:
        browser.submit(f"/agent/followups/new?casenum={case}", subject="Called")
        set_all_urls(browser)
        page = browser.submit(f"/agent/followups/{FIRST}/edit", subject="Called twice")
        assert outbox(services) == [
            "https://crm.example.com/Followup/Edit"
            "?AccountID=10000000&CaseID=10000000&FollowupID=10000000"
        ]
        assert page.flashes == [
            "Follow-up 10000000 was saved. Its trigger Followup Edit fired: delivery 1 waiting"
        ]
        assert "fires nothing" not in browser.get("/config/integration/crm-triggers").text


def _token(page: Page) -> str:
    return str(page.document.xpath("//input[@name='csrf_token']/@value")[0])
