"""Two agents and one record, a form that is sent twice, the way back, the theme."""

import pytest
from sqlalchemy import func, select

from simulator.db import read_session
from simulator.local_crm import changes
from simulator.local_crm.changes import Author
from simulator.local_crm.models import Customer, Origin
from simulator.services import Services
from simulator.triggers.models import Delivery
from simulator.triggers.urls import Kind
from tests.forms import Browser, Page
from tests.local_crm import create, fill_boxes

FIRST = "10000000"
EDIT = f"/agent/customers/{FIRST}/edit"


@pytest.fixture
def customer(services: Services) -> None:
    """A customer, and all boxes filled."""
    with services.sessions.begin() as session:
        create(session, Kind.CUSTOMER, services.clock.now(), company="Old", comments="Old note")
        fill_boxes(session, "https://crm.example.com")
    assert fired(services) == 0


def other_agent_saves(browser: Browser, path: str = EDIT, **values: str) -> Page:
    """Another agent opens a record's form, types, and saves."""
    browser.submit("/agent/customers", action="/agent/act-as", agent_id="ag1002")
    page = browser.submit(path, **values)
    browser.submit("/agent/customers", action="/agent/act-as", agent_id="ag1001")
    return page


def fired(services: Services) -> int:
    """How many deliveries there are."""
    with read_session(services.engine) as session:
        return session.scalar(select(func.count()).select_from(Delivery)) or 0


def row(services: Services) -> Customer:
    with read_session(services.engine) as session:
        return session.get_one(Customer, FIRST)


def differences(page: Page) -> list[list[str]]:
    """The table of what two have changed."""
    rows = page.document.xpath("//table[@id='differences']/tbody/tr")
    return [[" ".join(c.text_content().split()) for c in row] for row in rows]


@pytest.mark.usefixtures("customer")
def test_the_second_of_two_agents_is_told_and_sees_both_values(
    browser: Browser, services: Services
) -> None:
    mine = browser.get(EDIT)
    other_agent_saves(browser, company="<b>Theirs</b>", comments="Their note", voice="1")
    told = browser.send(mine, company="Mine", voice="1", pbx="main")
    assert told.status == 409
    assert "Customer 10000000 was saved by ag1002 at 2026-03-02 09:00:00 UTC" in told.text
    assert differences(told) == [
        ["Company", "Old", "<b>Theirs</b>", "Mine", "Mine"],
        ["Comments", "Old note", "Their note", "Old note", "Their note"],
    ]
    assert "ag1002 has saved “<b>Theirs</b>” meanwhile." in told.problem("company")
    assert [told.value(n) for n in ("company", "comments", "voice", "pbx")] == [
        *("Mine", "Their note", "1", "main")
    ]
    assert row(services).company == "<b>Theirs</b>"
    assert fired(services) == 1

    saved = browser.send(told)
    assert saved.path == f"/agent/customers/{FIRST}"
    now = row(services)
    assert (now.company, now.comments, now.pbx) == ("Mine", "Their note", "main")
    assert fired(services) == 2


@pytest.mark.usefixtures("customer")
def test_a_third_save_in_between_is_told_again(browser: Browser, services: Services) -> None:
    mine = browser.get(EDIT)
    other_agent_saves(browser, company="Theirs")
    told = browser.send(mine, company="Mine")
    other_agent_saves(browser, company="Theirs again")
    told = browser.send(told)
    assert differences(told) == [["Company", "Theirs", "Theirs again", "Mine", "Mine"]]
    assert row(services).company == "Theirs again"


@pytest.mark.usefixtures("customer")
def test_what_others_save_by_other_doors_is_told_too(browser: Browser, services: Services) -> None:
    mine = browser.get(EDIT)
    with services.sessions.begin() as session:
        api = Author(Origin.API, "crmapi")
        changes.edit(session, Kind.CUSTOMER, FIRST, {"company": "Api"}, api, services.clock.now())
    assert browser.send(mine, company="Mine").status == 409


@pytest.mark.usefixtures("customer")
def test_the_same_change_twice_or_none_is_no_conflict(browser: Browser) -> None:
    mine = browser.get(EDIT)
    other_agent_saves(browser, company="Same")
    other_agent_saves(browser)
    assert browser.send(mine, company="Same").status == 200


@pytest.mark.usefixtures("customer")
@pytest.mark.parametrize("version", ["", "x", "99", "-1", "9" * 30])
def test_a_version_that_is_none_is_not_compared(
    browser: Browser, services: Services, version: str
) -> None:
    mine = browser.get(EDIT)
    other_agent_saves(browser, company="Theirs")
    assert browser.send(mine, company="Mine", version=version).status == 200
    assert row(services).company == "Mine"


@pytest.mark.usefixtures("customer")
def test_tasks_with_their_dates_are_compared_too(browser: Browser, services: Services) -> None:
    browser.submit(
        f"/agent/tasks/new?accountnum={FIRST}", subject="Call", duedate="2026-06-01T09:15"
    )
    path = f"/agent/tasks/{FIRST}/edit"
    mine = browser.get(path)
    other_agent_saves(browser, path, duedate="2026-06-02T10:00")
    told = browser.send(mine, duedate="")
    assert differences(told) == [
        ["Due (UTC)"[:3], "2026-06-01T09:15", "2026-06-02T10:00", "(empty)", "(empty)"]
    ]


