"""The rules of fields and of their definitions: what is refused, and in which words."""

from dataclasses import replace

import pytest

from simulator.local_crm import fields
from simulator.local_crm.fields import (
    BY_NAME,
    FIELDS,
    CustomType,
    Definition,
    FieldClass,
    Rules,
    check,
    check_all,
    check_definition,
)
from simulator.triggers.urls import Kind

CUSTOMER = BY_NAME[Kind.CUSTOMER]
DOCUMENTED_LENGTHS = {
    "firstname": 30,
    "lastname": 30,
    "email": 254,
    "company": 50,
    "voice": 38,
    "fax": 38,
    "alternative": 38,
    "comments": 400,
    **{f"addr{n}str{line}": 50 for n in (1, 2) for line in (1, 2)},
    **{f"addr{n}city": 50 for n in (1, 2)},
    **{f"addr{n}state": 40 for n in (1, 2)},
    **{f"addr{n}zip": 30 for n in (1, 2)},
    **{f"addr{n}country": 15 for n in (1, 2)},
}


def custom(custom_type: CustomType, **parts: object) -> fields.Field:
    """A custom field of a customer."""
    return replace(Definition(Kind.CUSTOMER, "CF1", "Extra", custom_type), **parts).field  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "most"), DOCUMENTED_LENGTHS.items())
def test_a_length_counts_characters_and_its_last_one_is_allowed(name: str, most: int) -> None:
    # Four bytes each in UTF-8; an email needs its @.
    text = "@".join(("😀" * (most - 5), "x.io")) if name == "email" else "😀" * most
    assert check(CUSTOMER[name], text) is None
    assert check(CUSTOMER[name], "y" + text) == (
        f"{CUSTOMER[name].label} is {most + 1} characters long; at most {most} are allowed."
    )


def test_a_password_has_at_most_15_characters() -> None:
    assert check(fields.PASSWORD, "p" * 15) is None
    assert check(fields.PASSWORD, "p" * 16) is not None


def test_a_custom_text_counts_bytes() -> None:
    text = custom(CustomType.TEXT)
    assert check(text, "é" * 2000) is None  # 4,000 bytes
    assert check(text, "é" * 2000 + "x") == ("Extra is 4001 bytes long; at most 4000 are allowed.")
    assert check(text, "x" * 4000) is None
    assert check(custom(CustomType.TEXT, max_length=3), "éé") is not None


def test_an_email_has_40_characters_under_the_setting() -> None:
    email = "a" * 30 + "@example.com"
    assert check_all(Kind.CUSTOMER, {"email": email}) == {}
    problems = check_all(Kind.CUSTOMER, {"email": email}, rules=Rules(email_max_length=40))
    assert problems == {"email": "Email is 42 characters long; at most 40 are allowed."}


@pytest.mark.parametrize("value", ["ada", "@x", "a@", "a@b@c", "a b@c"])
def test_an_email_looks_like_one(value: str) -> None:
    assert check(CUSTOMER["email"], value) == ("Email must be an address like name@example.com.")


@pytest.mark.parametrize("name", ["firstname", "lastname"])
@pytest.mark.parametrize("value", ["", " ", "\u00a0"])
def test_a_name_is_mandatory(name: str, value: str) -> None:
    assert check(CUSTOMER[name], value) == f"{CUSTOMER[name].label} is required."


@pytest.mark.parametrize("bad", ["\x00", "\x0b", "\x1f", "\ufffe", "\uffff", "\ud800", "\udfff"])
@pytest.mark.parametrize("name", ["firstname", "comments", "email"])
def test_what_xml_cannot_carry_is_refused(name: str, bad: str) -> None:
    sentence = check(CUSTOMER[name], f"a{bad}b@c.d")
    assert sentence is not None
    assert sentence.startswith(f"{CUSTOMER[name].label} contains ")
    assert sentence.endswith("Remove it.")


