"""One call of the CRM API over real sockets: complete within its deadline, or a sentence."""

import gzip
import socket
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from traceback import format_exception

import pytest

from external_crm.rows import Key, Kind
from receiver.crm_api import BadAnswer, CrmApi, Refused, Temporary
from receiver.records import Credentials
from receiver.transport import HttpTransport, NoAnswer
from tests.tls_receiver import (
    Authority,
    TlsReceiver,
    answer,
    before_tls,
    drip_in,
    drip_in_handshake,
    raw,
)

DEADLINE_S = 0.4


@pytest.fixture
def transport(receiver_authority: Authority) -> Iterator[HttpTransport]:
    transport = HttpTransport(DEADLINE_S, receiver_authority.path, max_bytes=100_000)
    yield transport
    transport.close()


def test_a_complete_answer_comes_with_status_and_headers(
    transport: HttpTransport, tls_receiver: TlsReceiver
) -> None:
    tls_receiver.will(answer(429, "slow down", Retry_After="7"))
    reply = transport.post(tls_receiver.url(), {"x-api-key": "k"}, b"<COMMAND/>")
    assert (reply.status, reply.body, reply.headers["retry-after"]) == (429, b"slow down", "7")
    (request,) = tls_receiver.requests
    assert (request.method, request.body) == ("POST", b"<COMMAND/>")


@pytest.mark.parametrize(
    "reply",
    [
        drip_in("status line"),
        drip_in("headers"),
        drip_in("body"),
        drip_in_handshake(),
        lambda conversation: conversation.hold(),
        before_tls(lambda conversation: conversation.hold()),
    ],
    ids=["status line", "headers", "body", "handshake", "silence", "silence before TLS"],
)
def test_a_reply_that_drips_or_never_comes_is_cut_off(
    transport: HttpTransport, tls_receiver: TlsReceiver, reply
) -> None:
    tls_receiver.will(reply)
    with pytest.raises(NoAnswer, match=r"^The CRM API gave no complete answer within 0.4 s\.$"):
        transport.post(tls_receiver.url(), {}, b"")


@pytest.mark.parametrize(
    "reply",
    [
        lambda conversation: conversation.reset(),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
        raw(b"nonsense"),
        raw(b""),
    ],
    ids=["reset", "truncated", "no HTTP", "closed"],
)
def test_a_broken_reply_is_a_sentence(
    transport: HttpTransport, tls_receiver: TlsReceiver, reply
) -> None:
    tls_receiver.will(reply)
    with pytest.raises(NoAnswer, match=r"^The CRM API gave no complete answer: .+\.$"):
        transport.post(tls_receiver.url(), {}, b"")


def test_an_answer_without_end_is_not_taken_in(
    transport: HttpTransport, tls_receiver: TlsReceiver
) -> None:
    tls_receiver.will(answer(200, "x" * 200_000))
    with pytest.raises(NoAnswer, match=r"larger than 100,000 bytes\.$"):
        transport.post(tls_receiver.url(), {}, b"")


def test_a_request_says_who_asks_and_quotes_its_path(
    transport: HttpTransport, tls_receiver: TlsReceiver
) -> None:
    tls_receiver.will(answer(200))
    url = tls_receiver.url("/a b/%20ü?q=c d").replace("//", "//hook:p%40ss@", 1)
    transport.post(url, {"x-api-key": "k"}, b"")
    (request,) = tls_receiver.requests
    assert request.target == "/a%20b/%20%C3%BC?q=c%20d"
    said = {name: request.headers.get(name) for name in ("host", "user-agent", "accept")}
    assert said == {
        "host": f"127.0.0.1:{tls_receiver.port}",
        "user-agent": "crm-receiver",
        "accept": "*/*",
    }
    assert request.headers["authorization"] == f"Basic {b64encode(b'hook:p@ss').decode()}"


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("ftp://127.0.0.1/s3cret", "k"),
        ("https:///s3cret", "k"),
        ("https://127.0.0.1:s3cret/", "k"),
        (f"https://{'s3cret' * 20}.example/", "k"),
        ("https://127.0.0.1:1/", "s3cret\r\nx: y"),
        ("https://127.0.0.1:1/", "s3cret\u20ac"),
    ],
    ids=["scheme", "no host", "port", "long label", "line break", "not Latin"],
)
def test_what_cannot_be_sent_is_a_sentence_without_secrets(
    transport: HttpTransport, tls_receiver: TlsReceiver, url: str, key: str
) -> None:
    if key != "k":
        url = tls_receiver.url()
    with pytest.raises(NoAnswer) as caught:
        transport.post(url, {"x-api-key": key}, b"")
    assert str(caught.value) == (
        "The CRM API cannot be called: its URL or a header holds what may not stand there."
    )
    assert "s3cret" not in "".join(format_exception(caught.value))


