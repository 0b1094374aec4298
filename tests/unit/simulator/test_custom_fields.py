"""Custom fields: defined, changed, removed, and obeyed by every change."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy.orm import Session

from simulator.local_crm import changes, custom_fields
from simulator.local_crm.changes import ChangeRefused
from simulator.local_crm.custom_fields import DefinitionRefused
from simulator.local_crm.fields import CustomType, Definition
from simulator.local_crm.models import Customer
from simulator.triggers.urls import Kind
from tests.local_crm import AGENT, CUSTOMER, create

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TIER = Definition(
    Kind.CUSTOMER, "Tier", "Tier", CustomType.PICK_LIST, default="Gold", choices=("Gold", "Lead")
)
SINCE = Definition(Kind.CUSTOMER, "since", "Customer since", CustomType.DATE)


@pytest.fixture(autouse=True)
def defined(crm: Session) -> None:
    custom_fields.define(crm, TIER)
    custom_fields.define(crm, SINCE)


def custom_values(session: Session, number: str) -> dict[str, str]:
    return session.get_one(Customer, number).custom_fields


def test_fields_come_in_the_order_in_which_they_were_defined(crm: Session) -> None:
    assert custom_fields.of_kind(crm, Kind.CUSTOMER) == (TIER.field, SINCE.field)
    assert custom_fields.of_kind(crm, Kind.CASE) == ()


@pytest.mark.parametrize("name", ["Tier", "TIER"])
def test_a_name_is_there_once_a_kind_whatever_its_case(crm: Session, name: str) -> None:
    with pytest.raises(DefinitionRefused, match=f"a custom field {name} for a Customer already"):
        custom_fields.define(crm, replace(TIER, name=name))
    custom_fields.define(crm, replace(TIER, kind=Kind.CASE))


def test_the_type_cannot_be_changed_but_all_else_can(crm: Session) -> None:
    with pytest.raises(DefinitionRefused, match=r"is Pick List; it cannot be changed once saved\."):
        custom_fields.redefine(crm, replace(TIER, type=CustomType.TEXT, choices=()))
    custom_fields.redefine(crm, replace(TIER, choices=("Gold", "Tin"), label="Rank"))
    changed = custom_fields.of_kind(crm, Kind.CUSTOMER)[0]
    assert (changed.label, changed.choices) == ("Rank", ("Gold", "Tin"))


def test_only_a_custom_field_can_be_removed_and_its_values_go_with_it(crm: Session) -> None:
    number = create(crm, Kind.CUSTOMER, NOW, custom_fields={"since": "01022020"})
    for name in ("firstname", "accountnum", "nothing"):
        with pytest.raises(DefinitionRefused, match=f"There is no custom field {name}"):
            custom_fields.remove(crm, Kind.CUSTOMER, name)
    custom_fields.remove(crm, Kind.CUSTOMER, "TIER")
    assert custom_values(crm, number) == {"since": "01022020"}


def test_a_new_record_has_all_custom_fields_with_defaults(crm: Session) -> None:
    first = create(crm, Kind.CUSTOMER, NOW)
    second = create(crm, Kind.CUSTOMER, NOW, custom_fields={"TIER": "Lead", "Since": "02292024"})
    third = create(crm, Kind.CUSTOMER, NOW, custom_fields={"tier": ""})
    assert custom_values(crm, first) == {"Tier": "Gold", "since": ""}
    assert custom_values(crm, second) == {"Tier": "Lead", "since": "02292024"}
    assert custom_values(crm, third) == {"Tier": "", "since": ""}  # somebody chose nothing


def test_an_edit_keeps_the_custom_fields_that_are_not_given(crm: Session) -> None:
    number = create(crm, Kind.CUSTOMER, NOW, custom_fields={"since": "02292024"})
    values = {"custom_fields": {"TIER": "Lead"}}
    changes.edit(crm, Kind.CUSTOMER, number, values, AGENT, NOW)
    assert custom_values(crm, number) == {"Tier": "Lead", "since": "02292024"}


@pytest.mark.parametrize(
    ("given", "name", "sentence"),
    [
        ({"tier": "gold"}, "Tier", "Tier must be one of: Gold, Lead."),
        (
            {"since": "02302024"},
            "since",
            "Customer since must be a date that exists, between the years 1900 and 9999.",
        ),
        ({"other": "x"}, "other", "There is no custom field other for a Customer."),
    ],
)
def test_a_broken_rule_is_named_and_changes_nothing(
    crm: Session, given: dict[str, str], name: str, sentence: str
) -> None:
    number = create(crm, Kind.CUSTOMER, NOW)
    with pytest.raises(ChangeRefused) as refused:
        changes.create(crm, Kind.CUSTOMER, {**CUSTOMER, "custom_fields": given}, AGENT, NOW)
    assert refused.value.problems == {name: sentence}
    with pytest.raises(ChangeRefused) as refused:
        changes.edit(crm, Kind.CUSTOMER, number, {"custom_fields": given}, AGENT, NOW)
    assert refused.value.problems == {name: sentence}
    assert custom_values(crm, number) == {"Tier": "Gold", "since": ""}


def test_a_required_field_is_demanded_of_new_records_and_not_of_other_edits(crm: Session) -> None:
    number = create(crm, Kind.CUSTOMER, NOW)
    custom_fields.define(
        crm, Definition(Kind.CUSTOMER, "code", "Code", CustomType.NUMBER, required=True)
    )
    with pytest.raises(ChangeRefused, match=r"Code is required\."):
        create(crm, Kind.CUSTOMER, NOW)
    changes.edit(crm, Kind.CUSTOMER, number, {"company": "X"}, AGENT, NOW)
    create(crm, Kind.CUSTOMER, NOW, custom_fields={"code": "1"})