def test_line_breaks_are_for_long_texts() -> None:
    assert check(CUSTOMER["comments"], "one\n\ttwo\r\n") is None
    assert check(CUSTOMER["company"], "one\ntwo") is not None
    assert check(custom(CustomType.TEXT), "one\ntwo") is None


@pytest.mark.parametrize(
    ("custom_type", "good", "bad"),
    [
        (CustomType.NUMBER, ["0", "-3.5", "+12", ".5", "9" * 255], ["12a", "1e5", "1,5", "١"]),
        (CustomType.NUMBER, ["7"], ["9" * 256, "--1", "1.", " 1", "1\n"]),
        (
            CustomType.DATE,
            ["02292024", "12319999"],
            ["02302024", "02292023", "13012024", "1012024"],
        ),
        (CustomType.DATE, ["01011900"], ["01011899", "02/28/2024", "022820241200", "٠١٠١٢٠٢٤"]),
        (
            CustomType.URL,
            ["https://a.example/b?c=d", "HTTP://x", "ftp://x/y"],
            ["www.example.com", "javascript://x", "https://", "https://a b", "https:///path"],
        ),
    ],
)
def test_a_custom_value_is_of_its_type(
    custom_type: CustomType, good: list[str], bad: list[str]
) -> None:
    field = custom(custom_type)
    assert {value: check(field, value) for value in good} == dict.fromkeys(good)
    assert [value for value in bad if check(field, value) is None] == []
    assert check(field, "") is None
    assert check(replace(field, required=True), "") == "Extra is required."


def test_a_pick_list_takes_its_choices_as_they_are_written() -> None:
    tier = custom(CustomType.PICK_LIST, choices=("Gold", "Silver"))
    assert check(tier, "Gold") is None
    assert check(tier, "gold") == "Extra must be one of: Gold, Silver."
    assert check(CUSTOMER["customertype"], "Lead") is not None
    assert check(BY_NAME[Kind.CASE]["status"], "") == "Status is required."


def test_a_value_for_a_field_that_nobody_defined_gets_a_sentence() -> None:
    problems = check_all(Kind.CASE, {"custom_fields": {"CF9": "x"}}, [custom(CustomType.TEXT)])
    assert problems == {"CF9": "There is no custom field CF9 for a Case."}


def test_numbers_and_stamps_are_system_fields_and_all_others_predefined() -> None:
    system = {f.tag for kind in Kind for f in FIELDS[kind] if f.field_class is FieldClass.SYSTEM}
    assert system == {
        *("ACCOUNTNUM", "CASENUM", "FOLLOWUPNUM", "TASKNUM", "PARENTTASKNUM", "TRANSACTIONID"),
        *("ASSIGNEDDATE", "CREATEDBY", "CREATEDDATE", "CLOSEDBY", "CLOSEDDATE"),
        *("LASTACTDATE", "LASTMODDATE"),
    }
    assert custom(CustomType.TEXT).field_class is FieldClass.CUSTOM


def test_only_a_cases_custom_tag_has_the_suffix_and_requests_may_use_both() -> None:
    field = custom(CustomType.TEXT)
    assert fields.custom_tag(Kind.CUSTOMER, field) == "CF1"
    assert fields.custom_tag(Kind.CASE, field) == "CF1.NAME"
    assert fields.custom_tag(Kind.CASE, field, "") == "CF1"
    assert fields.custom_by_tag(Kind.CASE, [field]) == {"CF1": field, "CF1.NAME": field}


GOOD = Definition(Kind.CUSTOMER, "queue_id", "Queue 1", CustomType.TEXT)


