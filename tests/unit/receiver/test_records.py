"""The CRM API's XML, read strictly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from external_crm.rows import Key, Kind
from receiver.mapping import UnmappableRecord, to_row
from receiver.records import (
    ApiErrorReply,
    BadReply,
    Credentials,
    get_request,
    list_request,
    read_list,
    read_reply,
)

CASE = Key(Kind.CASE, "10000052")
HEAD = b'<?xml version="1.0" encoding="ISO-8859-1"?>'


def reply(inside: bytes, root: bytes = b"WAPI") -> bytes:
    ok = b'<REPLY STATUS="0" ERROR_STR="" ERROR_CODE="0">%s</REPLY>' % inside
    return HEAD + b"<%s>%s</%s>" % (root, ok, root)


ITEM = b"<ITEM><ACCOUNTNUM>10000000</ACCOUNTNUM><CASENUM>10000052</CASENUM>%s</ITEM>"


def test_a_request_asks_for_one_record_with_escaped_credentials() -> None:
    credentials = Credentials("acme", "api", "p<&>w")
    assert get_request(CASE, credentials) == (
        b"<WAPI><TENANT>acme</TENANT><USERNAME>api</USERNAME><PASSWORD>p&lt;&amp;&gt;w</PASSWORD>"
        b'<COMMAND OBJECT="Case" ACTION="GET"><CASENUM>10000052</CASENUM></COMMAND></WAPI>'
    )


def test_with_a_key_the_request_is_the_bare_command() -> None:
    assert get_request(Key(Kind.TASK, "7"), Credentials("acme", api_key="k")) == (
        b'<COMMAND OBJECT="Task" ACTION="GET"><TASKNUM>7</TASKNUM></COMMAND>'
    )


def test_tags_are_read_whatever_their_case_and_root() -> None:
    body = reply(
        ITEM % b"<Subject>Fax &#8211; caf\xe9</Subject><CF02.NAME>x</CF02.NAME>", b"APIUSER"
    )
    record = read_reply(CASE, body)
    assert record.fields["SUBJECT"] == "Fax \u2013 café"
    assert to_row(record).custom_fields == {"CF02.NAME": "x"}


def test_no_item_is_not_found() -> None:
    assert read_reply(CASE, reply(b"")) is None


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "The reply is empty."),
        (HEAD + b"<WAPI/>", "The reply has no REPLY element."),
        (reply(ITEM % b"")[:-20], "The reply is not well-formed XML"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><WAPI>&a;</WAPI>', "The reply has a DOCTYPE"),
        (reply(ITEM % b"" + ITEM % b""), "The reply holds 2 records where one was asked for."),
        (reply(b"<ITEM><CASENUM>9</CASENUM></ITEM>"), "case 10000052 was asked for, the reply"),
        (reply(b"<ITEM/>"), "case 10000052 was asked for, the reply holds no number."),
        (reply(ITEM % b"<SUBJECT><B/></SUBJECT>"), "The field SUBJECT of case 10000052 holds"),
        (reply(ITEM % b"<SUBJECT/><SUBJECT/>"), "The field SUBJECT of case 10000052 is there"),
        ("<?xml version='1.0' encoding='UTF-16'?><WAPI/>".encode("utf-16"), "The reply declares"),
    ],
)
def test_a_reply_that_cannot_be_used_never_means_gone(body: bytes, sentence: str) -> None:
    with pytest.raises(BadReply) as caught:
        read_reply(CASE, body)
    assert str(caught.value).startswith(sentence)


def test_an_error_reply_carries_code_and_text() -> None:
    body = HEAD + b'<WAPI><REPLY STATUS="-1" ERROR_STR="No." ERROR_CODE="5"/></WAPI>'
    with pytest.raises(ApiErrorReply) as caught:
        read_reply(CASE, body)
    assert (caught.value.code, caught.value.text) == ("5", "No.")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_reply_or_a_sentence(body: bytes) -> None:
    try:
        read_reply(CASE, body)
    except BadReply as error:
        assert str(error)


@pytest.mark.parametrize(
    ("kind", "tag", "value", "column", "expected"),
    [
        (Kind.CASE, "CREATEDDATE", "03022026", "created_date", "2026-03-02"),
        (Kind.CASE, "CLOSEDDATE", "", "closed_date", "None"),
        (Kind.TASK, "DUEDATE", "030220261405", "due_at", "2026-03-02 14:05:00+00:00"),
        (Kind.TASK, "DUEDATE", "03022026", "due_at", "2026-03-02 00:00:00+00:00"),
    ],
)
def test_dates_become_dates(kind: Kind, tag: str, value: str, column: str, expected: str) -> None:
    number = {Kind.CASE: b"CASENUM", Kind.TASK: b"TASKNUM"}[kind]
    item = b"<ITEM><%s>1</%s><ACCOUNTNUM>2</ACCOUNTNUM><%s>%s</%s></ITEM>" % (
        number, number, tag.encode(), value.encode(), tag.encode(),
    )  # fmt: skip
    record = read_reply(Key(kind, "1"), reply(item))
    assert str(getattr(to_row(record), column)) == expected


@pytest.mark.parametrize("value", ["02302026", "2026-03-02", "yesterday", "0302202"])
def test_a_date_that_is_none_is_said(value: str) -> None:
    item = ITEM % f"<CREATEDDATE>{value}</CREATEDDATE>".encode()
    with pytest.raises(UnmappableRecord, match="as CREATEDDATE, which created_date cannot hold"):
        to_row(read_reply(CASE, reply(item)))


def test_a_case_without_a_customer_is_said() -> None:
    item = b"<ITEM><CASENUM>10000052</CASENUM></ITEM>"
    with pytest.raises(UnmappableRecord, match="names no ACCOUNTNUM"):
        to_row(read_reply(CASE, reply(item)))


def test_requests_parse_as_xml() -> None:
    root = etree.fromstring(get_request(CASE, Credentials("a", "b", "c")))
    assert [child.tag for child in root] == ["TENANT", "USERNAME", "PASSWORD", "COMMAND"]


def test_a_list_holds_what_can_be_read_of_it() -> None:
    reply = b"""<WAPI><REPLY STATUS="0" ERROR_STR="" ERROR_CODE="0">
      <ITEM><FOLLOWUPNUM>1</FOLLOWUPNUM><BODY>good</BODY></ITEM>
      <ITEM><FOLLOWUPNUM>2</FOLLOWUPNUM><BODY><B>nested</B></BODY></ITEM>
      <ITEM><FOLLOWUPNUM>3</FOLLOWUPNUM></ITEM><ITEM><FOLLOWUPNUM>3</FOLLOWUPNUM></ITEM>
    </REPLY></WAPI>"""
    records = read_list(Kind.FOLLOWUP, reply)
    assert [(r.key.id, r.fields.get("BODY")) for r in records] == [("1", "good")]


def test_a_list_request_names_the_parent() -> None:
    request = list_request(Kind.FOLLOWUP, Key(Kind.CASE, "C1"), Credentials("t", api_key="k"))
    assert request == b'<COMMAND OBJECT="Followup" ACTION="GET"><CASENUM>C1</CASENUM></COMMAND>'


@pytest.mark.parametrize(
    "reply", [b"", b"<WAPI/>", b"<html/>", b"<WAPI><REPLY STATUS='-1'/></WAPI>"]
)
def test_what_is_no_list_is_said(reply: bytes) -> None:
    with pytest.raises(BadReply):
        read_list(Kind.CASE, reply)
