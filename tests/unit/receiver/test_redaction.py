"""What a recording keeps of a reply and of a query string: the form, never the content."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from receiver.redaction import Redaction

HIDDEN = {"Tenant-7": "TENANT", "crmapi": "USERNAME"}
redaction = Redaction(b"a key of a test", HIDDEN)


@pytest.mark.parametrize(
    ("came", "kept"),
    [
        (
            '<REPLY STATUS="-1" ERROR_CODE="5" ERROR_STR="The tag x is not valid."/>',
            '<REPLY STATUS="-1" ERROR_CODE="5" ERROR_STR="The tag x is not valid."/>',
        ),
        (
            "<D>03232026</D><D>01022026</D><D>23032026</D><D>20260323</D>",
            "<D>12311999</D><D>01021999</D><D>31121999</D><D>19991231</D>",
        ),
        (
            "<A><!-- Ada --><![CDATA[Ada <b>]]><?php Ada?></A>",
            "<A><!-- redacted --><![CDATA[Aaa <a>]]><?redacted?></A>",
        ),
        ("<A>Ada B. 7</A>", "<A>Aaa A. 9</A>"),
        ("<A/><B></B><C> </C>", "<A/><B></B><C> </C>"),
        ("<A>Zoë 李</A>", "<A>Aaé ж</A>"),
        ("<A>&amp;&#26446;&#x674e;&#235;&#13;</A>", "<A>&amp;&#1078;&#1078;&#233;&#13;</A>"),
        ("<A b='secret > x' c=\"1\">t</A>", "<A b='aaaaaa > a' c=\"9\">a</A>"),
    ],
)
def test_a_reply_keeps_its_form(came: str, kept: str) -> None:
    assert redaction.xml(came) == kept


def test_an_errors_words_stay_and_its_values_do_not() -> None:
    said = "<R ERROR_STR=\"No Byron with 10000052, ada@example.com or 'Ada B' for crmapi.\"/>"
    assert redaction.xml(said, sent=["Byron"]) == (
        "<R ERROR_STR=\"No Aaaaa with 99999999, aaa@aaaaaaa.aaa or 'Aaa A' for USERNAME.\"/>"
    )


@pytest.mark.parametrize(
    ("came", "kept"),
    [
        ("own=s3cret&x", "own=a9aaaa&a"),
        ("a-token-without-a-name", "a-aaaaa-aaaaaaa-a-aaaa"),
        ("own=a%20b%41%C3%A9", "own=a%20a%61%61%61"),
        ("own=1?AccountID=", "own=9?AccountID="),
    ],
)
def test_a_query_keeps_its_separators_and_names(came: str, kept: str) -> None:
    assert redaction.query(came) == kept


def test_a_number_is_replaced_by_the_same_one_wherever_it_stands() -> None:
    query = redaction.query("AccountID=10000052&CaseID=7")
    account, case = (part.partition("=")[2] for part in query.split("&"))
    assert (len(account), len(case)) == (8, 1)
    assert account != "10000052"
    assert not account.startswith("0")
    reply = redaction.xml("<ACCOUNTNUM>10000052</ACCOUNTNUM><CASENUM>7</CASENUM>")
    assert reply == f"<ACCOUNTNUM>{account}</ACCOUNTNUM><CASENUM>{case}</CASENUM>"
    assert Redaction(b"another key", {}).number("10000052") != account


def test_hidden_words_are_nowhere_in_whatever_case() -> None:
    told = redaction.without_words({"a": ["x-TENANT-7", "/CRMAPI/y"], "b": "tenant-7"})
    assert told == {"a": ["x-TENANT", "/USERNAME/y"], "b": "TENANT"}


IN_XML = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")


@given(st.dictionaries(st.sampled_from("ABCDE"), st.text(IN_XML, min_size=1), min_size=1))
def test_any_document_stays_well_formed_with_the_same_tags(fields: dict[str, str]) -> None:
    item = etree.Element("ITEM")
    for tag, text in fields.items():
        etree.SubElement(item, tag).text = text
    came = etree.tostring(item, encoding="unicode")
    kept = etree.fromstring(redaction.xml(came))
    assert [field.tag for field in kept] == list(fields)
    for field, before in zip(kept, item, strict=True):
        letters = [c for c in field.text or "" if c.isalpha()]
        assert set(letters) <= set("Aaéж")
        assert len(field.text or "") == len(before.text or "")
