"""What a trigger says, and what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from external_crm.rows import Kind
from receiver.trigger import BadTrigger, Event, parse


@pytest.mark.parametrize(
    ("query", "kind", "record_id"),
    [
        (b"AccountID=aaa", Kind.CUSTOMER, "aaa"),
        (b"AccountID=aaa&CaseID=ccc", Kind.CASE, "ccc"),
        (b"AccountID=aaa&CaseID=ccc&FollowupID=fff", Kind.FOLLOWUP, "fff"),
        (b"AccountID=aaa&TaskID=ttt", Kind.TASK, "ttt"),
        (b"TaskID=ttt&AccountID=aaa", Kind.TASK, "ttt"),
        (b"token=x&AccountID=a%2Db&Account=1", Kind.CUSTOMER, "a-b"),
    ],
)
def test_the_parameters_tell_the_kind(query: bytes, kind: Kind, record_id: str) -> None:
    trigger = parse("", query)
    assert (trigger.kind, trigger.record_id, trigger.event) == (kind, record_id, None)


def test_the_box_tells_the_event() -> None:
    trigger = parse("case/delete", b"AccountID=1&CaseID=2")
    assert trigger.event is Event.DELETE
    assert not trigger.in_wrong_box


def test_a_url_in_the_wrong_box_is_taken_by_its_parameters() -> None:
    trigger = parse("customer/edit", b"AccountID=1&CaseID=2")
    assert (trigger.kind, trigger.in_wrong_box) == (Kind.CASE, True)


@pytest.mark.parametrize(
    ("box", "query", "sentence"),
    [
        ("", b"", "AccountID is missing: no parameter of a CRM trigger was given."),
        ("", b"CaseID=2", "AccountID is missing."),
        ("", b"AccountID=", "AccountID is empty."),
        ("", b"AccountID", "AccountID is empty."),
        ("", b"AccountID=1&AccountID=1", "AccountID is given twice."),
        ("", b"AccountID=1&AccountID=", "AccountID is given twice."),
        ("", b"AccountID=" + b"1" * 65, "AccountID is longer than 64 characters."),
        ("", b"AccountID=1%202", "AccountID may hold letters, digits and - _ . only."),
        ("", b"AccountID=%C3%A9", "AccountID may hold letters, digits and - _ . only."),
        ("", b"AccountID=%00", "AccountID may hold letters, digits and - _ . only."),
        ("", b"AccountID=1&FollowupID=3", "CaseID is missing beside FollowupID."),
        ("", b"AccountID=1&CaseID=2&TaskID=3", "AccountID and CaseID and TaskID do not go"),
        ("lead/edit", b"AccountID=1", "The URL must end with the secret"),
        ("case", b"AccountID=1", "The URL must end with the secret"),
        ("case/edit/x", b"AccountID=1", "The URL must end with the secret"),
    ],
)
def test_what_is_no_trigger_gets_a_sentence(box: str, query: bytes, sentence: str) -> None:
    with pytest.raises(BadTrigger) as caught:
        parse(box, query)
    assert str(caught.value).startswith(sentence)


@given(st.text(max_size=20), st.binary(max_size=200))
def test_anything_is_a_trigger_or_a_sentence(box: str, query: bytes) -> None:
    try:
        trigger = parse(box, query)
    except BadTrigger as error:
        assert str(error).endswith(".")
    else:
        assert 1 <= len(trigger.record_id) <= 64
