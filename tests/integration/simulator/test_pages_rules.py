"""Every rule of the fields, broken in every field of every form: a sentence stands beside each,
what was typed is kept, and nothing is saved.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from markupsafe import escape
from sqlalchemy import select

from simulator.agent_console.forms import input_name
from simulator.agent_console.screens import OF_KIND
from simulator.db import read_session
from simulator.local_crm import custom_fields
from simulator.local_crm.fields import FIELDS, CustomType, Definition, Field, FieldType, Unit
from simulator.local_crm.models import RecordVersion
from simulator.services import Services
from simulator.triggers.models import Delivery
from simulator.triggers.urls import Kind
from tests.forms import Browser, Page, Pairs
from tests.local_crm import create, fill_boxes

FIRST = "10000000"
ONE_LINE = (FieldType.TEXT, FieldType.EMAIL, FieldType.URL, FieldType.NUMBER)
CHOSEN = (FieldType.PICK, FieldType.AGENT)
ALL_KINDS = [(kind, form) for kind in Kind for form in ("new", f"{FIRST}/edit")]


@dataclass(frozen=True)
class Rule:
    """A rule, in which fields it holds, a text that breaks it there, and what is said of that."""

    holds: Callable[[Field], bool]
    broken: Callable[[Field], str]
    sentence: str


def is_typed(field: Field) -> bool:
    return field.type in (*ONE_LINE, FieldType.LONG_TEXT)


def too_long(field: Field) -> str:
    most = field.max_length or 0
    beginning = {FieldType.NUMBER: "1", FieldType.URL: "https://example.com/"}.get(field.type, "x")
    text = beginning + beginning[-1:].replace("/", "x") * (most + 1 - len(beginning))
    return text.replace("x", "é", 1) if field.unit is Unit.BYTES else text


RULES = {
    "required": Rule(lambda f: f.required, lambda _: "", "{label} is required."),
    "required of spaces": Rule(
        lambda f: f.required and is_typed(f), lambda _: "  ", "{label} is required."
    ),
    "length": Rule(
        lambda f: is_typed(f) and f.max_length is not None,
        too_long,
        "{label} is {length} {unit} long; at most {most} are allowed.",
    ),
    "control character": Rule(
        is_typed,
        lambda _: "bell\x07bell",
        "{label} contains a control character. Remove it.",
    ),
    "line break": Rule(
        lambda f: f.type in ONE_LINE,
        lambda _: "two\nlines",
        "{label} contains a control character. Remove it.",
    ),
    "no XML": Rule(
        is_typed,
        lambda _: "a\ufffeb",
        "{label} contains U+FFFE, which no XML can carry. Remove it.",
    ),
    "choice": Rule(
        lambda f: f.type is FieldType.PICK,
        lambda _: "<none of them>",
        "{label} must be one of: {choices}.",
    ),
    "agent": Rule(
        lambda f: f.type is FieldType.AGENT,
        lambda _: "<nobody>",
        "{label}: there is no agent <nobody>.",
    ),
    "email": Rule(
        lambda f: f.type is FieldType.EMAIL,
        lambda _: "<b>@here@there",
        "{label} must be an address like name@example.com.",
    ),
    "url": Rule(
        lambda f: f.type is FieldType.URL,
        lambda _: "javascript:<b>",
        "{label} must be an address like https://example.com/page.",
    ),
    "number": Rule(
        lambda f: f.type is FieldType.NUMBER,
        lambda _: "4<2",
        "{label} must be a number like 42 or -3.5.",
    ),
    "date": Rule(
        lambda f: f.type is FieldType.DATE,
        lambda _: "02/30/2026",
        "{label} must be a date that exists, between the years 1900 and 9999.",
    ),
    "instant": Rule(
        lambda f: f.type is FieldType.INSTANT,
        lambda _: "2026-02-30T09:00",
        "{label} must be a date and time in UTC like 2030-12-31T09:30.",
    ),
}


@pytest.fixture(autouse=True)
def crm(services: Services) -> None:
    """A record of each kind, with a custom field of each type that must be filled in; all boxes."""
    now = services.clock.now()
    with services.sessions.begin() as session:
        create(session, Kind.CUSTOMER, now)
        create(session, Kind.CASE, now, accountnum=FIRST)
        create(session, Kind.FOLLOWUP, now, casenum=FIRST)
        create(session, Kind.TASK, now, accountnum=FIRST)
        for kind, type_ in ((kind, type_) for kind in Kind for type_ in CustomType):
            choices = ("Gold", "<i>Tin</i>") if type_ is CustomType.PICK_LIST else ()
            name, label = f"own_{type_.name.lower()}", f"Own {type_}"
            own = Definition(kind, name, label, type_, required=True, choices=choices)
            custom_fields.define(session, own)
        fill_boxes(session, "https://crm.example.com")


def editable(services: Services, kind: Kind) -> list[Field]:
    with read_session(services.engine) as session:
        return [f for f in (*FIELDS[kind], *custom_fields.of_kind(session, kind)) if not f.system]


def versions(services: Services) -> tuple[int, int]:
    """How many versions and deliveries there are."""
    with read_session(services.engine) as session:
        return tuple(  # type: ignore[return-value]
            len(session.scalars(select(model.id)).all()) for model in (RecordVersion, Delivery)
        )


def post_broken(browser: Browser, path: str, broken: dict[str, str]) -> Page:
    """The form as it stands, some of its fields broken, whatever a browser would let one type."""
    page = browser.get(path)
    pairs: Pairs = [
        (str(name), broken.get(str(name), str(value)))
        for name, value in page.form_to(path).form_values()
    ]
    return browser.post(path, pairs)


@pytest.mark.parametrize(("kind", "form"), ALL_KINDS)
def test_every_rule_is_a_sentence_beside_every_field_that_breaks_it(
    browser: Browser, services: Services, kind: Kind, form: str
) -> None:
    fields, before = editable(services, kind), versions(services)
    for rule in RULES.values():
        broken = {input_name(field): rule.broken(field) for field in fields if rule.holds(field)}
        if not broken:
            continue
        page = post_broken(browser, f"{OF_KIND[kind].address}/{form}", broken)
        assert page.status == 422, rule
        for field in (field for field in fields if rule.holds(field)):
            text = broken[input_name(field)]
            assert page.problem(input_name(field)) == rule.sentence.format(
                label=field.label,
                length=len(text.encode()) if field.unit is Unit.BYTES else len(text),
                unit=field.unit,
                most=field.max_length,
                choices=", ".join(field.choices),
            )
            if field.type not in CHOSEN:  # a list cannot keep what is not on it
                assert str(escape(text)).encode() in page.content, (rule, field)
    assert versions(services) == before
