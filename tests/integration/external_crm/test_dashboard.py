"""The dashboard's pages, as a reader sees them."""

import re
from datetime import UTC, date, datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from external_crm.app import create_app
from external_crm.apply import apply
from external_crm.counter import draw
from external_crm.db import session_factory
from external_crm.rows import (
    Batch,
    CaseRow,
    Cause,
    CustomerRow,
    Found,
    Key,
    Kind,
    NotFound,
    Read,
    Row,
    TaskRow,
)
from tests.forms import Browser

NOON = datetime(2026, 3, 2, 12, 0, 5, tzinfo=UTC)
CUSTOMER = CustomerRow("A1", first_name="Zoë", last_name="<b>O'Neil</b>")
TASK = TaskRow("T1", "A1", subject="Call back", due_at=datetime(2026, 3, 9, 14, 30, tzinfo=UTC))
CASE = CaseRow("C1", "A1", subject="Fax & phone", status="Open", created_date=date(2026, 3, 1))


@pytest.fixture
def app(engine: Engine) -> Flask:
    return create_app(engine)


@pytest.fixture
def browser(client: FlaskClient) -> Browser:
    return Browser.of(client)


def bring(engine: Engine, *reads: Read) -> None:
    sessions = session_factory(engine)
    with sessions.begin() as session:
        ticket = draw(session)
    with sessions.begin() as session:
        apply(session, Batch(reads, NOON), ticket)


def found(row: Row, cause_id: int = 7) -> Found:
    return Found(row, NOON, Cause("trigger", cause_id))


def test_an_empty_dashboard_says_what_to_do_next(browser: Browser) -> None:
    page = browser.get("/")
    assert "Nothing has arrived yet." in page.text
    assert "crm-receiver urls" in page.text
    assert "No case is open." in page.text


def test_totals_open_cases_and_latest_changes(browser: Browser, engine: Engine) -> None:
    bring(engine, found(CUSTOMER), found(CASE))
    closed = CaseRow("C2", "A1", status="Closed")
    bring(engine, found(closed), found(CaseRow("C3", "A1", status="Pending")))
    bring(engine, found(CaseRow("C1", "A1", subject="Fax only", status="Open")))
    page = browser.get("/")
    totals = {k: page.document.get_element_by_id(f"total-{k}").text_content() for k in Kind}
    assert totals == {"customer": "1", "case": "3", "followup": "0", "task": "0"}
    table = page.document.get_element_by_id("open-cases")
    assert table.xpath(".//td/text()") == ["Open", "1", "Pending", "1"]
    newest = " ".join(page.document.xpath("//tbody[@class='change']")[0].text_content().split())
    assert (
        "2026-03-02 12:00:05 UTC case C1 changed subject Fax & phone Fax only trigger 7" in newest
    )


def test_a_record_shows_its_values_its_parent_and_its_history(
    browser: Browser, engine: Engine
) -> None:
    bring(engine, found(CUSTOMER), found(CASE, 8))
    page = browser.get("/cases/C1")
    assert "/customers/A1" in page.links
    assert "Fax & phone" in page.text
    assert "created" in page.text
    assert "<b>O'Neil</b>" in browser.get("/customers/A1").text  # as text, not as markup


def test_a_value_is_shown_without_space_around_it(browser: Browser, engine: Engine) -> None:
    bring(engine, found(CUSTOMER), found(CASE, 8))
    page = browser.get("/cases/C1").document
    held = [cell.text_content() for cell in page.xpath("//dd[@class='value']")]
    assert held[:3] == ["C1", "A1", "Fax & phone"]


def test_an_instant_is_shown_with_its_zone(browser: Browser, engine: Engine) -> None:
    bring(engine, found(CUSTOMER), found(TASK))
    due = "2026-03-09 14:30:00 UTC"
    assert due in browser.get("/tasks").text
    assert f"due at {due}" in browser.get("/tasks/T1").text
    assert f"due at empty {due}" in browser.get("/tasks/T1").text


def test_a_list_leads_to_its_records_and_their_parents(browser: Browser, engine: Engine) -> None:
    bring(engine, found(CUSTOMER), found(TASK))
    page = browser.get("/tasks")
    assert {"/tasks/T1", "/customers/A1"} <= set(page.links)
    assert "middleware url" not in page.text


def test_a_change_of_many_columns_is_folded_up(browser: Browser, engine: Engine) -> None:
    bring(engine, found(CustomerRow("A1", *"abcdefgh")))
    (folded,) = browser.get("/").document.xpath("//details/summary/text()")
    assert folded == "9 columns"
    assert not browser.get("/customers/A1").document.xpath("//details")


def test_a_deleted_record_keeps_its_history(browser: Browser, engine: Engine) -> None:
    bring(engine, found(CUSTOMER))
    late = datetime(2026, 3, 3, tzinfo=UTC)
    gone = Key(Kind.CUSTOMER, "A1")
    bring(engine, NotFound(gone, NOON, Cause("trigger", 8), None, True))
    bring(engine, NotFound(gone, late, Cause("trigger", 8), None, True))
    page = browser.get("/customers/A1")
    assert "This record was deleted in the Local CRM." in page.text
    assert "deleted account id A1 empty" in page.text
    assert "first name Zoë empty" in page.text


def test_an_altered_audit_entry_is_shown_as_such(browser: Browser, engine: Engine) -> None:
    bring(engine, found(CUSTOMER))
    with engine.begin() as connection:
        connection.execute(text("UPDATE audit_entries SET cause_id = 1"))
    assert "Audit entry 1 of customer A1 was altered" in browser.get("/customers/A1").text


@pytest.mark.parametrize("path", ["/customers/none", "/leads", "/leads/1", "/nowhere", "/cases/é"])
def test_what_is_not_there_is_a_page_with_a_sentence(browser: Browser, path: str) -> None:
    page = browser.get(path)
    assert page.status == 404
    assert "To the overview" in page.text


def test_a_database_that_does_not_answer_is_a_page_with_a_sentence(
    browser: Browser, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE audit_entries RENAME TO elsewhere"))
    page = browser.get("/")
    assert page.status == 503
    assert "cannot be read now" in page.text


@pytest.mark.parametrize("path", ["/", "/customers", "/cases", "/customers/A1"])
def test_no_page_loads_anything_from_elsewhere(
    client: FlaskClient, engine: Engine, path: str
) -> None:
    bring(engine, found(CUSTOMER), found(CASE))
    with client.get(path) as response:
        assert response.headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert not re.search(r"(src|href)=[\"']?(https?:)?//", response.text)
        assert "<script" not in response.text
        assert " style=" not in response.text
        for asset in re.findall(r'<link[^>]+href="([^"]+)"', response.text):
            with client.get(asset) as loaded:
                assert loaded.status_code == 200


def test_the_theme_is_chosen_and_kept_and_the_page_stays(browser: Browser, engine: Engine) -> None:
    bring(engine, found(CUSTOMER))
    form = browser.get("/customers/A1").form_to("/theme")
    page = browser.post("/theme", [*form.form_values(), ("theme", "dark")])
    assert page.path == "/customers/A1"
    assert browser.get("/").document.get("data-bs-theme") == "dark"


@pytest.mark.parametrize("elsewhere", ["//evil.example", "/\\evil.example", "/\t/evil.example"])
def test_the_theme_leads_nowhere_else(browser: Browser, elsewhere: str) -> None:
    page = browser.post("/theme", [("theme", "pink"), ("next", elsewhere)])
    assert page.path == "/"
    assert page.document.get("data-bs-theme") == "light"