def customers(services: Services) -> int:
    with read_session(services.engine) as session:
        return session.scalar(select(func.count()).select_from(Customer)) or 0


def test_a_form_that_is_sent_twice_creates_one_record(browser: Browser, services: Services) -> None:
    form = browser.get("/agent/customers/new")
    first = browser.send(form, firstname="Ada", lastname="Byron")
    again = browser.send(form, firstname="Ada", lastname="Byron")
    assert (first.path, again.path) == (f"/agent/customers/{FIRST}",) * 2
    assert again.flashes[0].startswith(
        "Customer 10000000 was created already: the form was sent twice."
    )
    assert customers(services) == 1


@pytest.mark.usefixtures("customer")
def test_an_edit_that_is_sent_twice_fires_once(browser: Browser, services: Services) -> None:
    form = browser.get(EDIT)
    browser.send(form, company="New")
    again = browser.send(form, company="New")
    assert "was saved already: the form was sent twice." in again.flashes[0]
    assert "delivery 1 waiting" in again.flashes[0]
    assert fired(services) == 1


def test_back_and_other_entries_ask_whether_another_record_is_meant(
    browser: Browser, services: Services
) -> None:
    form = browser.get("/agent/customers/new")
    browser.send(form, firstname="Ada", lastname="Byron")
    asked = browser.send(form, firstname="Ada", lastname="Lovelace", comments="<b>")
    assert asked.status == 409
    assert "was sent before, with other entries, and made customer 10000000." in asked.text
    assert {f"/agent/customers/{FIRST}", EDIT} <= set(asked.links)
    assert [asked.value(name) for name in ("firstname", "lastname", "comments")] == [
        *("Ada", "Lovelace", "<b>")
    ]
    assert customers(services) == 1

    other = browser.send(asked)
    assert other.path == "/agent/customers/10000001"
    assert customers(services) == 2
    # The first form has made that one alone, and the second the other.
    first = browser.send(form, firstname="Ada", lastname="Byron", comments="")
    assert "10000000 was created already" in first.flashes[0]
    assert "10000001 was created already" in browser.send(asked).flashes[0]
    assert customers(services) == 2


def test_a_form_that_was_refused_may_be_mended(browser: Browser, services: Services) -> None:
    refused = browser.submit("/agent/customers/new", firstname="Ada")
    assert refused.problem("lastname")
    assert browser.send(refused, lastname="Byron").path == f"/agent/customers/{FIRST}"
    assert customers(services) == 1


@pytest.mark.usefixtures("customer")
def test_back_to_the_form_of_an_edit_and_other_entries_are_compared(
    browser: Browser, services: Services
) -> None:
    form = browser.get(EDIT)
    browser.send(form, company="First")
    told = browser.send(form, company="Second")
    assert told.status == 409
    assert differences(told) == [["Company", "Old", "First", "Second", "Second"]]
    browser.send(told)
    assert row(services).company == "Second"


@pytest.mark.usefixtures("customer")
def test_back_to_a_form_after_a_delete_says_that_it_is_deleted(
    browser: Browser, services: Services
) -> None:
    question = browser.get(f"/agent/customers/{FIRST}/delete")
    browser.send(question)
    again = browser.send(question)
    assert again.status == 404
    assert "Customer 10000000 was deleted" in again.text
    assert fired(services) == 1


@pytest.mark.usefixtures("customer")
def test_the_line_after_an_action_is_shown_once_and_shows_the_delivery_as_it_is(
    browser: Browser, services: Services
) -> None:
    form = browser.get(EDIT)
    token = form.document.xpath("//input[@name='csrf_token']/@value")[0]
    assert token
    page = browser.send(form, company="New")
    assert page.flashes == [
        "Customer 10000000 was saved. Its trigger Customer Edit fired: delivery 1 waiting"
    ]
    assert browser.get(page.path).flashes == []


def test_a_theme_is_kept_and_leads_back(browser: Browser) -> None:
    page = browser.get("/agent/customers?q=ada&sort=lastname")
    assert page.document.get("data-bs-theme") == "light"
    token = page.document.xpath("//form[@action='/theme']/input[@name='csrf_token']/@value")[0]
    back = page.document.xpath("//form[@action='/theme']/input[@name='next']/@value")[0]
    fields = [("csrf_token", token), ("next", back), ("theme", "dark")]
    dark = browser.post("/theme", fields)
    assert dark.url.endswith("/agent/customers?q=ada&sort=lastname")
    assert dark.document.get("data-bs-theme") == "dark"
    assert browser.get("/deliveries").document.get("data-bs-theme") == "dark"
    fields[2] = ("theme", "<script>")
    assert browser.post("/theme", fields).document.get("data-bs-theme") == "dark"


@pytest.mark.parametrize(
    "address",
    ["//evil.example", "/\\evil.example", "https://evil.example/", "evil", "/a\r\nX: y", "/a b",
     "/agent//evil", "javascript:alert(1)"],
)  # fmt: skip
def test_no_form_leads_elsewhere(browser: Browser, address: str) -> None:
    page = browser.get("/")
    token = page.document.xpath("//input[@name='csrf_token']/@value")[0]
    fields = [("csrf_token", token), ("theme", "dark"), ("next", address)]
    assert browser.post("/theme", fields).url in (
        "http://localhost/",
        "http://localhost/agent//evil",
    )