def test_a_silent_address_of_a_host_leaves_time_for_the_next(
    transport: HttpTransport, tls_receiver: TlsReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = socket.create_server(("127.0.0.1", 0), backlog=0)
    queued = [socket.socket() for _ in range(4)]  # so that nobody else is let in
    for one in queued:
        one.setblocking(False)
        one.connect_ex(silent.getsockname())
    entry = socket.getaddrinfo("127.0.0.1", tls_receiver.port, type=socket.SOCK_STREAM)[0]
    both = [(*entry[:4], silent.getsockname()), entry]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    tls_receiver.will(answer(200, "here"))
    assert transport.post(tls_receiver.url(), {}, b"").body == b"here"
    for one in (*queued, silent):
        one.close()


def test_an_address_of_a_family_that_the_system_lacks_is_passed_over(
    transport: HttpTransport, tls_receiver: TlsReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = socket.getaddrinfo("127.0.0.1", tls_receiver.port, type=socket.SOCK_STREAM)[0]
    both = [(-2, *entry[1:]), entry]  # as IPv6 where the kernel has none
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    tls_receiver.will(answer(200, "here"))
    assert transport.post(tls_receiver.url(), {}, b"").body == b"here"


PACKED = gzip.compress(b"packed")


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokjunk", b"ok"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nokjunk", b"ok"),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2;x=y\r\nok\r\n1\r\n!\r\n0\r\nContent-Encoding: br\r\n\r\n",
            b"ok!",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s"
            % (len(PACKED), PACKED),
            b"packed",
        ),
    ],
    ids=["interim", "surplus", "close", "to the end", "1.0", "none", "chunks", "gzip"],
)
def test_answers_are_framed_as_http_has_it(
    transport: HttpTransport, tls_receiver: TlsReceiver, data: bytes, body: bytes
) -> None:
    tls_receiver.will(raw(data), answer(200, "next"))
    assert transport.post(tls_receiver.url(), {}, b"").body == body
    assert transport.post(tls_receiver.url(), {}, b"").body == b"next"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\nx", "it is packed as 'br', which nobody"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nplain", "incorrect header check"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + PACKED[:-9], "has no end"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "its headers have no end"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "in the midst of it"),
        (b"nonsense", "it is no HTTP"),
        (b"", "without a word"),
    ],
    ids=["br", "no gzip", "half a gzip", "headers", "half", "nonsense", "nothing"],
)
def test_what_is_wrong_with_an_answer_is_said(
    transport: HttpTransport, tls_receiver: TlsReceiver, data: bytes, reason: str
) -> None:
    tls_receiver.will(raw(data))
    with pytest.raises(NoAnswer, match=rf"^The CRM API gave no complete answer: .*{reason}.*\.$"):
        transport.post(tls_receiver.url(), {}, b"")


def test_a_redirect_is_not_followed(transport: HttpTransport, tls_receiver: TlsReceiver) -> None:
    tls_receiver.will(answer(302, Location=tls_receiver.url("/login")))
    assert transport.post(tls_receiver.url(), {}, b"").status == 302
    assert len(tls_receiver.requests) == 1


def test_a_certificate_that_nobody_vouches_for_is_refused(
    tls_receiver: TlsReceiver, tmp_path: Path
) -> None:
    stranger = HttpTransport(DEADLINE_S, Authority(tmp_path).path)
    with pytest.raises(NoAnswer, match="CERTIFICATE_VERIFY_FAILED"):
        stranger.post(tls_receiver.url(), {}, b"")
    stranger.close()


