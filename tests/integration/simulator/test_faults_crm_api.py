"""Faults of the CRM API as a caller's socket sees them."""

import re
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from lxml import etree

from simulator import serving
from simulator.clock import ManualClock
from simulator.local_crm import changes
from simulator.server import Simulator
from simulator.settings import Settings
from simulator.triggers.urls import Kind
from tests.conftest import MORNING
from tests.crm_api_clients import Reply, encoded, read_reply
from tests.local_crm import AGENT, create
from tests.raw_caller import (
    RawReply,
    add_fault,
    ask,
    control,
    fired,
    open_connection,
    raw_caller,
)
from tests.tls_receiver import PATIENCE_S

FIRST = ("ACCOUNTNUM", "10000000")


@pytest.fixture
def simulator(simulator: Simulator) -> Simulator:
    """With one customer, whose name is not ASCII, and three cases of his."""
    with simulator.services.sessions.begin() as session:
        create(session, Kind.CUSTOMER, MORNING, comments="first")
        for number in range(3):
            create(session, Kind.CASE, MORNING, accountnum="10000000", subject=f"Case {number}")
    return simulator


@pytest.fixture
def stopping() -> Iterator[None]:
    """No thread is left of what the test did."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before


def ask_first(simulator: Simulator) -> RawReply:
    """The customer."""
    return ask(simulator, "Customer", "Get", FIRST)


def plain(simulator: Simulator) -> Reply:
    """The customer as the service sends him, without a fault."""
    reply = ask_first(simulator)
    assert (reply.status, reply.ended) == (200, "closed")
    return read_reply(reply.body)


def until_fired(simulator: Simulator, fault_id: int) -> None:
    """Wait until a fault was hit."""
    ends_at = time.monotonic() + PATIENCE_S
    while not fired(simulator, fault_id):
        assert time.monotonic() < ends_at


@pytest.mark.parametrize(
    ("status", "retry_after"), [(500, None), (503, None), (503, 7), (429, 30), (599, None)]
)
def test_an_http_error_comes_with_its_retry_after(
    simulator: Simulator, status: int, retry_after: int | None
) -> None:
    add_fault(simulator, "http_error", status=status, retry_after_s=retry_after, times=1)

    reply = ask_first(simulator)

    assert reply.status == status
    assert reply.headers.get("retry-after") == (retry_after and str(retry_after))
    assert b"<REPLY" not in reply.body
    assert plain(simulator).column("ACCOUNTNUM") == ["10000000"]  # reverted by itself


def test_a_timeout_holds_the_caller_alone_until_it_is_cleared(simulator: Simulator) -> None:
    fault = add_fault(simulator, "timeout", delay_s=3600, record="10000000")
    with raw_caller(simulator) as caller:
        caller.ask("Customer", "Get", FIRST)
        until_fired(simulator, fault)
        assert len(read_reply(ask(simulator, "Case", "Get", FIRST).body).items) == 3
        assert not caller.has_heard()

        control(simulator, "DELETE", f"/faults/{fault}")

        assert caller.reply() == RawReply(b"", "closed")


def test_a_timeout_ends_by_itself(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_SILENCE_S", 3600.0)  # nor does the server wait for more
    add_fault(simulator, "timeout", delay_s=0.01)

    assert ask_first(simulator) == RawReply(b"", "closed")


def test_a_caller_that_leaves_ends_his_timeout(simulator: Simulator) -> None:
    fault = add_fault(simulator, "timeout", delay_s=3600)
    before = set(threading.enumerate())
    with raw_caller(simulator) as caller:
        caller.ask("Customer", "Get", FIRST)
        until_fired(simulator, fault)
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def test_stopping_ends_whatever_is_held(sim_settings: Settings, stopping: None) -> None:
    with Simulator(sim_settings) as simulator:
        silent = add_fault(simulator, "timeout", delay_s=3600, nth=1)
        dripping = add_fault(simulator, "slow_drip", delay_s=3600, nth=2)
        with raw_caller(simulator) as one, raw_caller(simulator) as other:
            one.ask("Customer", "Get", FIRST)
            until_fired(simulator, silent)
            other.ask("Customer", "Get", FIRST)
            until_fired(simulator, dripping)
            next(other.pieces())
            simulator.stop()
            assert one.reply() == RawReply(b"", "closed")


@pytest.mark.parametrize("tls", [True, False])
def test_a_reset_is_a_reset(sim_settings: Settings, tls: bool) -> None:
    with Simulator(sim_settings.model_copy(update={"tls": tls}), ticking=False) as simulator:
        simulator.app.test_client().post("/_sim/faults", json={"fault": "connection_reset"})
        if tls:
            assert ask_first(simulator) == RawReply(b"", "reset")
            return
        with open_connection(simulator) as sock:
            sock.sendall(b"POST /WAPI/wapi.php HTTP/1.1\r\nHost: x\r\n")
            body = b"xml_query=<WAPI><TENANT>demo</TENANT><USERNAME>crmapi</USERNAME>"
            body += b"<PASSWORD>crmapi-demo</PASSWORD>"
            body += b'<COMMAND OBJECT="Customer" ACTION="GET"/></WAPI>'
            sock.sendall(b"Content-Length: %d\r\n\r\n" % len(body) + body)
            with pytest.raises(ConnectionResetError):
                sock.recv(1)


@pytest.mark.parametrize("fault", ["timeout", "connection_reset"])
def test_a_caller_in_the_same_process_sees_a_broken_connection(
    simulator: Simulator, fault: str
) -> None:
    add_fault(simulator, fault)
    with pytest.raises(ConnectionAbortedError):
        encoded(simulator.app.test_client(), "Customer", "Get", FIRST)


def test_what_was_spoiled_does_not_count_as_fetched(simulator: Simulator) -> None:
    fetches, fault = simulator.services.fetches, add_fault(simulator, "stale_read")
    ask_first(simulator)
    assert not fetches.is_fetched("Customer 10000000")

    control(simulator, "DELETE", f"/faults/{fault}")
    ask_first(simulator)
    assert fetches.is_fetched("Customer 10000000")


def test_a_drip_brings_the_whole_reply_in_many_pieces(simulator: Simulator) -> None:
    whole = ask_first(simulator)
    add_fault(simulator, "slow_drip", delay_s=0.5)
    with raw_caller(simulator) as caller:
        caller.ask("Customer", "Get", FIRST)
        pieces = list(caller.pieces())

    assert len(pieces) >= 10
    assert b"".join(pieces).partition(b"\r\n\r\n")[2] == whole.body
    assert b"Content-Length: %d\r\n" % len(whole.body) in b"".join(pieces)


def test_a_drip_that_is_cleared_brings_the_rest_at_once(simulator: Simulator) -> None:
    whole = ask_first(simulator)
    fault = add_fault(simulator, "slow_drip", delay_s=3600)
    with raw_caller(simulator) as caller:
        caller.ask("Customer", "Get", FIRST)
        begun = next(caller.pieces())
        control(simulator, "DELETE", f"/faults/{fault}")

        assert (begun + caller.reply().data).endswith(whole.body)


def test_truncated_xml_is_a_whole_answer_of_half_a_document(simulator: Simulator) -> None:
    whole = ask_first(simulator).body
    add_fault(simulator, "truncated_xml", keep=0.25)

    reply = ask_first(simulator)

    assert reply.status == 200
    assert reply.body == whole[: len(whole) // 4]
    assert reply.headers["content-length"] == str(len(reply.body))


def test_malformed_xml_is_not_well_formed_whatever_is_asked(simulator: Simulator) -> None:
    add_fault(simulator, "malformed_xml")

    for tags in ((FIRST,), (("ACCOUNTNUM", "1"),), (("NONSENSE", "1"),)):
        body = ask(simulator, "Customer", "Get", *tags).body
        assert body.endswith(b"</WAPI>")
        with pytest.raises(etree.XMLSyntaxError):
            etree.fromstring(body)


def test_a_declaration_of_utf_8_over_latin_1_is_refused_by_parsers(simulator: Simulator) -> None:
    add_fault(simulator, "wrong_encoding")

    reply = ask_first(simulator)

    assert reply.body.startswith(b'<?xml version="1.0" encoding="UTF-8"?>')
    assert reply.headers["content-type"] == "text/xml; charset=UTF-8"
    assert "Zoë".encode("latin-1") in reply.body
    with pytest.raises(etree.XMLSyntaxError):
        etree.fromstring(reply.body)


def test_a_declaration_of_latin_1_over_utf_8_gives_other_characters(simulator: Simulator) -> None:
    add_fault(simulator, "wrong_encoding", declared="ISO-8859-1")

    reply = ask_first(simulator)

    assert reply.headers["content-length"] == str(len(reply.body))
    assert etree.fromstring(reply.body).findtext(".//FIRSTNAME") == "ZoÃ«"


def test_an_empty_reply_has_no_body(simulator: Simulator) -> None:
    add_fault(simulator, "empty_reply")

    reply = ask_first(simulator)

    assert (reply.status, reply.headers["content-length"], reply.body) == (200, "0", b"")


def test_each_record_is_not_found_first_and_found_later(simulator: Simulator) -> None:
    fault = add_fault(simulator, "not_found_first", count=2)

    def found(object_name: str) -> int:
        return len(read_reply(ask(simulator, object_name, "Get", FIRST).body).items)

    assert [found("Customer") for _ in range(3)] == [0, 0, 1]
    assert [found("Case") for _ in range(3)] == [0, 0, 3]
    assert found("Customer") == 1
    assert fired(simulator, fault) == 4


def test_a_stale_read_shows_the_record_as_it_was(simulator: Simulator, clock: ManualClock) -> None:
    clock.advance(timedelta(seconds=100))
    with simulator.services.sessions.begin() as session:
        changes.edit(session, Kind.CUSTOMER, "10000000", {"comments": "second"}, AGENT, clock.now())
    add_fault(simulator, "stale_read", stale_s=10)

    clock.advance(timedelta(seconds=9))
    assert plain(simulator).column("COMMENTS") == ["first"]
    clock.advance(timedelta(seconds=1))
    assert plain(simulator).column("COMMENTS") == ["second"]


def test_what_was_just_deleted_is_still_read_and_what_was_created_is_not(
    simulator: Simulator, clock: ManualClock
) -> None:
    clock.advance(timedelta(seconds=100))
    with simulator.services.sessions.begin() as session:
        changes.delete(session, Kind.CASE, "10000001", AGENT, clock.now())
        create(session, Kind.CASE, clock.now(), accountnum="10000000", status="Closed")
        changes.edit(session, Kind.CASE, "10000000", {"status": "Closed"}, AGENT, clock.now())
    now = {"Open": ["10000002"], "Closed": ["10000000", "10000003"]}
    then = {"Open": ["10000000", "10000001", "10000002"], "Closed": []}

    def listed() -> dict[str, list[str]]:
        replies = {s: read_reply(ask(simulator, "Case", "Get", ("STATUS", s)).body) for s in now}
        return {status: reply.column("CASENUM") for status, reply in replies.items()}

    assert listed() == now
    fault = add_fault(simulator, "stale_read", stale_s=1)
    assert listed() == then
    assert read_reply(ask(simulator, "Case", "Get", ("LASTNAME", "brien")).body).column(
        "CASENUM"
    ) == ["10000000", "10000001", "10000002"]
    clock.advance(timedelta(seconds=1))
    assert listed() == now
    assert fired(simulator, fault) == 5


def test_of_a_list_only_a_part_comes(simulator: Simulator) -> None:
    add_fault(simulator, "partial_list", count=2)

    assert len(read_reply(ask(simulator, "Case", "Get", FIRST).body).items) == 2
    assert len(plain(simulator).items) == 1


def test_half_of_a_list_comes_where_nothing_is_said(simulator: Simulator) -> None:
    add_fault(simulator, "partial_list")

    assert read_reply(ask(simulator, "Case", "Get", FIRST).body).column("CASENUM") == ["10000000"]


def test_expired_credentials_are_refused_like_wrong_ones(simulator: Simulator) -> None:
    add_fault(simulator, "expired_credentials", times=2)

    assert read_reply(ask_first(simulator).body).refused[0] == "1002"
    with raw_caller(simulator) as caller:
        head = "POST /cc/v1/wapi HTTP/1.1\r\nHost: x\r\nX-8x8-Tenant: demo\r\n"
        body = '<COMMAND OBJECT="Customer" ACTION="GET"><ACCOUNTNUM>10000000</ACCOUNTNUM></COMMAND>'
        head += f"x-api-key: demo-api-key\r\nContent-Length: {len(body)}\r\n\r\n"
        caller.send((head + body).encode())
        assert read_reply(caller.reply().body).refused[0] == "1003"
    assert plain(simulator).column("ACCOUNTNUM") == ["10000000"]


@pytest.mark.parametrize("fault", ["timeout", "connection_reset", "empty_reply"])
@pytest.mark.parametrize("work_done", [True, False])
def test_an_addition_that_nobody_hears_of_is_done_or_not(
    simulator: Simulator, fault: str, work_done: bool
) -> None:
    held = {"delay_s": 0.01} if fault == "timeout" else {}
    add_fault(simulator, fault, action="Add", work_done=work_done, **held)

    reply = ask(simulator, "Customer", "Add", ("FIRSTNAME", "Ada"), ("LASTNAME", "Byron"))

    assert b"ACCOUNTNUM" not in reply.data
    found = read_reply(ask(simulator, "Customer", "Get", ("FIRSTNAME", "Ada")).body).items
    assert len(found) == work_done


def test_silent_clients_and_unfinished_handshakes_delay_nobody(
    sim_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_SILENCE_S", 3600.0)  # nobody is hung up on for being silent
    half_a_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    with Simulator(sim_settings, ticking=False) as simulator:
        silent = [open_connection(simulator) for _ in range(20)]
        for sock in silent[10:]:
            sock.sendall(half_a_hello)
        with raw_caller(simulator) as unfinished:
            unfinished.send(b"POST /WAPI/wapi.php HTTP/1.1\r\nContent-Le")

            assert plain(simulator).items == []
            assert control(simulator, "GET", "/faults")[0] == 200
            assert not unfinished.has_heard()
        for sock in silent:
            sock.close()


def test_a_reply_of_many_records_can_be_spoiled_too(simulator: Simulator) -> None:
    with simulator.services.sessions.begin() as session:
        for _ in range(400):
            create(session, Kind.CASE, MORNING, accountnum="10000000", description="x" * 300)
    add_fault(simulator, "truncated_xml")

    reply = ask(simulator, "Case", "Get", FIRST)

    assert int(reply.headers["content-length"]) == len(reply.body) > 64_000
    assert re.search(rb"</WAPI>", reply.body) is None
    assert simulator.services.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
