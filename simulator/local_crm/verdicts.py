"""Whether a change obeys the rules: those of `fields`, and those that look at other rows.

In: a session, values, the record to edit if there is one. Out: for each row None, or what is wrong
with it. Nothing is written.

    ChangeRefused(field -> sentence)   the change breaks a rule
      EmailTaken                       the only thing wrong: another customer has the email
      RecordNotFound                   there is no such record (any more)
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from string import ascii_uppercase
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from simulator.local_crm import fields
from simulator.local_crm.fields import Field, FieldType, Rules
from simulator.local_crm.models import MODELS, NUMBER_COLUMN, Agent, Customer, Record
from simulator.settings import Settings
from simulator.triggers.urls import Kind

_RULES = "simulator.local_crm.rules"  # in session.info
_LONGEST_NUMBER = 64
_SMALL_LETTERS = {ord(letter): letter.lower() for letter in ascii_uppercase}
_PARENT_COLUMNS: dict[Kind, tuple[tuple[Kind, str], ...]] = {
    Kind.CUSTOMER: (),
    Kind.CASE: ((Kind.CUSTOMER, "accountnum"),),
    Kind.FOLLOWUP: ((Kind.CASE, "casenum"),),
    Kind.TASK: ((Kind.CUSTOMER, "accountnum"),),
}


class ChangeRefused(Exception):
    """A change that breaks a rule; `problems` has a sentence for each field, by field name."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = dict(problems)


class EmailTaken(ChangeRefused):
    """The change would be right if no other customer had the email (records.email-unique)."""


class RecordNotFound(ChangeRefused):
    """The record is not there, or no longer."""


def parent_columns(kind: Kind) -> tuple[str, ...]:
    """The columns with a parent's number that a new record needs."""
    return tuple(column for _, column in _PARENT_COLUMNS[kind])


def rules_info(settings: Settings) -> dict[Any, Any]:
    """What a session must have in its `info` so that the rules are those of the settings."""
    return {_RULES: Rules(email_max_length=settings.email_max_length)}


def judge(
    session: Session,
    kind: Kind,
    rows: Sequence[Mapping[str, Any]],
    custom: Sequence[Field],
    record: Record | None = None,
) -> list[ChangeRefused | None]:
    """For each row what is wrong with it, or None; the rules of `fields` first, since only texts
    that obey them can be looked up. Rows of one batch may not share an email either.
    """
    rules: Rules = session.info.get(_RULES, fields.STANDARD)
    broken = [_broken_rules(kind, values, custom, rules, record) for values in rows]
    # What breaks a rule is not looked up: it may be a text that no query can carry.
    sound = [
        {name: value for name, value in values.items() if name not in problems}
        for values, problems in zip(rows, broken, strict=True)
    ]
    known = _Known(session, kind, sound)
    return [
        _verdict(known, values, problems, record)
        for values, problems in zip(sound, broken, strict=True)
    ]


