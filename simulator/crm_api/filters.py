"""From the tags of a GET command to conditions on a table (api.filters, api.more-filters).

In: the kind and the tags with their values. Out: SQL conditions that must all hold, or
CallRefused. Exact filters and custom fields are served by an index; those that match in part are
not.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, select

from simulator.crm_api.errors import CallRefused, Refusal, value_test
from simulator.crm_api.tags import Tag, known_tags, read_tags
from simulator.local_crm.fields import FIELDS, Field, FieldClass
from simulator.local_crm.models import MODELS, NUMBER_COLUMN, Customer
from simulator.local_crm.search import custom_equals
from simulator.settings import Settings
from simulator.triggers.urls import Kind

EXACT: dict[Kind, tuple[str, ...]] = {
    Kind.CUSTOMER: (
        "FIRSTNAME",
        "LASTNAME",
        "EMAIL",
        "VOICE",
        "COMPANY",
        "ACCOUNTNUM",
        "CUSTOMERTYPE",
    ),
    Kind.CASE: ("CASENUM", "ACCOUNTNUM", "STATUS", "PROJECT"),
    Kind.FOLLOWUP: (),
    Kind.TASK: ("ASSIGNEDTO", "TASK_STATUS"),
}
ASSUMED: dict[Kind, tuple[str, ...]] = {  # api.more-filters
    Kind.FOLLOWUP: ("FOLLOWUPNUM", "CASENUM", "ACCOUNTNUM"),
    Kind.TASK: ("TASKNUM", "ACCOUNTNUM"),
}
PARTIAL: dict[Kind, tuple[str, ...]] = {Kind.CASE: ("SUBJECT",)}
PARTIAL_OF_CUSTOMER: dict[Kind, tuple[str, ...]] = {Kind.CASE: ("LASTNAME", "COMPANY")}
NUMBERS = {name.upper() for name in NUMBER_COLUMN.values()}


def _all(kind: Kind) -> Select[Any]:
    columns = MODELS[kind].__table__.c
    found = select(*(columns[field.name] for field in FIELDS[kind]), columns.custom_fields)
    return found.order_by(columns[NUMBER_COLUMN[kind]])


_ALL = {kind: _all(kind) for kind in Kind}  # made once: it takes longer than running it
LONGEST_VALUE = 4_000  # SQLite's limit of a pattern's length would make an error of the server's


def select_matching(
    kind: Kind, values: Sequence[tuple[str, str]], custom: Sequence[Field], settings: Settings
) -> Select[Any]:
    """The records of a kind that match all values, in the order of their numbers: the columns of
    FIELDS[kind], then the custom fields.

    values: tags in any case, and texts; an empty text counts as not given (api.no-filter).
    Raises CallRefused.
    """
    known = known_tags(kind, custom, settings)
    tags = read_tags(kind, values, known, settings, also=PARTIAL_OF_CUSTOMER.get(kind, ()))
    exact = EXACT[kind] + (ASSUMED.get(kind, ()) if settings.api_more_filters else ())
    conditions = [_condition(kind, tag, exact, settings) for tag in tags if tag.text]
    if not conditions and settings.api_get_without_filter == "error":
        names = (*exact, *PARTIAL_OF_CUSTOMER.get(kind, ()), *PARTIAL.get(kind, ()))
        raise CallRefused(Refusal.NO_FILTER, ", ".join(names))
    found = _ALL[kind].where(*conditions)
    return found.limit(settings.api_row_cap) if settings.api_row_cap else found


def _condition(
    kind: Kind, tag: Tag, exact: tuple[str, ...], settings: Settings
) -> ColumnElement[bool]:
    """What one filter demands. Raises CallRefused."""
    if len(tag.text) > LONGEST_VALUE:
        raise value_test(tag.name)
    if tag.name in exact:
        if tag.name in NUMBERS and not (tag.text.isascii() and tag.text.isdigit()):
            raise value_test(tag.name)  # api.number-filter
        return _column(kind, tag.name.lower()) == tag.text
    if tag.name in PARTIAL.get(kind, ()):
        return _in_part(_column(kind, tag.name.lower()), tag.text, settings)
    if tag.name in PARTIAL_OF_CUSTOMER.get(kind, ()):
        owner = _in_part(_column(Kind.CUSTOMER, tag.name.lower()), tag.text, settings)
        return _column(kind, "accountnum").in_(select(Customer.accountnum).where(owner))
    if tag.field is not None and tag.field.field_class is FieldClass.CUSTOM:
        return custom_equals(tag.field, tag.text)
    raise CallRefused(Refusal.NO_FILTER_TAG, tag.name, kind)


def _in_part(column: ColumnElement[str], text: str, settings: Settings) -> ColumnElement[bool]:
    """A partial match in any case: anywhere, or at the beginning (api.partial-match)."""
    if settings.api_partial_match == "beginning":
        return column.istartswith(text, autoescape=True)
    return column.icontains(text, autoescape=True)


def _column(kind: Kind, name: str) -> ColumnElement[str]:
    column: ColumnElement[str] = MODELS[kind].__table__.c[name]
    return column
