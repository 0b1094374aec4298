"""GET over both endpoints: filters, credentials, rights, attacks, and what serves a lookup."""

from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote_plus

import pytest
from flask.testing import FlaskClient
from lxml import etree
from sqlalchemy import text

from simulator.clock import ManualClock
from simulator.crm_api import filters
from simulator.db import read_session
from simulator.local_crm import changes, custom_fields
from simulator.local_crm.changes import Author
from simulator.local_crm.fields import CustomType, Definition
from simulator.local_crm.models import ApiAccess, Customer, Origin
from simulator.services import Services
from simulator.settings import Settings
from simulator.triggers.urls import Kind

FORM = "application/x-www-form-urlencoded"
CREDENTIALS = "<TENANT>demo</TENANT><USERNAME>crmapi</USERNAME><PASSWORD>crmapi-demo</PASSWORD>"
HEADERS = {"X-8x8-Tenant": "demo", "x-api-key": "demo-api-key"}
AUTHOR = Author(Origin.API, "ag1001")


@pytest.fixture(autouse=True)
def records(services: Services, clock: ManualClock) -> None:
    """Two customers; the first has two cases, a follow-up and a task."""
    now = clock.now()
    with services.sessions.begin() as session:
        changes.create(
            session,
            Kind.CUSTOMER,
            {
                "firstname": "Zoë",
                "lastname": "O'Neill & Söhne",
                "company": "Łódź Trading <AG>",
                "comments": "first line\nsecond line",
                "email": "zoe@example.com",
                "voice": "+1 (555) 010-0200",
                "addr1country": "Österreich",
            },
            AUTHOR,
            now,
        )
        changes.create(
            session, Kind.CUSTOMER, {"firstname": "Ada", "lastname": "Byron"}, AUTHOR, now
        )
        for name in ("CF01", "CF02"):
            custom_fields.define(session, Definition(Kind.CASE, name, name, CustomType.TEXT))
        changes.create(
            session,
            Kind.CASE,
            {
                "accountnum": "10000000",
                "subject": "No dial tone",
                "priority": "High",
                "assignedto": "ag1002",
                "custom_fields": {"CF01": "Gold"},
            },
            AUTHOR,
            now,
        )
        changes.create(
            session,
            Kind.CASE,
            {"accountnum": "10000001", "subject": "100 % noise_floor", "status": "Closed"},
            AUTHOR,
            now,
        )
        changes.create(
            session,
            Kind.FOLLOWUP,
            {"casenum": "10000000", "subject": "Called", "body": "Nobody there"},
            AUTHOR,
            now,
        )
        changes.create(
            session,
            Kind.TASK,
            {
                "accountnum": "10000000",
                "subject": "Call back",
                "call_type": "DAA",
                "duedate": datetime(2026, 6, 1, 9, 15, tzinfo=UTC),
            },
            AUTHOR,
            now,
        )


Get = Callable[..., bytes]


@pytest.fixture
def get(client: FlaskClient) -> Get:
    """GET an object with filters, over /WAPI/wapi.php; the reply's bytes."""

    def get(kind: str, *values: tuple[str, str], action: str = "GET") -> bytes:
        return post(client, call(kind, *values, action=action))

    return get


def call(kind: str, *values: tuple[str, str], action: str = "GET") -> bytes:
    """The body of a request to /WAPI/wapi.php."""
    wapi = etree.fromstring(f"<WAPI>{CREDENTIALS}</WAPI>")
    command = etree.SubElement(wapi, "COMMAND", OBJECT=kind, ACTION=action)
    for tag, value in values:
        etree.SubElement(command, tag).text = value
    return b"xml_query=" + quote_plus(etree.tostring(wapi)).encode()


def post(client: FlaskClient, body: bytes, path: str = "/WAPI/wapi.php") -> bytes:
    """The reply's bytes; a reply is always XML with HTTP 200."""
    headers = HEADERS if path.startswith("/cc") else {}
    content_type = "application/xml" if path.startswith("/cc") else FORM
    with client.post(path, data=body, headers=headers, content_type=content_type) as reply:
        assert reply.status_code == 200
        assert reply.content_type == "text/xml; charset=ISO-8859-1"
        return bytes(reply.data)


def numbers(answer: bytes, tag: str = "ACCOUNTNUM") -> list[str]:
    """One value of each ITEM of a reply that succeeded."""
    (found,) = etree.fromstring(answer)
    assert (found.tag, found.get("STATUS"), found.get("ERROR_CODE")) == ("REPLY", "0", "0"), answer
    return [item.findtext(tag) or "" for item in found]


def error(answer: bytes) -> tuple[str, str]:
    """Number and sentence of an error reply."""
    (found,) = etree.fromstring(answer)
    assert (found.get("STATUS"), len(found)) == ("-1", 0), answer
    return str(found.get("ERROR_CODE")), str(found.get("ERROR_STR"))


