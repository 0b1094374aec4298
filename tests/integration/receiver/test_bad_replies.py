"""Replies of the CRM API that cannot be used: what is stored, what is retried, what is said.

The worker reads over its real client from a real socket. In each test a case that is out already
gets a spoilt reply while its customer's next version comes along beside it.
"""

import gzip
import json
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal

import pytest
from sqlalchemy import Engine
from structlog.testing import capture_logs

from external_crm import audit
from external_crm.db import session_factory
from external_crm.rows import Key
from receiver import mapping, repair
from receiver.crm_api import CrmApi
from receiver.models import InboxTrigger
from receiver.records import Credentials
from receiver.settle import WorkerOptions
from receiver.transport import HttpTransport
from receiver.worker import Worker
from tests.loopback_crm_api import (
    HEAD,
    LoopbackCrmApi,
    Reply,
    body,
    cut,
    endless,
    item,
    ok,
)
from tests.receiver_world import CASE, CUSTOMER, SCHEDULE, TASK, World

A1, C1, T1 = Key(CUSTOMER, "A1"), Key(CASE, "C1"), Key(TASK, "T1")
ATTEMPTS = 3
MAX_BYTES = 1_000_000
GOOD = item({"ACCOUNTNUM": "A1", "CASENUM": "C1", "SUBJECT": "New"})


@dataclass
class Read:
    """What a spoilt reply leads to."""

    world: World
    worker: Worker
    api: LoopbackCrmApi
    events: list[dict]
    bad: int = 0

    def spoil(self, reply: Reply) -> InboxTrigger:
        """The case's trigger after one round in which its reply was this one."""
        self.api.put(C1, SUBJECT="New")
        self.api.put(A1, FIRSTNAME="Grace")
        self.api.spoilt[C1] = reply
        self.bad = self.world.receive(C1)
        good = self.world.receive(A1)
        self.world.run(self.worker)
        assert self.world.row(A1)["first_name"] == "Grace"  # it holds up nobody
        assert self.world.trigger(good).state == "done"
        return self.world.trigger(self.bad)

    def go_on(self, rounds: int) -> InboxTrigger:
        for _ in range(rounds):
            self.world.clock.advance(61)
            self.world.run(self.worker)
        return self.world.trigger(self.bad)

    def nothing_happened_to_the_case(self) -> bool:
        return (
            self.world.row(C1)["subject"] == "Old"
            and self.world.state(C1).state == "live"
            and self.world.state(C1).first_not_found_at is None
            and len(self.world.history(C1)) == 1
        )

    def said(self, event: str) -> list[dict]:
        return [entry for entry in self.events if entry["event"] == event]


@pytest.fixture
def api() -> Iterator[LoopbackCrmApi]:
    api = LoopbackCrmApi().start()
    yield api
    api.stop()


@pytest.fixture
def transport() -> Iterator[HttpTransport]:
    transport = HttpTransport(20, None, MAX_BYTES)
    yield transport
    transport.close()


@pytest.fixture
def read(engine: Engine, api: LoopbackCrmApi, transport: HttpTransport) -> Iterator[Read]:
    world = World(engine)
    world.crm = CrmApi(transport, api.url, Credentials("acme", "api", "pw"))
    worker = world.worker(max_attempts=ATTEMPTS)
    api.put(A1, FIRSTNAME="Ada", LASTNAME="Byron")
    api.put(C1, ACCOUNTNUM="A1", SUBJECT="Old")
    world.receive(C1)
    world.run(worker)
    with capture_logs() as events:
        yield Read(world, worker, api, events)


def case(*fields: str) -> bytes:
    """The case with further fields, as text."""
    return GOOD.replace(b"</ITEM>", "".join(fields).encode("iso-8859-1") + b"</ITEM>")


