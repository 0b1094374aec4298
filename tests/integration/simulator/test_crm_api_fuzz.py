"""Requests that nobody thought of: always a reply, never a change on a refusal."""

from collections.abc import Callable, Iterator
from urllib.parse import quote_plus

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from simulator.app import create_app
from simulator.db import read_session
from simulator.local_crm import custom_fields
from simulator.local_crm.fields import FIELDS, CustomType, Definition
from simulator.services import EXTENSION, Services
from simulator.settings import Settings
from simulator.triggers.urls import Kind
from tests.crm_api_clients import Reply, read_reply
from tests.local_crm import create, fill_boxes

CREDENTIALS = b"<TENANT>demo</TENANT><USERNAME>crmapi</USERNAME><PASSWORD>crmapi-demo</PASSWORD>"
HEADERS = {"X-8x8-Tenant": "demo", "x-api-key": "demo-api-key"}
KEPT = ("record_versions", "customers", "cases", "followups", "tasks", "customer_passwords")

CUSTOM = {"txt": CustomType.TEXT, "num": CustomType.NUMBER, "day": CustomType.DATE}
TAGS = sorted({field.tag for kind in Kind for field in FIELDS[kind]} | {*CUSTOM, "txt.NAME"})
VALUES = ("10000000", "10000001", "Open", "Closed", "Pending", "Phone", "ag1001", "zoe@x.de", "é")
ODD_VALUES = ("", "02302024", "022820241200", "TRUE", "FALSE", "1e9", "%", "_", "x" * 5000)
TEXTS = st.one_of(st.sampled_from(VALUES + ODD_VALUES), st.text(max_size=30))


def xml_text(value: str) -> str:
    """Escaped, and mostly without what XML cannot carry."""
    escaped = value.replace("&", "&amp;").replace("<", "&lt;")
    return escaped.encode("utf-8", "ignore").decode()