@pytest.mark.parametrize(
    "parts",
    [
        {"name": "A" * 32, "label": "é" * 32, "default": "d" * 85},
        {"type": CustomType.NUMBER, "max_length": 255, "default": "12.5"},
        {"type": CustomType.DATE, "default": "02292024"},
        {"type": CustomType.PICK_LIST, "choices": ("Gold", "Silver"), "default": "Gold"},
        {"name": "CF02", "kind": Kind.CASE, "max_length": 4000, "required": True},
        {"name": "SUBJECT"},  # a field of cases, not of customers
    ],
)
def test_a_definition_that_obeys_the_rules(parts: dict[str, object]) -> None:
    assert check_definition(replace(GOOD, **parts)) == {}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("parts", "part", "words"),
    [
        ({"name": "A" * 33}, "name", "33 characters"),
        ({"name": ""}, "name", "letters, digits and underscores"),
        ({"name": "two words"}, "name", "letters, digits and underscores"),
        ({"name": "CF02.NAME"}, "name", "letters, digits and underscores"),
        ({"name": "naïve"}, "name", "letters, digits and underscores"),
        ({"name": "x\n"}, "name", "letters, digits and underscores"),
        ({"name": "1st"}, "name", "not begin with a digit"),
        ({"name": "firstname"}, "name", "is a field of every Customer already"),
        ({"name": "Password"}, "name", "is a field of every Customer already"),
        ({"name": "xmlish"}, "name", "not begin with XML"),
        ({"label": ""}, "label", "Label is required."),
        ({"label": "L" * 33}, "label", "33 characters"),
        ({"label": "a<b"}, "label", "letters, digits, spaces"),
        ({"default": "d" * 86}, "default", "86 characters"),
        ({"default": "dd", "max_length": 1}, "default", "2 bytes long"),
        ({"default": "\x01"}, "default", "control character"),
        ({"type": CustomType.NUMBER, "default": "many"}, "default", "must be a number"),
        ({"type": CustomType.DATE, "default": "02302024"}, "default", "a date that exists"),
        ({"max_length": 0}, "max_length", "1 to 4000 bytes"),
        ({"max_length": 4001}, "max_length", "1 to 4000 bytes"),
        ({"type": CustomType.NUMBER, "max_length": 256}, "max_length", "1 to 255 characters"),
        ({"type": CustomType.DATE, "max_length": 8}, "max_length", "no maximum length"),
        ({"type": CustomType.PICK_LIST}, "choices", "at least one choice"),
        ({"type": CustomType.PICK_LIST, "choices": ("a", " ")}, "choices", "no empty one"),
        ({"type": CustomType.PICK_LIST, "choices": ("a", "a")}, "choices", "once"),
        ({"type": CustomType.PICK_LIST, "choices": ("a\x02",)}, "choices", "control character"),
        ({"choices": ("a",)}, "choices", "Only a Pick List"),
        ({"type": CustomType.PICK_LIST, "choices": ("a",), "default": "b"}, "default", "one of"),
    ],
)
def test_a_definition_that_breaks_a_rule_gets_a_sentence(
    parts: dict[str, object], part: str, words: str
) -> None:
    problems = check_definition(replace(GOOD, **parts))  # type: ignore[arg-type]
    assert list(problems) == [part]
    assert words in problems[part]
    assert problems[part].endswith(".")


@pytest.mark.parametrize(
    ("text", "iso"),
    [("02292024", "2024-02-29T00:00:00+00:00"), ("123120301545", "2030-12-31T15:45:00+00:00")],
)
def test_a_date_of_the_wire_is_read(text: str, iso: str) -> None:
    assert fields.read_wire_date(text).isoformat() == iso


@pytest.mark.parametrize(
    "text", ["", "02302024", "2292024", "02-29-24", "022920242460", "0229202412", "0229２024"]
)
def test_what_is_no_date_of_the_wire_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        fields.read_wire_date(text)


def test_a_slashed_date_goes_there_and_back() -> None:
    kept = fields.wire_date(fields.read_slashed_date("12/31/2030"))
    assert (kept, fields.slashed_date(kept), fields.slashed_date("")) == (
        "12312030",
        "12/31/2030",
        "",
    )
    for text in ("1/2/2030", "31/12/2030", "2030-12-31", "12/31/30", "12/31/1899"):
        with pytest.raises(ValueError, match=r".+"):
            fields.read_slashed_date(text)
