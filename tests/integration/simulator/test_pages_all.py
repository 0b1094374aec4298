"""What holds for every page: safety headers, local assets, forms with a token, plain errors."""

from collections.abc import Iterator
from typing import NoReturn
from urllib.parse import urljoin, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient

from simulator.local_crm.many import Deleted
from simulator.services import Services
from simulator.triggers.urls import Kind
from simulator.web import CONTENT_SECURITY_POLICY
from tests.forms import Browser, Page

FIRST = "10000000"
PAGES = [
    "/",
    *(f"/agent/{path}" for path in ("customers", "cases", "followups", "tasks")),
    *(f"/agent/{path}/new" for path in ("customers", "cases", "followups", "tasks")),
    *(f"/agent/{path}/10000000" for path in ("customers", "cases", "followups", "tasks")),
    *(f"/agent/{path}/10000000/edit" for path in ("customers", "cases", "followups", "tasks")),
    *(f"/agent/{path}/10000000/delete" for path in ("customers", "cases", "followups", "tasks")),
    *(f"/agent/{path}/delete-all" for path in ("customers", "cases", "tasks")),
    *(f"/agent/{path}/delete-selected?chosen=10000000" for path in ("customers", "cases", "tasks")),
    "/agent/customers?q=nobody",
    "/deliveries",
    "/deliveries/1",
    "/deliveries/test",
    "/deliveries/events",
    "/deliveries/journal",
    "/deliveries/faults",
    "/deliveries/faults/new/stale_read",
    "/deliveries/unlock",
    "/config/integration/crm-triggers",
    "/config/integration/crm-api",
    "/interactions",
    "/config/crm/fields",
    "/config/crm/fields/customer/new",
    "/config/crm/fields/customer/tier/edit",
    "/config/crm/fields/customer/tier/remove",
    "/config/crm/imports",
    "/config/crm/bulk",
    "/config/crm/loads/1",
    "/config/crm/loads/1/progress",
    "/agent/customers/delete-all/1",
    "/agent/customers/delete-all/1/progress",
    "/nowhere",
]


@pytest.fixture
def filled(browser: Browser, services: Services) -> Browser:
    """One record of each kind, with a foreign address in it, a delivery, and jobs that are over."""
    browser.submit(
        "/config/integration/crm-triggers", customer_create="https://crm.example.com/trigger"
    )
    browser.submit("/config/crm/fields/customer/new", name="tier", type="Text")
    browser.submit("/agent/customers/new", firstname="Ada", lastname="https://evil.example/")
    browser.submit("/agent/cases/new", accountnum="10000000", subject="Broken")
    browser.submit("/agent/followups/new", casenum="10000000", subject="Called")
    browser.submit(
        "/agent/tasks/new",
        accountnum="10000000",
        subject="Call",
        middleware_url="https://evil.example/middleware",
    )
    browser.submit("/config/crm/bulk", customers="1")
    gone = Deleted(Kind.CUSTOMER, 1, 1, (1,))
    services.deletions.begin("Delete all customers", Kind.CUSTOMER, 1, lambda _: gone, gone)
    services.wait_for_jobs()
    return browser


def test_no_page_links_or_loads_anything_from_elsewhere(filled: Browser) -> None:
    for path in PAGES:
        page = filled.get(path)
        addresses = page.document.xpath("//@href | //@src | //@action | //@formaction | //@srcset")
        assert addresses, path
        for address in addresses:
            target = urlsplit(urljoin(page.url, address))
            assert (target.scheme, target.netloc) == ("http", "localhost"), (path, address)


def test_every_link_and_asset_of_every_page_is_there(filled: Browser) -> None:
    seen: dict[str, int] = {}
    for path in PAGES:
        page = filled.get(path)
        for address in page.document.xpath("//a/@href | //link/@href | //script/@src"):
            if address not in seen and not address.startswith("#"):
                seen[address] = filled.get(address).status
    assert {address: status for address, status in seen.items() if status != 200} == {}
    assert "/bootstrap/static/css/bootstrap.min.css" in seen
    assert "/static/favicon.svg" in seen