@pytest.mark.parametrize(
    ("kind", "values", "tag", "expected"),
    [
        ("Customer", [("ACCOUNTNUM", "10000001")], "LASTNAME", ["Byron"]),
        ("Customer", [("FIRSTNAME", "Ada")], "ACCOUNTNUM", ["10000001"]),
        ("Customer", [("FIRSTNAME", "ada")], "ACCOUNTNUM", []),
        ("Customer", [("LASTNAME", "Byr")], "ACCOUNTNUM", []),
        ("Customer", [("LASTNAME", "O'Neill & Söhne")], "ACCOUNTNUM", ["10000000"]),
        ("Customer", [("EMAIL", "zoe@example.com")], "ACCOUNTNUM", ["10000000"]),
        ("Customer", [("VOICE", "+1 (555) 010-0200")], "ACCOUNTNUM", ["10000000"]),
        ("Customer", [("COMPANY", "Łódź Trading <AG>")], "ACCOUNTNUM", ["10000000"]),
        ("Customer", [("CUSTOMERTYPE", "Default")], "ACCOUNTNUM", ["10000000", "10000001"]),
        ("customer", [("customertype", "Default")], "ACCOUNTNUM", ["10000000", "10000001"]),
        (
            "Customer",
            [("CUSTOMERTYPE", "Default"), ("FIRSTNAME", "Ada")],
            "ACCOUNTNUM",
            ["10000001"],
        ),
        ("Customer", [("FIRSTNAME", "Ada"), ("LASTNAME", "Lovelace")], "ACCOUNTNUM", []),
        ("Customer", [("EMAIL", ""), ("FIRSTNAME", "Ada")], "ACCOUNTNUM", ["10000001"]),
        ("Case", [("CASENUM", "10000001")], "CASENUM", ["10000001"]),
        ("Case", [("ACCOUNTNUM", "10000000")], "CASENUM", ["10000000"]),
        ("Case", [("STATUS", "Closed")], "CASENUM", ["10000001"]),
        ("Case", [("STATUS", "Clo")], "CASENUM", []),
        ("Case", [("PROJECT", "Default")], "CASENUM", ["10000000", "10000001"]),
        ("Case", [("SUBJECT", "DIAL")], "CASENUM", ["10000000"]),
        ("Case", [("SUBJECT", "0 %")], "CASENUM", ["10000001"]),
        ("Case", [("SUBJECT", "e_f")], "CASENUM", ["10000001"]),
        ("Case", [("SUBJECT", "l_t")], "CASENUM", []),
        ("Case", [("LASTNAME", "yro")], "CASENUM", ["10000001"]),
        ("Case", [("COMPANY", "trading <")], "CASENUM", ["10000000"]),
        ("Case", [("CF01.NAME", "Gold")], "CASENUM", ["10000000"]),
        ("Case", [("cf01", "Gold")], "CASENUM", ["10000000"]),
        ("Case", [("CF01.NAME", "Silver")], "CASENUM", []),
        ("Followup", [("FOLLOWUPNUM", "10000000")], "SUBJECT", ["Called"]),
        ("Followup", [("CASENUM", "10000000")], "FOLLOWUPNUM", ["10000000"]),
        ("FOLLOWUP", [("ACCOUNTNUM", "10000001")], "FOLLOWUPNUM", []),
        ("Task", [("TASKNUM", "10000000")], "SUBJECT", ["Call back"]),
        ("Task", [("ACCOUNTNUM", "10000000")], "TASKNUM", ["10000000"]),
        ("Task", [("TASK_STATUS", "Pending")], "TASKNUM", ["10000000"]),
        ("Task", [("ASSIGNEDTO", "ag1001")], "TASKNUM", []),
    ],
)
def test_filters(
    get: Get, kind: str, values: list[tuple[str, str]], tag: str, expected: list[str]
) -> None:
    assert numbers(get(kind, *values), tag) == expected


@pytest.mark.parametrize("action", ["GET", "Get", "get"])
def test_the_case_of_an_action_does_not_matter(get: Get, action: str) -> None:
    assert numbers(get("Customer", ("FIRSTNAME", "Ada"), action=action)) == ["10000001"]