UTF8_HEAD = HEAD.replace(b"ISO-8859-1", b"UTF-8")
CUT = ok(GOOD)[:-20]
OF_THE_RECORD = {
    "truncated": (cut(CUT, announced=False), "not well-formed XML"),
    "malformed": (body(ok(GOOD + b"<ITEM>")), "not well-formed XML"),
    "not the encoding it says": (
        body(ok(case("<X>caf\xe9</X>")).replace(HEAD, UTF8_HEAD)),
        "not well-formed XML",
    ),
    "an encoding nobody expects": (
        body("<?xml version='1.0' encoding='UTF-16'?><WAPI/>".encode("utf-16")),
        "declares the encoding UTF-16",
    ),
    "a doctype": (body(b'<!DOCTYPE x [<!ENTITY a "b">]><WAPI>&a;</WAPI>'), "has a DOCTYPE"),
    "another record": (
        body(ok(item({"ACCOUNTNUM": "A1", "CASENUM": "C2"}))),
        "case C1 was asked for, the reply holds C2.",
    ),
    "two records": (body(ok(GOOD + GOOD)), "holds 2 records where one was asked for"),
    "no REPLY": (body(HEAD + b"<WAPI/>"), "no REPLY element"),
    "no STATUS": (body(HEAD + b"<WAPI><REPLY/></WAPI>"), "answered with error"),
    "a REPLY with something else": (
        body(ok(b"<MESSAGE>Try later</MESSAGE>")),
        "holds no record, but something else in its place",
    ),
    "a REPLY with text": (body(ok(b"maintenance")), "holds no record, but something else"),
    "too large": (endless(HEAD + b"<WAPI>", b"<X>y</X>", 50), "larger than 1,000,000 bytes"),
    "too large once unpacked": (
        body(gzip.compress(b"<X>" + b"y" * 50_000_000), Content_Encoding="gzip"),
        "larger than 1,000,000 bytes",
    ),
    "a control character": (body(ok(case("<X>&#1;</X>"))), "not well-formed XML"),
    "a NUL": (body(ok(case("<X>a\x00b</X>"))), "not well-formed XML"),
    "a date that is none": (
        body(ok(case("<CREATEDDATE>02302026</CREATEDDATE>"))),
        "'02302026' as CREATEDDATE, which created_date cannot hold",
    ),
    "a date of zeros": (
        body(ok(case("<CLOSEDDATE>00000000</CLOSEDDATE>"))),
        "'00000000' as CLOSEDDATE, which closed_date cannot hold",
    ),
    "a date with a digit less": (
        body(ok(case("<CREATEDDATE>1232026</CREATEDDATE>"))),
        "'1232026' as CREATEDDATE",
    ),
    "a date in other digits": (
        body(ok(case("<CREATEDDATE>&#1635;3022026</CREATEDDATE>"))),
        "3022026' as CREATEDDATE",
    ),
    "a customer number that is none": (
        body(ok(item({"CASENUM": "C1", "ACCOUNTNUM": "A" * 65}))),
        "as ACCOUNTNUM, which account_id cannot hold",
    ),
    "no customer": (body(ok(item({"CASENUM": "C1"}))), "names no ACCOUNTNUM"),
}


@pytest.mark.parametrize(("reply", "reason"), OF_THE_RECORD.values(), ids=OF_THE_RECORD)
def test_what_a_record_may_have_spoilt_dies_in_plain_sight_and_can_be_replayed(
    read: Read, reply: Reply, reason: str
) -> None:
    row = read.spoil(reply)
    assert (row.state, row.attempts, row.postponed) == ("waiting", 1, 0)
    assert reason in row.last_error
    assert row.last_error == read.said("retried")[0]["reason"]
    row = read.go_on(ATTEMPTS)
    assert (row.state, row.attempts) == ("dead", ATTEMPTS)
    assert reason in row.last_error
    assert 1 <= len(row.last_reply) <= 2000
    assert [entry["trigger"] for entry in read.said("dead")] == [row.id]
    assert read.nothing_happened_to_the_case()
    read.api.spoilt.clear()
    with session_factory(read.world.engine).begin() as session:
        repair.replay_dead(session, repair.DeadChoice(ids=(row.id,)), read.world.clock.now())
    read.world.run(read.worker)
    assert read.world.row(C1)["subject"] == "New"
    assert read.world.trigger(row.id).state == "done"


def test_an_error_that_every_record_of_a_kind_gets_is_the_records_own(read: Read) -> None:
    """Where one kind is unknown to the API, the others go on as if nothing were."""
    unknown = b'<WAPI><REPLY STATUS="-1" ERROR_STR="Unknown object." ERROR_CODE="9"/></WAPI>'
    read.api.spoilt[Key(CASE, "0")] = body(unknown)
    read.spoil(body(unknown))
    assert read.go_on(ATTEMPTS).state == "dead"


