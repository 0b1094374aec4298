"""The audit trail's entries and their chain."""

from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise

import pytest

from external_crm import audit
from external_crm.models import AuditEntry
from external_crm.rows import Cause, Key, Kind

KEY = Key(Kind.CASE, "C1")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def chain() -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    states = [None, {"subject": "a", "created_date": date(2026, 3, 1)}, {"subject": "b"}, None]
    for number, (before, after) in enumerate(pairwise(states), start=1):
        previous = entries[-1].hash if entries else ""
        cause = Cause("trigger", number)
        values = audit.entry(KEY, number, previous, before, after, cause, number * 2, NOON)
        entries.append(AuditEntry(**values))
    return entries


def test_actions_follow_from_before_and_after() -> None:
    assert [entry.action for entry in chain()] == ["created", "changed", "deleted"]


def test_a_whole_chain_holds() -> None:
    assert audit.verify(chain()) is None


@pytest.mark.parametrize(
    ("tamper", "sentence"),
    [
        (lambda c: setattr(c[1], "after", {"subject": "x"}), "2 of case C1 was altered"),
        (lambda c: setattr(c[0], "cause_id", 9), "1 of case C1 was altered"),
        (lambda c: c.pop(1), "3 of case C1 follows a gap"),
        (lambda c: c.pop(0), "2 of case C1 follows a gap"),
        (lambda c: setattr(c[2], "previous_hash", "0"), "3 of case C1 does not follow"),
    ],
)
def test_a_chain_that_was_touched_is_said(tamper, sentence: str) -> None:
    entries = chain()
    tamper(entries)
    assert sentence in (audit.verify(entries) or "")


def test_diff_names_what_differs() -> None:
    assert audit.diff({"a": 1, "b": 2}, {"a": 1, "b": 3}) == {"b": (2, 3)}
    assert audit.diff(None, {"a": 1}) == {"a": (None, 1)}


def test_a_decimal_is_kept_digit_by_digit() -> None:
    assert audit.as_json({"price": Decimal("10.50")}) == {"price": "10.50"}