@pytest.mark.parametrize(
    ("kind", "values", "action", "expected"),
    [
        ("Customer", [], "GET", ("1021", "The command has no filter. Give at least one of: ")),
        ("Customer", [("EMAIL", "")], "GET", ("1021", "The command has no filter.")),
        ("Customer", [("PBX", "1")], "GET", ("1025", "The tag PBX is no filter of Customer.")),
        (
            "Customer",
            [("ACOUNTNUM", "1")],
            "GET",
            ("1022", "The tag ACOUNTNUM is not known for Cust"),
        ),
        ("Customer", [("EMAIL", "x" * 4001)], "GET", ("5", "The value test of the tag email is")),
        ("Case", [("SUBJECT", "a")] * 501, "GET", ("1023", "The command has too many tags; at")),
        ("Case", [("SUBJECT", "a"), ("subject", "b")], "GET", ("1026", "The tag SUBJECT is given")),
        (
            "Case",
            [("CF01", "a"), ("CF01.NAME", "b")],
            "GET",
            ("1026", "The tag CF01 is given more"),
        ),
        ("Customer", [("SUBJECT", "a")], "GET", ("1024", "The tag SUBJECT is of Case or Followup")),
        ("Case", [("PASSWORD", "a")], "GET", ("1024", "The tag PASSWORD is of Customer, not of C")),
        ("Customer", [("PASSWORD", "a")], "GET", ("1025", "The tag PASSWORD is no filter of Cust")),
        ("Customer", [("ACCOUNTNUM", "1e7")], "GET", ("5", "The value test of the tag accountnum")),
        (
            "Customer",
            [("ACCOUNTNUM", "１２")],
            "GET",
            ("5", "The value test of the tag accountnum"),
        ),
        ("FAQ", [("ID", "1")], "GET", ("1011", "The OBJECT FAQ is not known.")),
        ("", [("ID", "1")], "GET", ("1011", "The OBJECT (empty) is not known.")),
        (
            "Customer",
            [("ACCOUNTNUM", "1")],
            "DELETE",
            ("1013", "The ACTION Delete is not available"),
        ),
        ("Followup", [("BODY", "A")], "Modify", ("1013", "The ACTION Modify is not available")),
        ("Customer", [("ACCOUNTNUM", "1")], "", ("1012", "The ACTION (empty) is not known.")),
    ],
)
def test_a_command_that_cannot_be_done_is_refused_in_a_sentence(
    get: Get, kind: str, values: list[tuple[str, str]], action: str, expected: tuple[str, str]
) -> None:
    number, sentence = error(get(kind, *values, action=action))
    assert (number, sentence[: len(expected[1])]) == expected
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    "wrong",
    [("demo", "other"), ("<USERNAME>crmapi", "<USERNAME>CRMAPI"), ("crmapi-demo", "")],
)
def test_wrong_credentials_are_refused(client: FlaskClient, wrong: tuple[str, str]) -> None:
    xml = f'<WAPI>{CREDENTIALS}<COMMAND OBJECT="Customer" ACTION="GET"/></WAPI>'.replace(*wrong)
    assert error(post(client, f"xml_query={xml}".encode())) == (
        "1002",
        "The tenant, the user name or the password is wrong.",
    )


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-8x8-Tenant": "demo"},
        {"X-8x8-Tenant": "other", "x-api-key": "demo-api-key"},
        {"X-8x8-Tenant": "demo", "x-api-key": "crmapi-demo"},
    ],
)
def test_wrong_headers_are_refused(client: FlaskClient, headers: dict[str, str]) -> None:
    body = b'<COMMAND OBJECT="Customer" ACTION="GET"/>'
    with client.post("/cc/v1/wapi", data=body, headers=headers) as reply:
        assert error(reply.data)[0] == "1003"


def test_a_disabled_api_answers_nobody(client: FlaskClient, get: Get, services: Services) -> None:
    with services.sessions.begin() as session:
        session.get_one(ApiAccess, 1).enabled = False
    expected = ("1001", "CRM API access is not enabled.")
    assert error(get("Customer", ("FIRSTNAME", "Ada"))) == expected
    assert error(post(client, b"<COMMAND/>", "/cc/v1/wapi")) == expected


def test_a_right_is_needed_for_each_kind(get: Get, services: Services) -> None:
    with services.sessions.begin() as session:
        session.get_one(ApiAccess, 1).rights = ["Customer:Get", "Case:Modify"]
    assert numbers(get("Customer", ("FIRSTNAME", "Ada"))) == ["10000001"]
    assert error(get("Case", ("CASENUM", "10000000"))) == (
        "1004",
        "The CRM API user has no right to Get Case.",
    )


def test_a_read_leaves_no_trace(get: Get, services: Services) -> None:
    with read_session(services.engine) as session:
        before = session.scalar(text("SELECT count(*) FROM record_versions"))
    get("Customer", ("FIRSTNAME", "Ada"))
    with read_session(services.engine) as session:
        assert session.scalar(text("SELECT count(*) FROM record_versions")) == before
        assert session.scalar(text("SELECT count(*) FROM deliveries")) == 0


