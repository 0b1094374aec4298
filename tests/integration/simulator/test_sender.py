"""One call of a trigger URL over real sockets: only a whole 200 counts, and nothing holds it."""

import socket
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import pytest

from simulator.triggers.outcome import Outcome
from simulator.triggers.sender import CaFileUnusable, Sender
from tests.tls_receiver import (
    Authority,
    Conversation,
    Reply,
    TlsReceiver,
    answer,
    before_tls,
    drip_in,
    drip_in_handshake,
    open_sockets,
    raw,
)

SOON_S = 0.3


@pytest.fixture
def sender(receiver_authority: Authority) -> Sender:
    return Sender(trigger_ca=receiver_authority.path)


@pytest.fixture
def hasty(receiver_authority: Authority) -> Sender:
    """A sender that gives up soon."""
    return Sender(timeout_s=SOON_S, trigger_ca=receiver_authority.path)


def test_a_whole_200_is_success(sender: Sender, tls_receiver: TlsReceiver) -> None:
    tls_receiver.will(answer(200, "thank you"))
    outcome = sender.send(tls_receiver.url("/customer/create?AccountID=10000000"))
    assert outcome.delivered
    assert (outcome.status, outcome.error, outcome.reply_excerpt) == (200, None, "thank you")
    request = tls_receiver.requests[0]
    assert (request.method, request.target) == ("GET", "/customer/create?AccountID=10000000")
    assert request.headers["user-agent"] == "8x8-crm-trigger-simulator"


def test_by_setting_it_is_a_post_with_an_empty_body(
    receiver_authority: Authority, tls_receiver: TlsReceiver
) -> None:
    sender = Sender("POST", trigger_ca=receiver_authority.path)
    assert sender.send(tls_receiver.url("/t?AccountID=1")).delivered
    request = tls_receiver.requests[0]
    assert (request.method, request.target, request.body) == ("POST", "/t?AccountID=1", b"")
    assert request.headers["content-length"] == "0"


@pytest.mark.parametrize("status", [201, 202, 204, 400, 401, 404, 410, 429, 500, 503])
def test_any_other_status_is_a_failure(
    sender: Sender, tls_receiver: TlsReceiver, status: int
) -> None:
    tls_receiver.will(answer(status, "" if status == 204 else "why"))
    outcome = sender.send(tls_receiver.url())
    assert not outcome.delivered
    assert outcome.status == status
    assert outcome.error == f"The answer was {status}; only 200 counts as received."


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_a_page_that_answers_200_is_a_failure(
    sender: Sender, tls_receiver: TlsReceiver, status: int
) -> None:
    tls_receiver.will(answer(status, Location=tls_receiver.url("/login")))
    outcome = sender.send(tls_receiver.url())
    assert not outcome.delivered
    assert outcome.error == (
        f"The answer was {status}; only 200 counts as received. Redirects are not followed."
    )
    assert len(tls_receiver.requests) == 1


@pytest.mark.parametrize(
    ("reply", "awaited"),
    [
        (drip_in_handshake(), "TLS handshake"),
        (before_tls(Conversation.hold), "TLS handshake"),
        (Conversation.hold, "complete answer"),
        (drip_in("status line"), "complete answer"),
        (drip_in("headers"), "complete answer"),
        (drip_in("body"), "complete answer"),
    ],
    ids=["drip in handshake", "no handshake", "silence", "status line", "headers", "body"],
)
def test_a_reply_that_never_ends_is_cut_off_in_every_phase(
    hasty: Sender, tls_receiver: TlsReceiver, reply: Reply, awaited: str
) -> None:
    tls_receiver.will(reply)
    outcome = hasty.send(tls_receiver.url())
    assert outcome.status is None
    assert outcome.error == f"No {awaited} within 0.3 s; the call was given up."


def test_a_connection_that_is_never_accepted_is_given_up(hasty: Sender) -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        while True:  # fill the queue of connections that nobody accepts
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0.2)
            try:
                waiting.connect(listener.getsockname())
            except TimeoutError:
                break
        outcome = hasty.send(f"https://127.0.0.1:{listener.getsockname()[1]}/t")
    assert outcome.error == "No connection within 0.3 s; the call was given up."