PAGE = b"<html><head><title>Maintenance</title></head></html>"
OF_THE_API = {
    "cut off": (cut(CUT, announced=True), "gave no complete answer"),
    "closed": (cut(b"", announced=True), "gave no complete answer"),
    "spoilt packing": (body(b"<WAPI/>", Content_Encoding="gzip"), "gave no complete answer"),
    "empty": (body(b" \r\n"), "An empty answer came"),
    "a page": (body(b"\xef\xbb\xbf\n" + PAGE), "A web page came"),
    "a page with a doctype": (body(b"<!DOCTYPE html>" + PAGE), "A web page came"),
    "a page that is XML": (
        body(b'<?xml version="1.0"?><!-- proxy --><!DOCTYPE html><html/>'),
        "A web page came",
    ),
    "text": (body(b"upstream connect error"), "Something that is no XML came"),
    "JSON": (body(b'{"message": "no healthy upstream"}'), "Something that is no XML came"),
    "an error page": (body(PAGE, 502), "HTTP 502"),
    "a large error page": (body(PAGE * 50_000, 503), "HTTP 503"),
    "a login page": (body(b"", 302, Location="/login"), "HTTP 302"),
}


@pytest.mark.parametrize(("reply", "reason"), OF_THE_API.values(), ids=OF_THE_API)
def test_what_stands_before_the_api_never_brings_a_trigger_nearer_to_dead(
    read: Read, reply: Reply, reason: str
) -> None:
    row = read.spoil(reply)
    assert reason in row.last_error
    row = read.go_on(2 * ATTEMPTS)
    assert (row.state, row.attempts) == ("waiting", 0)
    assert reason in row.last_error
    assert read.said("dead") == []
    assert read.nothing_happened_to_the_case()
    read.api.spoilt.clear()
    assert read.go_on(1).state == "done"
    assert read.world.row(C1)["subject"] == "New"


def test_a_comment_without_end_does_not_keep_the_worker_busy(read: Read) -> None:
    row = read.spoil(body(b"<!--x-->" * 1000 + b"<WAPI/>"))
    assert "no REPLY element" in row.last_error


def test_the_worker_hangs_up_on_a_reply_that_is_too_large(read: Read) -> None:
    before = read.api.sent
    read.spoil(endless(HEAD + b"<WAPI>", b"<X>y</X>", 50))
    assert read.api.sent - before < 20_000_000  # what sockets and pieces hold is in it


def test_eight_large_replies_at_a_time_hold_up_nobody(
    engine: Engine, api: LoopbackCrmApi, transport: HttpTransport
) -> None:
    world = World(engine)
    keys = [Key(CUSTOMER, f"A{number}") for number in range(16)]
    for key in keys:
        api.put(key, FIRSTNAME="Ada")
    for key in keys[:8]:
        api.spoilt[key] = endless(HEAD + b"<WAPI>", b"<X>y</X>", 50)
    triggers = {key: world.receive(key) for key in keys}
    source = CrmApi(transport, api.url, Credentials("acme", "api", "pw"))
    with ThreadPoolExecutor(8) as pool:
        options = WorkerOptions(SCHEDULE)
        Worker(engine, source, world.clock, random.Random(7), options, pool.map).run_once()
    states = [world.trigger(triggers[key]).state for key in keys]
    assert states == ["waiting"] * 8 + ["done"] * 8


def test_an_error_text_of_any_size_and_shape_stays_a_sentence(read: Read) -> None:
    text = "Line&#10;Line&#155;31m" + "x" * 100_000
    failed = f'<WAPI><REPLY STATUS="-1" ERROR_STR="{text}" ERROR_CODE="5"/></WAPI>'
    row = read.spoil(body(HEAD + failed.encode()))
    assert row.last_error.startswith("The CRM API answered with error 5: Line�Line�31mxxx")
    assert len(row.last_error) < 600
    assert read.said("retried")[0]["reason"] == row.last_error


LONG = {
    "longer than 8x8 allows": "x" * 100_000,
    "all scripts": "Zoë Łukasz 李雷 \U0001f600 e\u0301" * 100,
    "what XML lets through": "tab\tline\nreturn\r\x85\x9b\u200b\u202e\ufffd",
    "markup": "<b>&amp;</b>'\"--; DROP TABLE cases; %s :name {} \\",
    "blank": "  \n ",
}


@pytest.mark.parametrize("value", LONG.values(), ids=LONG)
def test_text_is_kept_whole_on_row_audit_entry_and_custom_field(read: Read, value: str) -> None:
    wired = value.replace("&", "&amp;").replace("<", "&lt;").replace("\r", "&#13;")
    fields = f"<DESCRIPTION>{wired}</DESCRIPTION><CF01>{wired}</CF01>"
    reply = ok(GOOD.replace(b"</ITEM>", fields.encode("iso-8859-1", "xmlcharrefreplace")) + b"")
    read.api.put(C1, SUBJECT="New")
    read.api.spoilt[C1] = body(reply.replace(b"</CF01>", b"</CF01></ITEM>"))
    row_id = read.world.receive(C1)
    read.world.run(read.worker)
    assert read.world.trigger(row_id).state == "done"
    row = read.world.row(C1)
    assert row["description"] == value
    assert row["custom_fields"] == {"CF01": value}
    entries = read.world.history(C1)
    assert (entries[-1].after["description"], entries[-1].after["custom_fields"]["CF01"]) == (
        value,
        value,
    )
    assert audit.verify(entries) is None


