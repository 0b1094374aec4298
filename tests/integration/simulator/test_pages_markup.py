"""HTML and script typed, sent or uploaded anywhere come back as text wherever they are shown."""

from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from simulator.agent_console.forms import input_name
from simulator.agent_console.screens import OF_KIND
from simulator.db import read_session
from simulator.local_crm import custom_fields
from simulator.local_crm.fields import FIELDS, CustomType, Definition, Field, FieldType
from simulator.services import Services
from simulator.triggers.urls import Kind
from tests.forms import Browser, Page
from tests.integration.simulator.test_pages_imports import upload
from tests.local_crm import create, fill_boxes

FIRST = "10000000"
MARKUP = "<script>alert('x')</script><img src=x onerror=alert(1)>\"><b>&amp;{{7*7}}"
CHOICE = "<u>Gold</u>"
RAW = (b"<script>alert", b"<img src=x", b"<b>", b"<u>", b">49<")


@pytest.fixture(autouse=True)
def crm(services: Services) -> None:
    """A record of each kind, and custom fields with markup where they take it."""
    now = services.clock.now()
    with services.sessions.begin() as session:
        for kind in Kind:
            own = (
                Definition(kind, "note", "Note", CustomType.TEXT, default="<b>"),
                Definition(kind, "tier", "Tier", CustomType.PICK_LIST, choices=(CHOICE, "Tin")),
            )
            for definition in own:
                custom_fields.define(session, definition)
        create(session, Kind.CUSTOMER, now)
        create(session, Kind.CASE, now, accountnum=FIRST)
        create(session, Kind.FOLLOWUP, now, casenum=FIRST)
        create(session, Kind.TASK, now, accountnum=FIRST)
        fill_boxes(session, "https://crm.example.com")


def is_plain(page: Page) -> bool:
    """Whether the page has no markup of a user's making, and no more scripts than its own."""
    own = [str(src) for src in page.document.xpath("//script/@src")]
    assert [found for found in RAW if found in page.content] == [], page.url
    assert len(page.document.xpath("//script")) == len(own)
    return page.document.xpath("//*[@onerror or @onload or @onclick]") == []


def typed_into(field: Field) -> str:
    """As much markup as the field takes."""
    if field.type is FieldType.EMAIL:
        return "<script>alert(1)</script>@<b>"
    return MARKUP[: field.max_length]


def texts(services: Services, kind: Kind) -> dict[str, str]:
    """What goes into each input of a kind that takes a text of one's own."""
    with read_session(services.engine) as session:
        fields = (*FIELDS[kind], *custom_fields.of_kind(session, kind))
    free = (FieldType.TEXT, FieldType.LONG_TEXT, FieldType.EMAIL)
    found = {input_name(f): typed_into(f) for f in fields if not f.system and f.type in free}
    return found | {"custom-tier": CHOICE}


@pytest.mark.parametrize("kind", Kind)
def test_in_every_field_of_a_record_on_every_page_that_shows_it(
    browser: Browser, services: Services, kind: Kind
) -> None:
    base, typed = OF_KIND[kind].address, texts(services, kind)
    record = f"{base}/{FIRST}"
    saved = browser.submit(f"{record}/edit", **typed)
    assert (saved.path, saved.status) == (record, 200)
    shown = {name: " ".join(text.split()) for name, text in typed.items()}
    assert {n: saved.field(n.removeprefix("custom-")) for n in typed} == shown
    edit = browser.get(f"{record}/edit")
    assert {name: edit.value(name) for name in typed} == typed
    for page in (
        saved,
        edit,
        browser.get(base),
        browser.get(f"{base}/new"),
        browser.get(f"{record}/delete"),
        browser.get(f"/agent/customers/{FIRST}"),
        browser.submit(f"{record}/edit", **typed | {"custom-note": "<b>" * 2_000}),  # refused
        browser.get("/deliveries"),
        browser.get("/deliveries/1"),
        browser.get("/deliveries/events"),
        browser.get("/interactions"),
        browser.get("/config/crm/fields"),
    ):
        assert is_plain(page)
    # What two have changed, and what was typed for a record that is gone.
    mine = browser.get(f"{record}/edit")
    browser.submit(f"{record}/edit", **{"custom-note": "<b>theirs"})
    told = browser.send(mine, **{"custom-note": "<b>mine"})
    assert (told.status, is_plain(told)) == (409, True)
    browser.submit(f"{record}/delete")
    gone = browser.send(mine, **typed)
    assert (gone.status, is_plain(gone)) == (404, True)