def test_no_page_needs_inline_style_or_script(filled: Browser) -> None:
    for path in PAGES:
        page = filled.get(path)
        inline = "//style | //script[not(@src)] | //@style | //@onclick"
        assert page.document.xpath(inline) == [], path
        assert page.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        # A form over https is accepted only with a Referer of this site.
        assert page.headers["Referrer-Policy"] == "same-origin"


def test_every_form_that_changes_something_has_a_token(filled: Browser) -> None:
    for path in PAGES:
        for form in filled.get(path).document.forms:
            if form.method == "GET":
                # A search, or a selection that leads to a question: they change nothing.
                leads_to_question = form.get("action", "").endswith("/delete-selected")
                assert form.get("role") == "search" or leads_to_question, path
                continue
            assert form.fields["csrf_token"], path


def test_every_input_has_a_name_for_those_who_do_not_see_it(filled: Browser) -> None:
    for path in PAGES:
        document = filled.get(path).document
        labelled = set(document.xpath("//label/@for"))
        for field in document.xpath("//input[not(@type='hidden')] | //select | //textarea"):
            assert field.get("id") in labelled or field.get("aria-label"), (path, field.get("name"))


def test_every_form_without_its_token_is_refused_with_a_sentence(
    app: Flask, browser: Browser
) -> None:
    """But for programs' doors, which take no cookie, every address that takes a form is guarded."""
    values = {"path": "customers", "kind": "customer", "record_id": FIRST, "name": "storm"}
    values |= {"token": "0" * 32, "number": "1", "delivery_id": "1", "fault_id": "1"}
    guarded = []
    for rule in app.url_map.iter_rules():
        if "POST" not in (rule.methods or ()) or rule.rule.startswith(("/_sim/", "/WAPI/", "/cc/")):
            continue
        (_, address) = rule.build({name: values[name] for name in rule.arguments}) or ("", "")
        for token in ([], [("csrf_token", "guess")]):
            page = browser.post(address, [("firstname", "Ada"), *token])
            assert page.status == 400, address
            assert "The form was not accepted" in page.text
            assert "Open the form again and send it from there." in page.text
        guarded.append(address)
    assert {"/agent/customers/new", "/interactions/call", "/theme"} <= set(guarded)
    assert len(guarded) > 25


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("POST", "/", 405), ("GET", "/agent/act-as", 405)],
)
def test_an_error_is_a_page_with_a_sentence(
    client: FlaskClient, method: str, path: str, status: int
) -> None:
    with client.open(path, method=method) as reply:
        page = Page(path, reply.status_code, reply.data, dict(reply.headers))
    assert page.status == status
    assert "To the start page" in page.text
    assert len(page.document.xpath("//h1")) == 1


def test_a_form_that_is_too_large_is_a_page_with_a_sentence(client: FlaskClient) -> None:
    with client.post("/agent/customers/new", data={"comments": "x" * 3_000_000}) as reply:
        assert reply.status_code == 413
        assert "Send less." in reply.text


class TestWithABug:
    """A failure that nobody foresaw."""

    @pytest.fixture
    def broken(self, app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlaskClient]:
        """The app with a start page that fails."""

        def fail() -> NoReturn:
            raise RuntimeError("internal detail")

        monkeypatch.setitem(app.view_functions, "web.start", fail)
        with app.test_client() as client:
            yield client

    def test_is_a_page_without_a_trace(self, broken: FlaskClient) -> None:
        with broken.get("/") as reply:
            assert reply.status_code == 500
            assert "The simulator failed to do this." in reply.text
            assert "internal detail" not in reply.text
            assert "Traceback" not in reply.text


def test_the_start_page_shows_the_way(filled: Browser) -> None:
    page = filled.get("/")
    assert "1 of 12 boxes are filled" in page.text
    assert "customers (2), cases (1), follow-ups (1), tasks (1)" in page.text
    assert "waiting (1), delivered (0), exhausted (0)" in page.text
    assert {"/config/integration/crm-triggers", "/agent/customers", "/deliveries"} <= set(
        page.links
    )
