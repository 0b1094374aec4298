"""An administrator defines, changes and removes custom fields in CRM > Fields."""

import pytest
from sqlalchemy import func, select

from simulator.db import read_session
from simulator.local_crm import custom_fields
from simulator.local_crm.fields import CustomType, Definition
from simulator.local_crm.models import Customer
from simulator.services import Services
from simulator.triggers.models import Delivery
from simulator.triggers.urls import Kind
from tests.forms import Browser
from tests.local_crm import fill_boxes

FIELDS = "/config/crm/fields"
NEW = f"{FIELDS}/customer/new"
FIRST = "10000000"


def defined(services: Services, kind: Kind = Kind.CUSTOMER) -> list[Definition]:
    with read_session(services.engine) as session:
        return [row.definition for row in custom_fields.rows(session, kind)]


def test_an_empty_page_says_what_to_do_next(browser: Browser) -> None:
    page = browser.get(FIELDS)
    assert "There is no custom field yet. Add one" in page.text
    assert {f"{FIELDS}/{kind.lower()}/new" for kind in Kind} <= set(page.links)
    assert "fires no trigger" in page.text


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ({"type": "Text", "max_length": "40", "default": "né"}, ("né", 40, ())),
        ({"type": "URL", "default": "https://example.com/"}, ("https://example.com/", None, ())),
        ({"type": "Number", "default": "-3.5", "max_length": "8"}, ("-3.5", 8, ())),
        ({"type": "Date", "default": "12/31/2030"}, ("12312030", None, ())),
        (
            {"type": "Pick List", "choices": "Gold\n Tin \n\n", "default": "Tin"},
            ("Tin", None, ("Gold", "Tin")),
        ),
    ],
)
def test_a_field_of_every_type_goes_from_the_form_to_the_list_and_back(
    browser: Browser,
    services: Services,
    typed: dict[str, str],
    kept: tuple[str, int | None, tuple[str, ...]],
) -> None:
    page = browser.submit(NEW, name=" tier ", label="Tier 1", required=True, **typed)
    assert page.flashes == [
        "The custom field Tier 1 is defined; the CRM API sends it as <tier>. No trigger fired."
    ]
    [found] = defined(services)
    assert (found.name, found.label, found.required) == ("tier", "Tier 1", True)
    assert (found.type, found.default, found.max_length, found.choices) == (
        CustomType(typed["type"]),
        *kept,
    )
    form = browser.get(f"{FIELDS}/customer/tier/edit")
    assert form.value("default") == typed.get("default", "")
    saved = browser.send(form, label="Tier 2")
    assert saved.flashes == ["The custom field Tier 2 is saved. No trigger fired."]
    [changed] = defined(services)
    assert changed.label == "Tier 2"
    assert (changed.default, changed.max_length, changed.choices) == kept
    assert "Tier 2" in browser.get("/agent/customers/new").text


def test_the_tag_is_the_one_of_the_reply(browser: Browser) -> None:
    page = browser.submit(f"{FIELDS}/case/new", name="CF02", type="Text")
    assert "<CF02.NAME>" in page.flashes[0]


@pytest.mark.parametrize(
    ("typed", "part", "sentence"),
    [
        ({"name": ""}, "name", "Name must be letters, digits and underscores, and not begin"),
        ({"name": "COMPANY"}, "name", "Name: COMPANY is a field of every Customer already."),
        ({"name": "taken"}, "name", "Name: there is a custom field taken for a Customer already."),
        ({"name": "<b>x"}, "name", "Name must be letters, digits and underscores, and not begin"),
        ({"label": "<script>"}, "label", "Label must be letters, digits, spaces and underscores."),
        ({"max_length": "many"}, "max_length", "Maximum length must be a whole number, or empty."),
        ({"max_length": "9999"}, "max_length", "Maximum length of a field of the type Text is 1"),
        ({"type": "Pick List"}, "choices", "A Pick List needs at least one choice"),
        ({"choices": "a"}, "choices", "Only a Pick List has choices. Leave them out."),
        ({"type": "Date", "default": "31/12/2030"}, "default", "Default must be a date"),
        ({"type": "Number", "default": "much"}, "default", "Default must be a number"),
    ],
)
def test_what_is_wrong_stands_beside_its_part_and_nothing_is_saved(
    browser: Browser, services: Services, typed: dict[str, str], part: str, sentence: str
) -> None:
    browser.submit(NEW, name="taken", type="Text")
    page = browser.submit(NEW, **{"name": "tier", "label": "Tier", "type": "Text", **typed})
    assert page.status == 422
    assert page.problem(part).startswith(sentence)
    assert page.value(part) == typed.get(part, "")
    assert "Nothing was saved." in page.text
    assert b"<script>" not in page.content
    assert len(defined(services)) == 1


def test_a_field_without_a_name_is_told_that_once(browser: Browser) -> None:
    page = browser.submit(NEW)
    assert page.problem("name").startswith("Name must be letters")
    assert page.problem("label") == ""


def test_a_type_that_is_none_is_refused(browser: Browser) -> None:
    token = str(browser.get(NEW).document.xpath("//input[@name='csrf_token']/@value")[0])
    page = browser.post(NEW, [("csrf_token", token), ("name", "a"), ("type", "Colour")])
    assert page.status == 422
    assert page.problem("type") == "There is no type Colour. Choose one of the list."


def test_changing_a_field_keeps_values_and_holds_the_next_save_to_the_new_rules(
    browser: Browser, services: Services
) -> None:
    browser.submit(NEW, name="tier", type="Pick List", choices="Gold\nTin")
    browser.submit(
        "/agent/customers/new", firstname="Ada", lastname="Byron", **{"custom-tier": "Gold"}
    )
    page = browser.submit(f"{FIELDS}/customer/tier/edit", choices="Tin")
    assert page.status == 200
    assert browser.get(f"/agent/customers/{FIRST}").field("tier") == "Gold"
    assert defined(services)[0].choices == ("Tin",)
    refused = browser.submit(f"{FIELDS}/customer/tier/edit", default="Gold")
    assert refused.problem("default") == "Default must be one of: Tin."


def test_a_removed_field_takes_its_values_along_and_fires_nothing(
    browser: Browser, services: Services
) -> None:
    browser.submit(NEW, name="tier", type="Text")
    browser.submit(
        "/agent/customers/new", firstname="Ada", lastname="Byron", **{"custom-tier": "Gold"}
    )
    with services.sessions.begin() as session:
        fill_boxes(session, "https://crm.example.com")
    question = browser.get(f"{FIELDS}/customer/tier/remove")
    assert "Versions of the records keep what they had." in question.text
    assert "No trigger fires" in question.text
    done = browser.send(question)
    assert done.flashes == ["The custom field tier and its values are removed. No trigger fired."]
    assert defined(services) == []
    with read_session(services.engine) as session:
        assert session.get_one(Customer, FIRST).custom_fields == {}
        assert session.scalar(select(func.count()).select_from(Delivery)) == 0
    again = browser.send(question)  # the back button, and Remove once more
    assert again.status == 200
    assert again.flashes == [
        "There is no custom field tier for a Customer. It was removed meanwhile."
    ]


def test_a_field_removed_while_somebody_edits_it_is_said(browser: Browser) -> None:
    browser.submit(NEW, name="tier", type="Text")
    form = browser.get(f"{FIELDS}/customer/tier/edit")
    browser.submit(f"{FIELDS}/customer/tier/remove")
    page = browser.send(form, label="Other")
    assert page.status == 404
    assert "There is no custom field tier for a Customer (any more)." in page.text
    assert browser.get(f"{FIELDS}/customer/tier/remove").status == 404