def test_a_value_too_long_for_an_index_is_kept_whole_or_refused_with_its_reason(
    read: Read,
) -> None:
    """PostgreSQL's index on `status` takes 2,700 bytes; what it says counts against the record."""
    status = random.Random(7).randbytes(50_000).hex()
    row = read.spoil(body(ok(case(f"<STATUS>{status}</STATUS>"))))
    if read.world.engine.dialect.name == "sqlite":
        assert read.world.row(C1)["status"] == status
        return
    assert row.last_error.startswith("The External CRM refuses the row: index row ")
    assert read.go_on(ATTEMPTS).state == "dead"
    assert read.nothing_happened_to_the_case()


@pytest.mark.parametrize("due", ["010100010000", "123199992359"])
def test_the_first_and_the_last_minute_of_all_come_back_as_they_went_in(
    read: Read, due: str
) -> None:
    read.api.put(T1, ACCOUNTNUM="A1", DUEDATE=due)
    read.world.receive(T1)
    read.world.run(read.worker)
    assert read.world.row(T1)["due_at"] == mapping.minute(due)
    read.world.receive(T1)
    read.world.run(read.worker)
    assert len(read.world.history(T1)) == 1


def test_utf8_that_says_it_is_latin_1_is_kept_as_declared_and_said(read: Read) -> None:
    reply = ok(GOOD.replace(b"New", "Café".encode()))
    read.api.spoilt[C1] = body(reply)
    read.world.receive(C1)
    read.world.run(read.worker)
    assert read.world.row(C1)["subject"] == "CafÃ©"
    (said,) = read.said("doubtful encoding")
    assert (said["record"], said["looks"]) == ("case C1", "UTF-8")


def test_latin_1_that_is_latin_1_is_not_doubted(read: Read) -> None:
    read.api.put(C1, SUBJECT="Café – déjà vu")
    read.world.receive(C1)
    read.world.run(read.worker)
    assert read.world.row(C1)["subject"] == "Café – déjà vu"
    assert read.said("doubtful encoding") == []


def to_number(value: str) -> str:
    return str(Decimal(value))


def to_nowhere(value: str) -> str:
    return {}[value]


@pytest.mark.parametrize("reader", [to_number, to_nowhere])
def test_a_number_that_is_text_holds_up_nobody_whatever_the_mapping_raises(
    read: Read, monkeypatch: pytest.MonkeyPatch, reader: Callable[[str], str]
) -> None:
    monkeypatch.setitem(mapping.CASE, "PRIORITY", ("priority", reader))
    row = read.spoil(body(ok(case("<PRIORITY>urgent</PRIORITY>"))))
    assert "'urgent' as PRIORITY, which priority cannot hold" in row.last_error
    assert json.dumps(row.last_reply)
    assert read.go_on(ATTEMPTS).state == "dead"


@pytest.mark.parametrize("value", [object(), "\ud800"], ids=["object", "surrogate"])
def test_a_value_that_no_driver_takes_holds_up_nobody(
    read: Read, monkeypatch: pytest.MonkeyPatch, value: object
) -> None:
    monkeypatch.setitem(mapping.CASE, "PRIORITY", ("priority", lambda _: value))
    row = read.spoil(body(ok(case("<PRIORITY>High</PRIORITY>"))))
    assert (row.state, row.attempts) == ("waiting", 1)
    assert read.go_on(ATTEMPTS).state == "dead"
    assert read.nothing_happened_to_the_case()


def test_a_mistake_of_the_receiver_itself_holds_up_nobody(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_on_cases(record):
        return {}["no such key"] if record.key.kind is CASE else mapping.to_row(record)

    monkeypatch.setattr("receiver.worker.to_row", fail_on_cases)
    row = read.spoil(body(ok(GOOD)))
    assert row.last_error == "The receiver failed on this record with KeyError; its log says where."
    assert read.said("failed")[0]["record"] == "case C1"
    assert read.go_on(ATTEMPTS).state == "dead"
    assert read.nothing_happened_to_the_case()