@pytest.mark.parametrize("path", ["/WAPI/wapi.php", "/cc/v1/wapi"])
@pytest.mark.parametrize(
    "size", [1_000_001, 10_000_000, 65_000_000], ids=["just over", "10 MB", "65 MB"]
)
def test_a_body_that_is_too_large_is_an_error_reply(
    client: FlaskClient, path: str, size: int
) -> None:
    expected = ("1037", "The request is larger than 1000000 bytes.")
    assert error(post(client, b"xml_query=<WAPI>" + b"x" * size, path)) == expected


@pytest.mark.parametrize(
    ("body", "number"),
    [
        (b"", "1031"),
        (b"xml_query=%3CWAPI%3E%FF%FE%3C/WAPI%3E", "1039"),
        (
            b'xml_query=<?xml version="1.0" encoding="UTF-8"?><WAPI><TENANT>\xe9</TENANT></WAPI>',
            "1039",
        ),
        (b"xml_query=<WAPI>\x00</WAPI>", "1040"),
        (b"xml_query=" + b"<A>" * 100_000, "1047"),
        (b'xml_query=<!DOCTYPE WAPI [<!ENTITY a "x">]><WAPI>&a;</WAPI>', "1033"),
    ],
)
def test_a_body_that_cannot_be_read_is_an_error_reply(
    client: FlaskClient, body: bytes, number: str
) -> None:
    assert error(post(client, body))[0] == number


def test_nothing_is_expanded(client: FlaskClient) -> None:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    attack = (
        f'<!DOCTYPE WAPI [<!ENTITY l0 "ha">{laughs}]><WAPI>{CREDENTIALS}'
        '<COMMAND OBJECT="Customer" ACTION="GET"><LASTNAME>&l9;</LASTNAME></COMMAND></WAPI>'
    ).encode()
    expected = ("1033", "The XML has a DOCTYPE. Remove it.")
    assert error(post(client, b"xml_query=" + attack.replace(b"&", b"%26"))) == expected
    assert error(post(client, b"xml_query=" + quote_plus(attack).encode())) == expected
    assert error(post(client, attack, "/cc/v1/wapi")) == expected


def test_another_method_is_refused(client: FlaskClient) -> None:
    for path in ("/WAPI/wapi.php", "/cc/v1/wapi"):
        with client.get(path) as reply:
            assert reply.status_code == 405


LOOKUPS = [
    (Kind.CUSTOMER, "ACCOUNTNUM"),
    (Kind.CUSTOMER, "EMAIL"),
    (Kind.CUSTOMER, "FIRSTNAME"),
    (Kind.CUSTOMER, "LASTNAME"),
    (Kind.CUSTOMER, "COMPANY"),
    (Kind.CUSTOMER, "VOICE"),
    (Kind.CUSTOMER, "CUSTOMERTYPE"),
    (Kind.CASE, "CASENUM"),
    (Kind.CASE, "ACCOUNTNUM"),
    (Kind.CASE, "STATUS"),
    (Kind.CASE, "PROJECT"),
    (Kind.FOLLOWUP, "FOLLOWUPNUM"),
    (Kind.FOLLOWUP, "CASENUM"),
    (Kind.FOLLOWUP, "ACCOUNTNUM"),
    (Kind.TASK, "TASKNUM"),
    (Kind.TASK, "ACCOUNTNUM"),
    (Kind.TASK, "TASK_STATUS"),
    (Kind.TASK, "ASSIGNEDTO"),
]


@pytest.mark.parametrize(("kind", "tag"), LOOKUPS)
@pytest.mark.parametrize("row_cap", [0, 100])
def test_an_exact_filter_never_scans(
    services: Services, kind: Kind, tag: str, row_cap: int
) -> None:
    wanted = filters.select_matching(kind, [(tag, "10000000")], (), Settings(api_row_cap=row_cap))
    sql = str(wanted.compile(services.engine, compile_kwargs={"literal_binds": True}))
    with read_session(services.engine) as session:
        plan = [row[3] for row in session.execute(text(f"EXPLAIN QUERY PLAN {sql}"))]
    assert plan[0].startswith(f"SEARCH {kind.lower()}s USING INDEX"), plan
    assert f"{tag.lower()}=?" in plan[0], plan
    assert not any("SCAN" in step for step in plan), plan


def test_every_exact_filter_is_among_those_lookups() -> None:
    exact = {(k, tag) for k in Kind for tag in (*filters.EXACT[k], *filters.ASSUMED.get(k, ()))}
    assert set(LOOKUPS) == exact


def test_a_quote_in_a_filter_is_a_value(get: Get, services: Services) -> None:
    assert numbers(get("Customer", ("LASTNAME", "x' OR '1'='1"))) == []
    with read_session(services.engine) as session:
        assert session.get(Customer, "10000000") is not None