OK = '<WAPI><REPLY STATUS="0" ERROR_STR="" ERROR_CODE="0"></REPLY></WAPI>'
FAILED = '<WAPI><REPLY STATUS="-1" ERROR_STR="{}" ERROR_CODE="{}"/></WAPI>'


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (answer(500, "oops"), Temporary),
        (answer(503), Temporary),
        (answer(302, Location="/login"), Temporary),
        (answer(401), Refused),
        (answer(403), Refused),
        (answer(200, "<!DOCTYPE html><title>Maintenance</title>"), Temporary),
        (answer(200, FAILED.format("The password is wrong.", "1002")), Refused),
        (answer(200, FAILED.format("You have no right to Get a Task.", "77")), Refused),
        (answer(200, FAILED.format("The value test of the tag x is not valid.", 5)), Temporary),
        (answer(200, "<WAPI>"), Temporary),
        (answer(200, "<WAPI/>"), Temporary),
        (answer(200, ""), Temporary),
    ],
)  # fmt: skip
def test_the_api_own_errors_decide(
    transport: HttpTransport, tls_receiver: TlsReceiver, reply, error: type[Exception]
) -> None:
    api = CrmApi(transport, tls_receiver.url(""), Credentials("t", "u", "p"), frozenset({"1002"}))
    tls_receiver.will(reply, reply)
    with pytest.raises(error):
        api.get(Key(Kind.CASE, "1"))


@pytest.mark.parametrize("first", ["<WAPI>", FAILED.format("The value of x is not valid.", "5")])
@pytest.mark.parametrize("second", [OK, FAILED.format("No such customer.", "40"), None])
def test_what_cannot_be_used_is_the_records_own_if_another_kind_is_answered(
    transport: HttpTransport, tls_receiver: TlsReceiver, first: str, second: str | None
) -> None:
    api = CrmApi(transport, tls_receiver.url(""), Credentials("t", "u", "p"))
    tls_receiver.will(answer(200, first), answer(401) if second is None else answer(200, second))
    with pytest.raises(BadAnswer) as caught:
        api.get(Key(Kind.CASE, "1"))
    assert caught.value.reply == first
    assert b"ACCOUNTNUM%3E0%3C" in tls_receiver.requests[1].body


@pytest.mark.parametrize("second", [OK, FAILED.format("No such case.", "40")])
def test_an_error_that_reads_like_a_refusal_is_the_records_own_if_others_are_let_in(
    transport: HttpTransport, tls_receiver: TlsReceiver, second: str
) -> None:
    api = CrmApi(transport, tls_receiver.url(""), Credentials("t", "u", "p"))
    tls_receiver.will(answer(200, FAILED.format("Not allowed: locked.", "9")), answer(200, second))
    with pytest.raises(BadAnswer, match="Not allowed: locked") as caught:
        api.get(Key(Kind.CASE, "1"))
    assert "Not allowed: locked." in caught.value.reply
    assert b"CASENUM%3E0%3C" in tls_receiver.requests[1].body


DATE = "Mon, 02 Mar 2026 09:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": "Mon, 02 Mar 2026 09:00:50 GMT", "Date": DATE}, 50),
        ({"Retry-After": "Mon, 02 Mar 2026 08:00:00 GMT", "Date": DATE}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "9" * 30}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_read_as_seconds_or_as_a_date(
    transport: HttpTransport,
    tls_receiver: TlsReceiver,
    status: int,
    headers: dict[str, str],
    seconds: float | None,
) -> None:
    tls_receiver.will(answer(status, **headers))
    api = CrmApi(transport, tls_receiver.url(""), Credentials("t", "u", "p"))
    with pytest.raises(Temporary) as caught:
        api.get(Key(Kind.CASE, "1"))
    assert caught.value.retry_after_s == seconds


def test_both_endpoints_are_called_as_documented(
    transport: HttpTransport, tls_receiver: TlsReceiver
) -> None:
    tls_receiver.will(answer(200, OK), answer(200, OK))
    by_password = Credentials("t", "u", "p")
    assert CrmApi(transport, tls_receiver.url("/"), by_password).get(Key(Kind.CASE, "1")) is None
    by_key = Credentials("t", api_key="k")
    assert CrmApi(transport, tls_receiver.url(""), by_key).get(Key(Kind.CASE, "1")) is None
    first, second = tls_receiver.requests
    assert (first.target, second.target) == ("/WAPI/wapi.php", "/cc/v1/wapi")
    assert first.headers["content-type"] == "application/x-www-form-urlencoded"
    assert first.body.startswith(b"xml_query=%3CWAPI%3E%3CTENANT%3Et")
    assert second.headers["content-type"] == "application/xml"
    assert (second.headers["x-8x8-tenant"], second.headers["x-api-key"]) == ("t", "k")
    assert second.body.startswith(b'<COMMAND OBJECT="Case" ACTION="GET">')
