"""Custom fields on the agents' forms and record pages."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from simulator import state
from simulator.db import read_session
from simulator.local_crm import changes, custom_fields, many
from simulator.local_crm.changes import Author
from simulator.local_crm.fields import CustomType, Definition
from simulator.local_crm.models import Customer, Origin
from simulator.services import Services
from simulator.settings import Settings
from simulator.triggers.urls import Kind
from tests.forms import Browser, Page
from tests.local_crm import CUSTOMER, create

FIRST = "10000000"
CSV = Author(Origin.CSV, "csv import")
DEFINITIONS = (
    Definition(
        *(Kind.CUSTOMER, "tier", "Tier", CustomType.PICK_LIST),
        default="Tin",
        choices=("Gold", "Tin"),
    ),
    Definition(Kind.CUSTOMER, "since", "Customer since", CustomType.DATE, default="12312030"),
    Definition(Kind.CUSTOMER, "data", "A form has data too", CustomType.TEXT, max_length=4),
    Definition(Kind.CUSTOMER, "_code", "Code", CustomType.NUMBER, required=True, default="1"),
)


@pytest.fixture(autouse=True)
def defined(services: Services) -> None:
    with services.sessions.begin() as session:
        for definition in DEFINITIONS:
            custom_fields.define(session, definition)


def kept(services: Services) -> dict[str, str]:
    with read_session(services.engine) as session:
        return session.get_one(Customer, FIRST).custom_fields


def test_a_form_has_the_custom_fields_with_their_defaults(
    browser: Browser, services: Services
) -> None:
    page = browser.get("/agent/customers/new")
    values = {name: page.value(f"custom-{name}") for name in ("tier", "since", "data", "_code")}
    assert values == {"tier": "Tin", "since": "12/31/2030", "data": "", "_code": "1"}
    saved = browser.send(page, firstname="Ada", lastname="Byron")
    assert kept(services) == {"tier": "Tin", "since": "12312030", "data": "", "_code": "1"}
    assert saved.field("since") == "12/31/2030"
    assert "Customer since" in saved.text
    assert "custom-tier" not in browser.get("/agent/cases/new").document.text_content()


def test_an_agent_changes_and_empties_custom_fields(browser: Browser, services: Services) -> None:
    browser.submit("/agent/customers/new", firstname="Ada", lastname="Byron")
    typed = {
        "custom-tier": "Gold",
        "custom-since": "",
        "custom-data": "éé",
        "custom-_code": "-2.5",
    }
    page = browser.submit(f"/agent/customers/{FIRST}/edit", **typed)
    assert page.path == f"/agent/customers/{FIRST}"
    assert kept(services) == {"tier": "Gold", "since": "", "data": "éé", "_code": "-2.5"}
    browser.submit(f"/agent/customers/{FIRST}/edit", **{"custom-tier": ""})
    assert kept(services)["tier"] == ""


def test_what_breaks_a_rule_is_said_beside_its_field_and_kept_in_it(
    browser: Browser, services: Services
) -> None:
    browser.submit("/agent/customers/new", firstname="Ada", lastname="Byron")
    before = kept(services)
    wrong = {
        "custom-since": "02/30/2024",
        "custom-data": "ééé",
        "custom-_code": "",
        "firstname": "x" * 31,
    }
    page = browser.submit(f"/agent/customers/{FIRST}/edit", **wrong)
    assert page.status == 422
    assert page.problem("custom-since") == (
        "Customer since must be a date that exists, between the years 1900 and 9999."
    )
    assert page.problem("custom-data") == (
        "A form has data too is 6 bytes long; at most 4 are allowed."
    )
    assert page.problem("custom-_code") == "Code is required."
    assert page.problem("firstname").startswith("First Name is 31 characters long")
    assert page.value("custom-since") == "02/30/2024"
    assert kept(services) == before


def test_a_choice_that_is_not_on_the_list_is_refused(browser: Browser) -> None:
    page = browser.get("/agent/customers/new")
    pairs = [(n, v) for n, v in page.form_to(page.path).form_values() if n != "custom-tier"]
    names = {"firstname": "Ada", "lastname": "Byron", "custom-tier": "Lead"}
    sent = [(n, v) for n, v in pairs if n not in names] + list(names.items())
    refused = browser.post(page.path, sent, referer=page.url)
    assert refused.problem("custom-tier") == "Tier must be one of: Gold, Tin."
    assert refused.value("custom-tier") == "Lead"


def test_a_record_from_before_a_field_was_defined_can_be_edited(
    browser: Browser, services: Services
) -> None:
    browser.submit("/agent/customers/new", firstname="Ada", lastname="Byron")
    with services.sessions.begin() as session:
        session.execute(update(Customer).values(custom_fields={}))
    page = browser.submit(f"/agent/customers/{FIRST}/edit", **{"custom-_code": "3"})
    assert page.status == 200
    assert kept(services) == {"tier": "", "since": "", "data": "", "_code": "3"}


def test_a_setting_for_emails_is_said_beside_the_field(
    browser: Browser, services: Services
) -> None:
    services.sessions.configure(info=changes.session_info(Settings(email_max_length=40)))
    email = "a" * 40 + "@example.com"
    page = browser.submit("/agent/customers/new", firstname="Ada", lastname="Byron", email=email)
    assert page.problem("email") == "Email is 52 characters long; at most 40 are allowed."


@pytest.fixture
def people(services: Services) -> None:
    """Four customers; the last is from before the fields were defined."""
    given = (
        {"tier": "Gold", "since": "06012026", "data": "Ab", "_code": "42"},
        {"tier": "gold", "since": "06022026", "data": "aBc", "_code": "4"},
        {"tier": "Tin", "since": "", "data": "<b>", "_code": "42.0"},
        {},
    )
    now = services.clock.now()
    with services.sessions.begin() as session:
        for number, custom in enumerate(given):
            made = create(session, Kind.CUSTOMER, now, lastname=f"No {number}")
            session.get_one(Customer, made).custom_fields = custom


def found(page: Page) -> list[str]:
    """The last names in a list."""
    return sorted(page.document.xpath("//tbody/tr/td[4]/span/text()"))


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("custom-tier=Gold", ["No 0"]),
        ("custom-data=ab", ["No 0", "No 1"]),
        ("custom-data=%3Cb", ["No 2"]),
        ("custom-data=bc", []),
        ("custom-since=06/02/2026", ["No 1"]),
        ("custom-since=yesterday", []),
        ("custom-_code=42", ["No 0"]),
        ("custom-data=a&lastname=no+1&sort=-lastname", ["No 1"]),
        ("custom-data=%27%22%29+OR+1%3D1", []),
        ("custom-nothing=x", ["No 0", "No 1", "No 2", "No 3"]),
    ],
)
def test_records_are_searched_by_custom_fields(
    browser: Browser, query: str, names: list[str]
) -> None:
    assert found(browser.get(f"/agent/customers?{query}")) == names


@pytest.mark.usefixtures("people")
def test_the_search_has_an_input_for_each_custom_field_and_keeps_what_was_typed(
    browser: Browser,
) -> None:
    page = browser.get("/agent/customers?custom-data=<b>&custom-tier=Gold&custom-since=1")
    assert "Customer since (MM/DD/YYYY)" in page.text
    (form,) = page.document.xpath("//form[@aria-label='Advanced search']")
    assert {n: v for n, v in form.form_values() if n.startswith("custom-") and v} == {
        "custom-data": "<b>",
        "custom-tier": "Gold",
        "custom-since": "1",
    }
    assert form.inputs["custom-tier"].value_options == ["", "Gold", "Tin"]
    assert page.document.xpath("//details[@open]")
    assert "custom-tier" not in browser.get("/agent/cases").document.text_content()


def test_a_field_that_is_removed_and_defined_again_is_searched_by_its_new_name(
    browser: Browser, services: Services, client: FlaskClient
) -> None:
    def define_again() -> None:
        browser.submit("/config/crm/fields/customer/new", name="DATA", label="Data", type="Text")
        browser.submit(
            "/agent/customers/new",
            **{"firstname": "A", "lastname": "Again", "custom-DATA": "x", "custom-_code": "1"},
        )
        assert found(browser.get("/agent/customers?custom-DATA=x")) == ["Again"]

    browser.submit("/config/crm/fields/customer/data/remove")
    define_again()
    with client.application.app_context():
        state.reset(services)
    browser.submit("/config/crm/fields/customer/new", name="_code", label="Code", type="Text")
    define_again()


def test_values_are_found_by_whatever_door_they_came(browser: Browser, services: Services) -> None:
    with services.sessions.begin() as session:
        rows = [{**CUSTOMER, "custom_fields": {"data": "csv", "_code": "1"}}]
        assert many.create_batch(session, Kind.CUSTOMER, rows, CSV, services.clock.now()) == [None]
        record = changes.edit(
            session,
            Kind.CUSTOMER,
            create(session, Kind.CUSTOMER, services.clock.now()),
            {"custom_fields": {"data": "csv"}},
            CSV,
            services.clock.now(),
        )
        assert record.custom_fields["data"] == "csv"
    assert len(found(browser.get("/agent/customers?custom-data=CSV"))) == 2
