"""From rows to the bytes of a reply: order, spelling, dates, characters, chunks."""

import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from simulator.crm_api.errors import CallRefused, Refusal, value_test
from simulator.crm_api.render import CHUNK_BYTES, Row, error_reply, reply_chunks, root_for
from simulator.local_crm.fields import FIELDS, Field, FieldClass
from simulator.settings import Settings
from simulator.triggers.urls import Kind

HEAD = b'<?xml version="1.0" encoding="ISO-8859-1"?><WAPI>'
SETTINGS = Settings()


def row(kind: Kind, own: dict[str, str] | None = None, **values: Any) -> Row:
    """A row as it comes from the database; what is not given is empty."""
    return [*(values.get(field.name, "") for field in FIELDS[kind]), own or {}]


def reply(
    kind: Kind, *rows: Row, custom: tuple[Field, ...] = (), settings: Settings = SETTINGS
) -> bytes:
    """The whole reply."""
    return b"".join(reply_chunks(kind, custom, rows, "WAPI", settings))


def item(answer: bytes) -> etree._Element:
    """The only ITEM of a reply."""
    (found,) = etree.fromstring(answer).iter("ITEM")
    return found


def test_nothing_found_is_a_success_without_item() -> None:
    assert reply(Kind.CUSTOMER) == (
        HEAD + b'<REPLY STATUS="0" ERROR_STR="" ERROR_CODE="0"/></WAPI>'
    )


def test_an_error_has_number_and_sentence() -> None:
    assert error_reply(value_test("FIRSTNAME"), "WAPI", SETTINGS) == (
        HEAD + b'<REPLY STATUS="-1" ERROR_STR="The value test of the tag firstname is not valid." '
        b'ERROR_CODE="5"/></WAPI>'
    )


def test_tags_have_the_order_and_spelling_of_the_service() -> None:
    tags = [element.tag for element in item(reply(Kind.CUSTOMER, row(Kind.CUSTOMER)))]
    assert " ".join(map(str, tags)) == (
        "FIRSTNAME LASTNAME COMPANY PBX COMMENTS ACCOUNTNUM customertype EMAIL VOICE ALTERNATIVE "
        "FAX ADDR1STR1 ADDR1STR2 ADDR1CITY ADDR1STATE ADDR1ZIP ADDR1COUNTRY ADDR2STR1 ADDR2STR2 "
        "ADDR2CITY ADDR2STATE ADDR2ZIP ADDR2COUNTRY"
    )


def test_an_empty_value_is_an_empty_element() -> None:
    assert b"<COMPANY/><PBX/>" in reply(Kind.CUSTOMER, row(Kind.CUSTOMER))


def test_characters_beyond_latin_1_are_numeric_references() -> None:
    answer = reply(Kind.CUSTOMER, row(Kind.CUSTOMER, lastname="Ž\u20ac😀é<&>\"'"))
    assert b"<LASTNAME>&#381;&#8364;&#128512;\xe9&lt;&amp;&gt;\"'</LASTNAME>" in answer


def test_control_characters_are_never_sent() -> None:
    answer = reply(
        Kind.CUSTOMER, row(Kind.CUSTOMER, comments="a\x00b\x1bc\x7fd\x85e\uffff\r\nf\tg")
    )
    assert b"<COMMENTS>abc&#127;d&#133;e&#13;\nf\tg</COMMENTS>" in answer


def test_custom_fields_come_last_in_a_case_under_a_tag_with_a_dot() -> None:
    custom = tuple(Field(name, name, field_class=FieldClass.CUSTOM) for name in ("CF1", "CF2"))
    own = {"CF2": "a", "removed": "b"}
    case = reply(Kind.CASE, row(Kind.CASE, own), custom=custom)
    assert case.endswith(b"<CF1.NAME/><CF2.NAME>a</CF2.NAME></ITEM> </REPLY></WAPI>")
    customer = reply(Kind.CUSTOMER, row(Kind.CUSTOMER, own), custom=custom)
    assert customer.endswith(b"<CF1/><CF2>a</CF2></ITEM> </REPLY></WAPI>")


def test_dates_are_in_utc_and_only_a_due_date_has_a_time() -> None:
    late = datetime(2026, 12, 31, 23, 30, tzinfo=timezone(timedelta(hours=-2)))
    task = row(Kind.TASK, duedate=late, createddate=late, lastmoddate=late)
    answer = item(reply(Kind.TASK, task))
    assert answer.findtext("DUEDATE") == "010120270130"
    assert answer.findtext("CREATEDDATE") == "01012027"
    elsewhere = item(reply(Kind.TASK, task, settings=Settings(api_time_zone="America/New_York")))
    assert elsewhere.findtext("DUEDATE") == "123120262030"
    assert elsewhere.findtext("CREATEDDATE") == "12312026"


def test_a_root_is_the_user_name_only_where_that_can_be_a_tag() -> None:
    by_user = Settings(api_reply_root="username")
    assert root_for("crmapi", SETTINGS) == "WAPI"
    assert [root_for(name, by_user) for name in ("crmapi", "9", "a b", "é<", "")] == [
        "CRMAPI",
        *["WAPI"] * 4,
    ]


def test_a_long_reply_is_made_piece_by_piece() -> None:
    made = 0

    def rows() -> Iterator[Row]:
        nonlocal made
        when = datetime(2026, 1, 2, tzinfo=UTC)
        for number in range(20_000):
            made += 1
            yield row(Kind.CASE, casenum=str(number), description="x" * 200, createddate=when)

    chunks = reply_chunks(Kind.CASE, (), rows(), "WAPI", SETTINGS)
    first = next(chunks)
    assert CHUNK_BYTES <= len(first) < 2 * CHUNK_BYTES
    assert made < 200
    tracemalloc.start()
    try:
        size = len(first) + sum(len(chunk) for chunk in chunks)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (made, size > 8_000_000, peak < 1_000_000) == (20_000, True, True), peak


@given(st.text())
def test_any_text_makes_a_reply_that_a_parser_reads(text: str) -> None:
    answer = reply(Kind.CUSTOMER, row(Kind.CUSTOMER, comments=text))
    kept = item(answer).findtext("COMMENTS") or ""
    dropped = set("".join(map(chr, range(32)))) - set("\t\n\r") | {"\ufffe", "\uffff"}
    assert kept == "".join(c for c in text if c not in dropped and not 0xD800 <= ord(c) <= 0xDFFF)


@given(st.text())
def test_any_sentence_makes_an_error_reply_that_a_parser_reads(text: str) -> None:
    answer = error_reply(CallRefused(Refusal.UNKNOWN_ACTION, text), "WAPI", SETTINGS)
    (found,) = etree.fromstring(answer)
    assert found.get("STATUS") == "-1"
