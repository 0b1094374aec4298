"""From the bytes of a request to a call: both ways of xml_query, the bare COMMAND, and attacks."""

from urllib.parse import quote, quote_plus

import pytest

from simulator.crm_api.errors import CallRefused, Refusal, value_test
from simulator.crm_api.parse import Command, Credentials, bare_command, wapi_call

CALL = (
    '<?xml version="1.0" encoding="{encoding}"?>\n'
    "  <WAPI>\n  <TENANT>demo</TENANT>\n  <USERNAME>user</USERNAME>\n"
    "  <PASSWORD>p+a%20s&amp;s</PASSWORD>\n"
    '  <COMMAND OBJECT="Customer" ACTION="GET">\n'
    "    <LASTNAME>Müller &amp; Söhne + 10%</LASTNAME>\n  </COMMAND>\n  </WAPI>\n  "
)
EXPECTED = (
    Credentials("demo", "user", "p+a%20s&s"),
    Command("Customer", "GET", (("LASTNAME", "Müller & Söhne + 10%"),)),
)


@pytest.mark.parametrize("encoding", ["UTF-8", "ISO-8859-1"])
def test_raw_and_encoded_queries_are_the_same_call(encoding: str) -> None:
    xml = CALL.format(encoding=encoding).encode(encoding)
    assert wapi_call(b"xml_query=" + quote(xml).encode()) == EXPECTED
    assert wapi_call(b"xml_query=" + quote_plus(xml, safe="").encode()) == EXPECTED
    assert wapi_call(b"x=1&xml_query=" + quote_plus(xml).encode() + b"&y=2") == EXPECTED
    plain = xml.replace(b"p+a%20s&amp;s", b"pass").replace(b"&amp; ", b"").replace(b"+ 10%", b"")
    for raw in (plain, b"\n  " + plain + b"\r\n", plain + b"&y=2"):
        credentials, command = wapi_call(b"x=1&xml_query=" + raw)
        assert (credentials.password, command.values) == ("pass", (("LASTNAME", "Müller Söhne "),))


def test_a_raw_query_suffers_what_form_decoding_does_to_it() -> None:
    raw = b'xml_query=<WAPI><COMMAND OBJECT="a" ACTION="b"><A>1+2%41 100%</A></COMMAND></WAPI>'
    assert wapi_call(raw)[1].values == (("A", "1 2A 100%"),)
    with pytest.raises(CallRefused) as refused:
        wapi_call(raw.replace(b"1+2", b"1 &amp; 2"))
    assert refused.value.refusal is Refusal.MALFORMED


@pytest.mark.parametrize("encoding", ["UTF-8", "ISO-8859-1"])
def test_under_the_switch_a_raw_query_is_read_as_it_was_sent(encoding: str) -> None:
    xml = CALL.format(encoding=encoding).encode(encoding)
    for raw in (xml, b"\n  " + xml + b"\r\n", xml + b"&y=2"):
        assert wapi_call(b"x=1&xml_query=" + raw, raw_as_sent=True) == EXPECTED
    encoded = quote_plus(xml, safe="").encode()
    assert wapi_call(b"xml_query=" + encoded, raw_as_sent=True) == EXPECTED


def test_a_bare_command_may_stand_after_white_space() -> None:
    body = b'\n  <COMMAND OBJECT="Case" ACTION="Get"><CASENUM>1</CASENUM></COMMAND>\n'
    assert bare_command(body) == Command("Case", "Get", (("CASENUM", "1"),))


def test_tags_and_attributes_may_be_written_in_any_case() -> None:
    body = b'xml_query=<wapi><tenant>t</tenant><command object="task" action="GeT"/></wapi>'
    credentials, command = wapi_call(body)
    assert (credentials.tenant, command) == ("t", Command("task", "GeT", ()))


def test_comments_and_instructions_are_no_part_of_a_value() -> None:
    body = b'<COMMAND OBJECT="a" ACTION="b"><A>x<!-- no --><?no no?>y</A></COMMAND>'
    assert bare_command(body).values == (("A", "xy"),)