def test_in_what_is_searched_for_and_in_addresses(browser: Browser, services: Services) -> None:
    given = quote(MARKUP)
    for path in ("customers", "cases", "followups", "tasks"):
        names = browser.get(f"/agent/{path}").document.xpath("//form[@role='search']//@name")
        assert {"q", "accountnum", "custom-note", "custom-tier"} <= set(names)
        for name in (*names, "after", "before", "from", "select"):
            page = browser.get(f"/agent/{path}?{name}={given}")
            assert (page.status, is_plain(page)) == (200, True)
        for address in (f"{given}", f"{given}/edit", f"{given}/delete", f"new?accountnum={given}"):
            assert is_plain(browser.get(f"/agent/{path}/{address}"))
        assert is_plain(browser.get(f"/agent/{path}/delete-selected?chosen={given}"))
    for name in ("state", "kind", "event", "record_id", "before", "after"):
        assert is_plain(browser.get(f"/deliveries?{name}={given}"))
    for address in (
        f"/deliveries/test?kind={given}&record_id={given}",
        f"/deliveries/events?what={given}&page={given}",
        f"/deliveries/journal?door={given}&page={given}",
        f"/deliveries/faults/new/{given}",
        f"/config/crm/fields/customer/{given}/edit",
        f"/config/crm/imports/map/{given}?name={given}&kind=Customer&encoding=utf-8",
        f"/{given}",
    ):
        page = browser.get(address)
        assert page.status in (200, 404)
        assert is_plain(page)


def test_in_forms_that_are_refused(browser: Browser) -> None:
    for path, action, values in (
        ("/config/integration/crm-triggers", None, {"customer_create": f"http://{MARKUP}"}),
        ("/config/integration/crm-api", None, {"username": MARKUP, "tenant": MARKUP}),
        ("/config/crm/fields/customer/new", None, {"name": MARKUP, "label": MARKUP}),
        ("/config/crm/bulk", None, {"customers": MARKUP, "seed": MARKUP}),
        ("/interactions", "/interactions/call", {"caller": MARKUP}),
        ("/deliveries/test", None, {"record_id": MARKUP}),
        ("/deliveries", "/deliveries/clock/advance", {"by": MARKUP}),
        ("/deliveries/faults/new/stale_read", None, {"stale_s": MARKUP}),
    ):
        page = browser.submit(path, action=action, **values)
        assert page.status in (200, 422), path  # an API's user may be called anything
        assert is_plain(page)


def test_in_an_email_that_arrives(browser: Browser) -> None:
    sender = f'"{MARKUP[:50]}" <b@example.com>'
    page = browser.submit(
        "/interactions", action="/interactions/email", sender=sender, subject=MARKUP, body=MARKUP
    )
    assert is_plain(page)
    for address in ("/agent/customers/10000001", "/agent/cases/10000001", "/agent/cases"):
        page = browser.get(address)
        assert (page.status, is_plain(page)) == (200, True)


def test_in_a_file_its_name_its_columns_and_its_cells(
    browser: Browser, client: FlaskClient, services: Services
) -> None:
    cell = MARKUP.replace('"', '""')
    rows = f'Last Name,<b>Column,First Name\nSeen,"{cell}",<b>A\n"{cell}",,B\n,x,"{cell}"\n'
    page = upload(client, rows, name="<b>people.csv")
    assert (page.status, is_plain(page)) == (200, True)
    assert "<b>people.csv" in page.text
    done = browser.send(page, **{"column-1": "COMMENTS"})
    services.wait_for_jobs()
    over = browser.get(done.path)
    assert "1 record was loaded, 2 rows were rejected." in over.text
    refused = upload(client, b"\x00<b>", name="<b>.png")
    assert "<b>.png is not CSV" in refused.text
    for each in (
        over,
        refused,
        browser.get("/config/crm/imports"),
        browser.get("/agent/customers"),
    ):
        assert is_plain(each)
    assert MARKUP in browser.get("/agent/customers/10000001").field("comments")
