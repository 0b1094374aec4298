"""From records to the bytes of a reply: order, spelling, dates, characters."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from simulator.crm_api.errors import CallRefused, Refusal
from simulator.crm_api.render import error_reply, reply
from simulator.local_crm.fields import FIELDS
from simulator.local_crm.models import Case, Customer, Task
from simulator.triggers.urls import Kind

HEAD = b'<?xml version="1.0" encoding="ISO-8859-1"?><WAPI>'


def customer(**values: str) -> Customer:
    """A customer that is in no database."""
    empty = {field.name: "" for field in FIELDS[Kind.CUSTOMER]}
    return Customer(**{**empty, "accountnum": "10000000", **values}, custom_fields={})


def item(answer: bytes) -> etree._Element:
    """The only ITEM of a reply."""
    (found,) = etree.fromstring(answer).iter("ITEM")
    return found


def test_nothing_found_is_a_success_without_item() -> None:
    assert reply(Kind.CUSTOMER, []) == (
        HEAD + b'<REPLY STATUS="0" ERROR_STR="" ERROR_CODE="0">\n</REPLY></WAPI>\n'
    )


def test_an_error_has_number_and_sentence() -> None:
    assert error_reply(CallRefused(Refusal.VALUE_TEST, "firstname")) == (
        HEAD + b'<REPLY STATUS="-1" ERROR_STR="The value test of the tag firstname is not valid." '
        b'ERROR_CODE="5"/></WAPI>\n'
    )


def test_tags_have_the_order_and_spelling_of_the_service() -> None:
    tags = [element.tag for element in item(reply(Kind.CUSTOMER, [customer()]))]
    assert tags == [field.tag for field in FIELDS[Kind.CUSTOMER]]
    assert tags[6] == "customertype"


def test_an_empty_value_is_an_empty_element() -> None:
    assert b"<COMPANY></COMPANY><PBX></PBX>" in reply(Kind.CUSTOMER, [customer()])


def test_characters_beyond_latin_1_are_numeric_references() -> None:
    answer = reply(Kind.CUSTOMER, [customer(lastname="Ž\u20ac😀é<&>\"'")])
    assert b"<LASTNAME>&#381;&#8364;&#128512;\xe9&lt;&amp;&gt;\"'</LASTNAME>" in answer


def test_control_characters_are_never_sent() -> None:
    answer = reply(Kind.CUSTOMER, [customer(comments="a\x00b\x1bc\x7fd\x85e\uffff\r\nf\tg")])
    assert b"<COMMENTS>abc&#127;d&#133;e&#13;\nf\tg</COMMENTS>" in answer


def test_custom_fields_come_last_under_their_names() -> None:
    case = Case(
        casenum="1",
        accountnum="2",
        createddate=datetime(2026, 1, 2, tzinfo=UTC),
        lastactdate=datetime(2026, 1, 2, tzinfo=UTC),
        custom_fields={"CF01_PICKLIST.NAME": "a", "CF02.NAME": "", "no tag": "dropped"},
    )
    answer = reply(Kind.CASE, [case])
    assert answer.endswith(
        b"<CF01_PICKLIST.NAME>a</CF01_PICKLIST.NAME><CF02.NAME></CF02.NAME></ITEM>\n</REPLY></WAPI>\n"
    )
    assert b"no tag" not in answer


def test_dates_are_in_utc_and_only_a_due_date_has_a_time() -> None:
    late = datetime(2026, 12, 31, 23, 30, tzinfo=timezone(timedelta(hours=-2)))
    task = Task(
        tasknum="1",
        accountnum="2",
        duedate=late,
        createddate=late,
        lastmoddate=late,
        custom_fields={},
    )
    answer = item(reply(Kind.TASK, [task]))
    assert answer.findtext("DUEDATE") == "010120270130"
    assert answer.findtext("CREATEDDATE") == "01012027"


@given(st.text())
def test_any_text_makes_a_reply_that_a_parser_reads(text: str) -> None:
    answer = reply(Kind.CUSTOMER, [customer(comments=text)])
    kept = item(answer).findtext("COMMENTS") or ""
    dropped = set("".join(map(chr, range(32)))) - set("\t\n\r") | {"\ufffe", "\uffff"}
    assert kept == "".join(c for c in text if c not in dropped and not 0xD800 <= ord(c) <= 0xDFFF)


@given(st.text())
def test_any_sentence_makes_an_error_reply_that_a_parser_reads(text: str) -> None:
    answer = error_reply(CallRefused(Refusal.UNKNOWN_ACTION, text))
    (found,) = etree.fromstring(answer)
    assert found.get("STATUS") == "-1"