ATTACKS: dict[str, tuple[bytes, Refusal]] = {
    "nothing": (b"", Refusal.MALFORMED),
    "no XML": (b"GET me all", Refusal.MALFORMED),
    "cut off": (b'<COMMAND OBJECT="a" ACTION="b"><A>x', Refusal.MALFORMED),
    "NUL": (b'<COMMAND OBJECT="a" ACTION="b"><A>\x00</A></COMMAND>', Refusal.CONTROL_CHARACTER),
    "only NUL": (b"\x00", Refusal.CONTROL_CHARACTER),
    "control character": (
        b'<COMMAND OBJECT="a" ACTION="b"><A>\x07</A></COMMAND>',
        Refusal.CONTROL_CHARACTER,
    ),
    "control character by reference": (
        b'<COMMAND OBJECT="a" ACTION="b"><A>&#7;</A></COMMAND>',
        Refusal.CONTROL_CHARACTER,
    ),
    "Latin-1 without saying so": (
        b'<COMMAND OBJECT="a" ACTION="b"><A>\xe9</A></COMMAND>',
        Refusal.LYING_ENCODING,
    ),
    "Latin-1 that says UTF-8": (
        b"<?xml version='1.0' encoding='utf-8'?><COMMAND><A>\xe9</A></COMMAND>",
        Refusal.LYING_ENCODING,
    ),
    "UTF-8 that says Latin-1": (
        b"<?xml version='1.0' encoding='iso-8859-1'?><COMMAND><A>\xc3\xa9</A></COMMAND>",
        Refusal.LYING_ENCODING,
    ),
    "UTF-8 that says ASCII": (
        b"<?xml version='1.0' encoding='US-ASCII'?><COMMAND><A>\xc3\xa9</A></COMMAND>",
        Refusal.LYING_ENCODING,
    ),
    "unknown encoding": (b'<?xml version="1.0" encoding="foo"?><COMMAND/>', Refusal.ENCODING),
    "UTF-7": (b'<?xml version="1.0" encoding="UTF-7"?><COMMAND/>', Refusal.ENCODING),
    "UTF-16": (
        '<?xml version="1.0" encoding="UTF-16"?><COMMAND OBJECT="a" ACTION="b"/>'.encode("utf-16"),
        Refusal.ENCODING,
    ),
    "undefined entity": (
        b'<COMMAND OBJECT="a" ACTION="b"><A>&xxe;</A></COMMAND>',
        Refusal.MALFORMED,
    ),
    "DOCTYPE": (b'<!DOCTYPE COMMAND><COMMAND OBJECT="a" ACTION="b"/>', Refusal.DOCTYPE),
    "external DTD": (
        b'<!DOCTYPE COMMAND SYSTEM "http://127.0.0.1:9/x.dtd"><COMMAND OBJECT="a" ACTION="b"/>',
        Refusal.DOCTYPE,
    ),
    "external entity": (
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
        b'<COMMAND OBJECT="a" ACTION="b"><A>&x;</A></COMMAND>',
        Refusal.DOCTYPE,
    ),
    "billion laughs": (
        b'<!DOCTYPE a [<!ENTITY l0 "ha">'
        + b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))
        + b']><COMMAND OBJECT="a" ACTION="b"><A>&l9;</A></COMMAND>',
        Refusal.DOCTYPE,
    ),
    "depth": (b"<A>" * 100_000, Refusal.TOO_DEEP),
    "nested": (
        b'<COMMAND OBJECT="a" ACTION="b"><A><B>x</B></A></COMMAND>',
        Refusal.NESTED,
    ),
    "more tags than any field list": (
        b'<COMMAND OBJECT="a" ACTION="b">' + b"<A/>" * 501 + b"</COMMAND>",
        Refusal.TOO_MANY_TAGS,
    ),
    "another root": (b'<ITEM OBJECT="a" ACTION="b"/>', Refusal.NO_COMMAND),
    "no object": (b'<COMMAND ACTION="b"/>', Refusal.NO_COMMAND),
    "no action": (b'<COMMAND OBJECT="a"/>', Refusal.NO_COMMAND),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_command_that_cannot_be_read_is_refused(attack: str) -> None:
    body, refusal = ATTACKS[attack]
    with pytest.raises(CallRefused) as refused:
        bare_command(body)
    assert refused.value.refusal is refusal


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (b"", Refusal.MISSING_QUERY),
        (b"query=<WAPI/>", Refusal.MISSING_QUERY),
        (b"not_xml_query=<WAPI/>", Refusal.MISSING_QUERY),
        (b"xml_query=", Refusal.MALFORMED),
        (b"xml_query=%00%FF", Refusal.LYING_ENCODING),
        (b"xml_query=%00", Refusal.CONTROL_CHARACTER),
        (b"xml_query=<WAPI/>&xml_query=<WAPI/>", Refusal.TWO_QUERIES),
        (b"xml_query=<WAPI></WAPI>", Refusal.NO_COMMAND),
        (b"xml_query=<WAPI><COMMAND/></WAPI>", Refusal.NO_COMMAND),
        (
            b"xml_query=<WAPI>" + b'<COMMAND OBJECT="a" ACTION="b"/>' * 2 + b"</WAPI>",
            Refusal.NO_COMMAND,
        ),
        (b"xml_query=<WAPI><TENANT><A/></TENANT></WAPI>", Refusal.NESTED),
    ],
)
def test_a_call_that_cannot_be_read_is_refused(body: bytes, refusal: Refusal) -> None:
    with pytest.raises(CallRefused) as refused:
        wapi_call(body)
    assert refused.value.refusal is refusal


def test_refusals_have_numbers_of_their_own() -> None:
    numbers = [refusal.number for refusal in Refusal]
    assert len(set(numbers)) == len(numbers)
    assert Refusal.VALUE_TEST.number == 5
    assert Refusal.EMAIL_TAKEN.number == 81
    assert str(value_test("FIRSTNAME")) == ("The value test of the tag firstname is not valid.")


def test_a_refusal_about_something_long_stays_short() -> None:
    assert len(CallRefused(Refusal.UNKNOWN_OBJECT, "x" * 900_000).sentence) < 300
