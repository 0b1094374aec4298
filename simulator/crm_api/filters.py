"""From the tags of a GET command to conditions on a table (api.filters, api.more-filters).

In: the kind and the tags with their values. Out: SQL conditions that must all hold, or
CallRefused. Numbers, emails and other exact filters are served by an index.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, true
from sqlalchemy.orm import Session

from simulator.crm_api.errors import CallRefused, Refusal
from simulator.local_crm.fields import BY_NAME
from simulator.local_crm.models import MODELS, NUMBER_COLUMN, Customer
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
    Kind.FOLLOWUP: ("FOLLOWUPNUM", "CASENUM", "ACCOUNTNUM"),
    Kind.TASK: ("TASKNUM", "ACCOUNTNUM", "ASSIGNEDTO", "TASK_STATUS"),
}
PARTIAL: dict[Kind, tuple[str, ...]] = {Kind.CASE: ("SUBJECT",)}
PARTIAL_OF_CUSTOMER: dict[Kind, tuple[str, ...]] = {Kind.CASE: ("LASTNAME", "COMPANY")}

# SQLite's own limits (expression depth, pattern length) would make an error of the server's.
MOST_FILTERS = 50
LONGEST_VALUE = 4_000


def select_matching(session: Session, kind: Kind, values: Sequence[tuple[str, str]]) -> Select[Any]:
    """The records of a kind that match all values, in the order of their numbers.

    values: tags in any case, and texts; an empty text counts as not given (api.no-filter).
    """
    given = list(dict.fromkeys((tag, text) for tag, text in values if text))
    if not given:
        raise CallRefused(Refusal.NO_FILTER, ", ".join(_names(kind)))
    if len(given) > MOST_FILTERS:
        raise CallRefused(Refusal.TOO_MANY_FILTERS, MOST_FILTERS)
    conditions = [_condition(session, kind, tag, text) for tag, text in given]
    model = MODELS[kind]
    return select(model).where(*conditions).order_by(_column(kind, NUMBER_COLUMN[kind]))


def _names(kind: Kind) -> tuple[str, ...]:
    return EXACT[kind] + PARTIAL.get(kind, ()) + PARTIAL_OF_CUSTOMER.get(kind, ())


def _condition(session: Session, kind: Kind, tag: str, text: str) -> ColumnElement[bool]:
    name = tag.upper()
    if len(text) > LONGEST_VALUE:
        raise CallRefused(Refusal.VALUE_TEST, tag)
    if name in EXACT[kind]:
        return _column(kind, name.lower()) == text
    if name in PARTIAL.get(kind, ()):
        return _column(kind, name.lower()).icontains(text, autoescape=True)
    if name in PARTIAL_OF_CUSTOMER.get(kind, ()):
        owner = _column(Kind.CUSTOMER, name.lower()).icontains(text, autoescape=True)
        return _column(kind, "accountnum").in_(select(Customer.accountnum).where(owner))
    return _custom_field(session, kind, tag, text)


def _custom_field(session: Session, kind: Kind, tag: str, text: str) -> ColumnElement[bool]:
    """A custom field's value; a tag that no record of the kind has is refused, not ignored:
    a caller takes "nothing found" for "deleted" (api.unknown-filter).
    """
    if tag.lower() in BY_NAME[kind]:
        raise CallRefused(Refusal.UNKNOWN_FILTER, tag)
    table = MODELS[kind].__table__
    pairs = func.json_each(table.c.custom_fields).table_valued("key", "value")
    named = func.lower(pairs.c.key) == tag.lower()
    every_pair = table.join(pairs, true())
    if not session.scalar(select(select(1).select_from(every_pair).where(named).exists())):
        raise CallRefused(Refusal.UNKNOWN_FILTER, tag)
    return select(1).select_from(pairs).where(named, pairs.c.value == text).exists()


def _column(kind: Kind, name: str) -> ColumnElement[str]:
    column: ColumnElement[str] = MODELS[kind].__table__.c[name]
    return column
