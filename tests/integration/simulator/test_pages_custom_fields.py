"""Custom fields on the agents' forms and record pages."""

import pytest
from sqlalchemy import update

from simulator.db import read_session
from simulator.local_crm import changes, custom_fields
from simulator.local_crm.fields import CustomType, Definition
from simulator.local_crm.models import Customer
from simulator.services import Services
from simulator.settings import Settings
from simulator.triggers.urls import Kind
from tests.forms import Browser

FIRST = "10000000"
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
