"""What can be searched and sorted by, each by an index: names and texts to conditions and orders.

In: a kind, a field's name, what was typed. Out: Conditions and Orders for `walk`. Pure but for the
expressions of SQLAlchemy; nothing is read.

Texts are found by their beginning, whatever the case of ASCII letters: an index can answer that,
but not "somewhere in the text". Full-text search would answer in words, at the price of a second
copy of every text to be kept up to date by every channel. Numbers, dates and choices are found
whole. Custom fields are found like the others, see `custom_fields`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, literal_column

from simulator.local_crm import fields, models
from simulator.local_crm.fields import BY_NAME, Field, FieldType
from simulator.local_crm.models import MODELS, NUMBER_COLUMN
from simulator.triggers.urls import Kind

LONGEST = 255  # characters of what is searched for
_LAST_CHARACTER = "\U0010ffff"
_MOST_WORDS = 4  # of a full name

Clause = ColumnElement[bool]


@dataclass(frozen=True)
class Condition:
    """What a record must meet: any of the clauses, each answered by an index."""

    clauses: tuple[Clause, ...]
    on: str = ""  # the one field it is about, if it is about one
    is_equality: bool = False


@dataclass(frozen=True)
class Order:
    """How a list is sorted. Equal keys follow each other in the order of creation."""

    field: str
    key: ColumnElement[Any] | None  # None: the order of creation itself, which is the number's
    ignores_case: bool = False
    descending: bool = False


def fields_of(kind: Kind) -> tuple[str, ...]:
    """The fields that can be searched."""
    return tuple(_SEARCHED[kind])


def condition(kind: Kind, field: str, text: str) -> Condition:
    """Records whose field begins with the text or, for numbers and choices, equals it."""
    make = _SEARCHED[kind][field]
    clause = make(text.strip()[:LONGEST])
    return Condition((clause,), field, is_equality=field in _EXACT[kind])


def custom_condition(field: Field, typed: str) -> Condition:
    """The same for a custom field. Dates are typed as MM/DD/YYYY."""
    typed = typed.strip()[:LONGEST]
    if field.type in (FieldType.LONG_TEXT, FieldType.URL):
        return Condition((_begins(literal_column(custom_key(field), Text))(typed),))
    kept = fields.kept_date(typed) if field.type is FieldType.DATE else typed
    return Condition((custom_equals(field, kept),))


def custom_equals(field: Field, kept: str) -> Clause:
    """Records whose custom field has the very value."""
    # The index ignores case, and choices may differ in nothing else.
    key, value = custom_key(field), _custom_value(field)
    return and_(literal_column(key, Text) == kept, literal_column(value, Text) == kept)


def custom_key(field: Field) -> str:
    """What the index of a custom field has, in SQL: an index is used for the very expression that
    it was made of. A name is letters, digits and underscores.
    """
    return f"{_custom_value(field)} COLLATE NOCASE"


def _custom_value(field: Field) -> str:
    return f"""json_extract(custom_fields, '$."{field.name}"')"""


def anywhere(kind: Kind, text: str) -> Condition:
    """Basic search: any of the kind's texts begins with the text, or a number equals it.

    A customer is also found by the first and the last name.
    """
    text = text.strip()[:LONGEST]
    clauses = [_SEARCHED[kind][field](text) for field in _BASIC[kind]]
    if kind is Kind.CUSTOMER:
        clauses += [_begins(models.FULL_NAME)(name) for name in _last_name_first(text)]
    return Condition(tuple(clauses))


def sortable(kind: Kind) -> tuple[str, ...]:
    """The fields that a list can be sorted by, the number first."""
    return (NUMBER_COLUMN[kind], *_SORTED[kind])


def order(kind: Kind, field: str, *, descending: bool) -> Order:
    """The order by one of `sortable`."""
    if field == NUMBER_COLUMN[kind]:
        return Order(field, None, descending=descending)
    key = _SORTED[kind][field]
    typed = field in _TYPED[kind]
    return Order(field, key, ignores_case=typed, descending=descending)


def _begins(key: ColumnElement[Any]) -> Callable[[str], Clause]:
    # A range, not LIKE: it uses the index whatever characters are in the text.
    return lambda text: and_(key >= text, key < text + _LAST_CHARACTER)


def _equals(column: ColumnElement[Any]) -> Callable[[str], Clause]:
    return lambda text: column == text


def _last_name_first(text: str) -> list[str]:
    """`Ada de Vries` as the index of full names may have it: `de Vries Ada`, `Vries Ada de`."""
    words = text.split()
    if not 2 <= len(words) <= _MOST_WORDS:
        return []
    return [" ".join(words[cut:] + words[:cut]) for cut in range(1, len(words))]


_TYPED: dict[Kind, Mapping[str, ColumnElement[Any]]] = {
    Kind.CUSTOMER: {
        "lastname": models.FULL_NAME,
        "firstname": models.FIRST_NAME,
        "company": models.COMPANY,
    },
    Kind.CASE: {"subject": models.CASE_SUBJECT},
    Kind.FOLLOWUP: {"subject": models.FOLLOWUP_SUBJECT},
    Kind.TASK: {"subject": models.TASK_SUBJECT},
}
# Numbers and choices; in `models` each of these columns has an index.
_EXACT: dict[Kind, tuple[str, ...]] = {
    Kind.CUSTOMER: ("accountnum", "customertype"),
    Kind.CASE: ("casenum", "accountnum", "status", "priority", "project", "assignedto"),
    Kind.FOLLOWUP: ("followupnum", "casenum", "accountnum", "direction"),
    Kind.TASK: ("tasknum", "accountnum", "task_status", "assignedto"),
}
_BASIC: dict[Kind, tuple[str, ...]] = {
    Kind.CUSTOMER: ("accountnum", "lastname", "firstname", "company", "email", "voice"),
    Kind.CASE: ("casenum", "accountnum", "subject"),
    Kind.FOLLOWUP: ("followupnum", "casenum", "accountnum", "subject"),
    Kind.TASK: ("tasknum", "accountnum", "subject"),
}


def _searched(kind: Kind) -> dict[str, Callable[[str], Clause]]:
    """In the order of the fields on the page."""
    columns = MODELS[kind].__table__.c
    found = {field: _equals(columns[field]) for field in _EXACT[kind]}
    found |= {field: _begins(key) for field, key in _TYPED[kind].items()}
    if kind is Kind.CUSTOMER:
        found |= {"email": _begins(models.EMAIL), "voice": _begins(columns.voice)}
    return {field: found[field] for field in BY_NAME[kind] if field in found}


_SEARCHED = {kind: _searched(kind) for kind in Kind}
_SORTED: dict[Kind, dict[str, ColumnElement[Any]]] = {
    kind: {
        **_TYPED[kind],
        **{
            field: MODELS[kind].__table__.c[field]
            for field in _EXACT[kind]
            if field != NUMBER_COLUMN[kind]
        },
    }
    for kind in Kind
}