NAMES = st.one_of(
    st.sampled_from(TAGS),
    st.sampled_from(TAGS).map(str.lower),
    st.sampled_from(["PASSWORD", "AUTOPASSWD", "X", "xml", "A.B", "custom_fields"]),
)
FIELD = st.tuples(NAMES, TEXTS).map(lambda pair: f"<{pair[0]}>{xml_text(pair[1])}</{pair[0]}>")
# What makes a command do something, so that the others are not all refused at once.
GOOD_START = st.sampled_from(
    [
        "",
        "<FIRSTNAME>A</FIRSTNAME><LASTNAME>B</LASTNAME>",
        "<ACCOUNTNUM>10000000</ACCOUNTNUM>",
        "<CASENUM>10000000</CASENUM>",
        "<ACCOUNTNUM>10000000</ACCOUNTNUM><SUBJECT>s</SUBJECT>",
        "<CASENUM>10000000</CASENUM><SUBJECT>s</SUBJECT>",
        "<TASKNUM>10000000</TASKNUM>",
    ]
)
OBJECTS = st.sampled_from([*[*map(str, Kind), "customer", "TASK"] * 3, "FAQ", "", "ŧ"])
ACTIONS = st.sampled_from(
    ["GET", "GET", "Get", "ADD", "Add", "MODIFY", "Modify", "DELETE", "", "Ádd"]
)
COMMAND = st.builds(
    lambda name, action, start, fields: (
        f'<COMMAND OBJECT="{name}" ACTION="{action}">{start}{"".join(fields)}</COMMAND>'.encode()
    ),
    OBJECTS,
    ACTIONS,
    GOOD_START,
    # Which examples come depends on constants all over the source, so mostly nothing more:
    # whatever the source says, some calls must succeed.
    st.integers(0, 3).flatmap(
        lambda more: st.lists(FIELD, max_size=6) if more == 3 else st.just([])
    ),
)
JUNK = st.one_of(
    st.binary(max_size=60), st.text(max_size=60).map(lambda t: t.encode("utf-8", "ignore"))
)
DECLARATION = st.sampled_from(
    [
        *[b""] * 15,
        b'<?xml version="1.0" encoding="UTF-8"?>',
        b'<?xml version="1.0" encoding="ISO-8859-1"?>',
        b"<?xml version='1.0' encoding='US-ASCII'?>",
        b'<?xml version="1.0" encoding="UTF-7"?>',
        b'<!DOCTYPE a [<!ENTITY x "y">]>',
    ]
)


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Mostly as it is; sometimes with a piece cut out and junk put in."""
    content = draw(whole)
    if draw(st.integers(0, 4)):
        return content
    at = draw(st.integers(0, len(content)))
    return content[:at] + draw(JUNK) + content[at + draw(st.integers(0, 20)) :]


BARE = st.builds(
    lambda space, d, c: space + d + c, st.sampled_from([b"", b" \n"]), DECLARATION, COMMAND
)
DOCUMENT = st.builds(
    lambda d, c, more: d + b"<WAPI>" + CREDENTIALS + c + more + b"</WAPI>",
    DECLARATION,
    COMMAND,
    st.one_of(st.just(b""), st.just(b""), COMMAND),
)
FORM_BODY = st.one_of(
    damaged(DOCUMENT).map(lambda xml: b"xml_query=" + xml),
    damaged(DOCUMENT).map(lambda xml: b"xml_query=" + quote_plus(xml).encode()),
    damaged(DOCUMENT.map(lambda xml: b"a=b&xml_query=" + quote_plus(xml).encode() + b"&xml_query")),
    JUNK,
)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """One app for all examples: records, custom fields, boxes with URLs, no ticking."""
    app = create_app(Settings(data_dir=tmp_path_factory.mktemp("fuzz")))
    services: Services = app.extensions[EXTENSION]
    now = services.clock.now()
    with services.sessions.begin() as session:
        for name, custom_type in CUSTOM.items():
            for kind in Kind:
                custom_fields.define(session, Definition(kind, name, name, custom_type))
        customer = create(session, Kind.CUSTOMER, now, email="zoe@x.de")
        case = create(session, Kind.CASE, now, accountnum=customer)
        create(session, Kind.FOLLOWUP, now, casenum=case)
        create(session, Kind.TASK, now, accountnum=customer)
        fill_boxes(session, "https://crm.example.com")
    yield app
    services.close()


def counts(app: Flask) -> dict[str, int]:
    """How many rows there are of everything that a call could change."""
    services: Services = app.extensions[EXTENSION]
    with read_session(services.engine) as session:
        return {
            table: session.scalar(text(f"SELECT count(*) FROM {table}")) or 0
            for table in (*KEPT, "deliveries")
        }


def check(app: Flask, call: Callable[[FlaskClient], tuple[int, bytes]]) -> Reply:
    """Call; the reply is one that the service could send, and a refusal changed nothing."""
    before = counts(app)
    status, content = call(app.test_client())
    assert status == 200
    reply = read_reply(content)
    after = counts(app)
    assert after["deliveries"] == before["deliveries"] == 0
    changed = after["record_versions"] - before["record_versions"]
    if reply.status == "-1":
        assert after == before
        assert reply.error.endswith((".", "..."))
    else:
        assert changed in (0, 1)
        assert changed == 0 or not reply.items
    return reply


EXAMPLES = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@given(body=FORM_BODY)
@EXAMPLES
def test_no_form_makes_it_fail_or_changes_anything_when_refused(fuzzed: Flask, body: bytes) -> None:
    def call(client: FlaskClient) -> tuple[int, bytes]:
        content_type = "application/x-www-form-urlencoded"
        with client.post("/WAPI/wapi.php", data=body, content_type=content_type) as reply:
            return reply.status_code, reply.data

    check(fuzzed, call)


@given(body=st.one_of(damaged(BARE), JUNK))
@EXAMPLES
def test_no_command_makes_it_fail_or_changes_anything_when_refused(
    fuzzed: Flask, body: bytes
) -> None:
    def call(client: FlaskClient) -> tuple[int, bytes]:
        with client.post("/cc/v1/wapi", data=body, headers=HEADERS) as reply:
            return reply.status_code, reply.data

    check(fuzzed, call)


def test_the_examples_are_not_all_refused(fuzzed: Flask) -> None:
    """A fuzzer whose every call fails for one reason finds nothing."""
    seen: set[tuple[str, bool]] = set()

    @given(body=BARE)
    @EXAMPLES
    def collect(body: bytes) -> None:
        before = counts(fuzzed)["record_versions"]

        def call(client: FlaskClient) -> tuple[int, bytes]:
            with client.post("/cc/v1/wapi", data=body, headers=HEADERS) as reply:
                return reply.status_code, reply.data

        reply = check(fuzzed, call)
        seen.add((reply.code, counts(fuzzed)["record_versions"] > before))

    collect()
    assert {("0", True), ("0", False)} <= seen
    assert len(seen) > 12, seen