def owners_of_cases(
    session: Session, kind: Kind, rows: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    """The customers of the cases that new follow-ups name, by the cases' numbers."""
    return _Known(session, kind, rows).parents.get("casenum", {})


def _verdict(
    known: "_Known", values: Mapping[str, Any], problems: dict[str, str], record: Record | None
) -> ChangeRefused | None:
    problems = known.missing(values, record) | problems
    if problems:
        return ChangeRefused(problems)
    if known.takes_email_of_another(values, record):
        return EmailTaken({"email": f"Another customer has the email {values['email']}."})
    return None


def _broken_rules(
    kind: Kind,
    values: Mapping[str, Any],
    custom: Sequence[Field],
    rules: Rules,
    record: Record | None,
) -> dict[str, str]:
    """What can be said without a look at other records."""
    by_name = fields.BY_NAME[kind]
    parents = parent_columns(kind) if record is None else ()
    unknown = values.keys() - by_name.keys() - {fields.CUSTOM}
    problems = {name: f"A {kind} has no field {name}." for name in unknown}
    typed: dict[str, Any] = {fields.CUSTOM: values.get(fields.CUSTOM, {})}
    if record is None:
        typed |= {f.name: "" for f in fields.FIELDS[kind] if f.required}
    for name in values.keys() & by_name.keys():
        field, value = by_name[name], values[name]
        if name in parents:
            as_text = replace(field, max_length=_LONGEST_NUMBER)
            problems |= _named(name, fields.check(as_text, str(value)))
        elif field.system:
            # A new follow-up may name its case's customer, which is looked up.
            named = (kind, name) == (Kind.FOLLOWUP, "accountnum")
            unchanged = named if record is None else value == getattr(record, name)
            if not unchanged:
                problems[name] = f"{field.label} is view only."
        elif field.type is FieldType.INSTANT:
            if not isinstance(value, datetime | None):
                problems[name] = f"{field.label} must be a date."
        else:
            typed[name] = value
    return problems | fields.check_all(kind, typed, custom, rules)


def _named(name: str, problem: str | None) -> dict[str, str]:
    return {} if problem is None else {name: problem}


class _Known:
    """What the rules ask about other rows, read once for a batch of values."""

    def __init__(self, session: Session, kind: Kind, rows: Sequence[Mapping[str, Any]]) -> None:
        self.kind = kind
        self.agents = self._existing(session, Agent.agent_id, _texts(rows, "assignedto"))
        self.parents: dict[str, dict[str, str]] = {}  # column -> number -> whose it is
        for parent_kind, column in _PARENT_COLUMNS[kind]:
            table = MODELS[parent_kind].__table__.c
            wanted = table[NUMBER_COLUMN[parent_kind]].in_(_texts(rows, column))
            numbers = select(table[NUMBER_COLUMN[parent_kind]], table.accountnum).where(wanted)
            self.parents[column] = {str(n): str(owner) for n, owner in session.execute(numbers)}
        self.emails: dict[str, str] = {}  # in small letters -> whose it is
        emails = {ascii_lower(email) for email in _texts(rows, "email")}
        if kind is Kind.CUSTOMER and emails:
            small = func.lower(Customer.email)  # as the unique index has it
            taken = select(small, Customer.accountnum).where(
                small.in_(emails), Customer.email != ""
            )
            self.emails = {str(email): number for email, number in session.execute(taken)}

    def missing(self, values: Mapping[str, Any], record: Record | None) -> dict[str, str]:
        """Sentences for what values name and is not there."""
        problems = {}
        for parent_kind, column in _PARENT_COLUMNS[self.kind] if record is None else ():
            number = str(values.get(column, ""))
            label = fields.BY_NAME[self.kind][column].label
            if number not in self.parents[column]:
                problems[column] = f"{label}: there is no {parent_kind} {number or '(empty)'}."
            elif values.get("accountnum") not in (None, "", self.parents[column][number]):
                problems["accountnum"] = f"Account Number is view only: {label} tells it."
        agent = values.get("assignedto", "")
        if agent not in ("", getattr(record, "assignedto", "")) and agent not in self.agents:
            label = fields.BY_NAME[self.kind]["assignedto"].label
            problems["assignedto"] = f"{label}: there is no agent {agent}."
        return problems

    def takes_email_of_another(self, values: Mapping[str, Any], record: Record | None) -> bool:
        """Whether somebody has the email; if nobody has, it is the row's from now on."""
        email = ascii_lower(values.get("email") or "")
        if self.kind is not Kind.CUSTOMER or not email:
            return False
        if email in self.emails:
            return self.emails[email] != getattr(record, "accountnum", None)
        self.emails[email] = ""
        return False

    @staticmethod
    def _existing(session: Session, column: Any, values: Collection[str]) -> set[str]:
        return set(session.scalars(select(column).where(column.in_(values)))) if values else set()


def _texts(rows: Iterable[Mapping[str, Any]], name: str) -> set[str]:
    return {str(row[name]) for row in rows if row.get(name)}


def ascii_lower(text: str) -> str:
    """As SQLite does it: letters of ASCII alone."""
    return text.translate(_SMALL_LETTERS)