def test_a_refused_connection_says_so(sender: Sender, tls_receiver: TlsReceiver) -> None:
    tls_receiver.close()
    outcome = sender.send(tls_receiver.url())
    assert outcome.error == f"127.0.0.1:{tls_receiver.port} refused the connection."


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        # Over TLS, Python shows a reset as an end; during the handshake it shows the reset.
        (Conversation.reset, "{} closed the connection without an answer."),
        (before_tls(Conversation.reset), "{} reset the connection before the answer was complete."),
        (raw(b""), "{} closed the connection without an answer."),
        (
            raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
            "{} closed the connection before the answer was complete.",
        ),
        (
            raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha"),
            "{} closed the connection before the answer was complete.",
        ),
        (raw(b"220 mail.example.com ESMTP\r\n"), "{} gave an answer that is not HTTP."),
        (raw(b"HTTP/1.1 200 " + b"x" * 100_000), "{} gave an answer that is not HTTP."),
    ],
    ids=[
        "reset",
        "reset in handshake",
        "nothing",
        "half",
        "half a chunk",
        "not HTTP",
        "endless line",
    ],
)
def test_a_broken_answer_is_a_failure_with_its_reason(
    sender: Sender, tls_receiver: TlsReceiver, reply: Reply, sentence: str
) -> None:
    tls_receiver.will(reply)
    outcome = sender.send(tls_receiver.url())
    assert (outcome.status, outcome.delivered) == (None, False)
    assert outcome.error == sentence.format(f"127.0.0.1:{tls_receiver.port}")


def test_a_server_that_speaks_no_tls_fails(sender: Sender, tls_receiver: TlsReceiver) -> None:
    tls_receiver.will(before_tls(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")))
    error = sender.send(tls_receiver.url()).error
    assert error is not None
    assert error.startswith(f"TLS failed with 127.0.0.1:{tls_receiver.port}: ")


def test_a_certificate_of_an_unknown_authority_is_not_trusted(
    sender: Sender, tmp_path: Path
) -> None:
    stranger = TlsReceiver(Authority(tmp_path))
    outcome = sender.send(stranger.url())
    stranger.close()
    assert stranger.requests == []
    assert outcome.error is not None
    assert outcome.error.startswith(f"The certificate of 127.0.0.1:{stranger.port} is not trusted")


def test_a_certificate_for_another_name_is_not_trusted(
    sender: Sender, receiver_authority: Authority
) -> None:
    misnamed = TlsReceiver(receiver_authority, names=("crm.example.com",))
    outcome = sender.send(misnamed.url())
    misnamed.close()
    assert misnamed.requests == []
    assert "is not trusted" in (outcome.error or "")


def test_the_environment_changes_nothing(
    sender: Sender,
    tls_receiver: TlsReceiver,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    other = Authority(tmp_path)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(other.path))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert sender.send(tls_receiver.url()).delivered
    assert "authorization" not in tls_receiver.requests[0].headers


def test_a_huge_answer_is_read_only_in_part(sender: Sender, tls_receiver: TlsReceiver) -> None:
    def pour(conversation: Conversation) -> None:
        conversation.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:  # until the sender hangs up
            conversation.send("ä".encode() * 10_000)

    tls_receiver.will(pour)
    outcome = sender.send(tls_receiver.url())
    assert outcome.delivered
    assert outcome.reply_excerpt == "ä" * 500


def test_an_answer_that_is_no_text_is_kept_as_well_as_can_be(
    sender: Sender, tls_receiver: TlsReceiver
) -> None:
    tls_receiver.will(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xfe"))
    assert sender.send(tls_receiver.url()).reply_excerpt == "��"


def test_each_trigger_has_a_connection_of_its_own_and_leaves_nothing_open(
    sender: Sender, tls_receiver: TlsReceiver
) -> None:
    before = open_sockets()
    for _ in range(3):
        assert sender.send(tls_receiver.url()).delivered
    tls_receiver.close()
    assert open_sockets() == before - 1  # the receiver's own, and nothing instead
    assert [request.headers["connection"] for request in tls_receiver.requests] == ["close"] * 3


def test_what_is_no_url_at_all_is_an_outcome_too(sender: Sender) -> None:
    for url in ("https://[::1/t", "nonsense", "https://", "ftp://127.0.0.1/t", "https://a..b/t"):
        outcome = sender.send(url)
        assert not outcome.delivered
        assert outcome.error


def test_a_name_that_does_not_resolve_says_so(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_args: object, **_named: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = sender.send("https://crm.example.com/secret?AccountID=1").error
    assert error == "The name of crm.example.com cannot be resolved: Name or service not known."


def test_closing_the_sender_cuts_off_the_call_under_way(
    sender: Sender, tls_receiver: TlsReceiver
) -> None:
    tls_receiver.will(Conversation.hold)
    outcomes: list[Outcome] = []

    def call() -> None:
        outcomes.append(sender.send(tls_receiver.url()))

    thread = Thread(target=call)
    thread.start()
    tls_receiver.next_request()
    sender.close()
    thread.join()
    call()  # and one that begins later
    assert [outcome.error for outcome in outcomes] == [
        "The simulator was stopped during the call."
    ] * 2


def test_a_ca_file_that_cannot_be_used_is_refused_with_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(CaFileUnusable, match=r"CA file .*missing\.pem .*--trigger-ca"):
        Sender(trigger_ca=tmp_path / "missing.pem")
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    with pytest.raises(CaFileUnusable, match="CRM_SIM_TRIGGER_CA"):
        Sender(trigger_ca=empty)
