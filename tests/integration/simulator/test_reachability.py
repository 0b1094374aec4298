"""The doctor: which trigger URLs are reached and trusted from where the simulator runs."""

import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from simulator.server import Simulator
from tests.forms import Browser
from tests.tls_receiver import Authority, TlsReceiver, before_tls, raw


@pytest.fixture
def ask(simulator: Simulator) -> Any:
    """Puts URLs into boxes and asks the doctor."""

    def examine(**boxes: str) -> dict[str, Any]:
        client = simulator.app.test_client()
        if boxes:
            Browser.of(client).submit("/config/integration/crm-triggers", **boxes)
        found: dict[str, Any] = client.get("/_sim/doctor").get_json()
        return found

    return examine


def test_a_receiver_that_is_trusted_is_well(ask: Any, tls_receiver: TlsReceiver) -> None:
    found = ask(
        customer_create=tls_receiver.url("/secret"), case_edit=tls_receiver.url("/other-secret")
    )

    assert (found["well"], found["boxes_filled"]) == (True, 2)
    [finding] = found["findings"]
    assert "is reached and trusted (TLSv1.3)." in finding["sentence"]
    assert "secret" not in str(found)
    assert tls_receiver.requests == []  # nothing was sent


def test_without_a_url_nothing_is_well(ask: Any) -> None:
    assert ask() == {"well": False, "boxes_filled": 0, "findings": []}


def test_a_closed_port_says_to_start_the_receiver(ask: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        [finding] = ask(task_delete=f"https://127.0.0.1:{unused.getsockname()[1]}/")["findings"]

    assert finding["reachable"] is False
    assert finding["sentence"].endswith("refused the connection.")
    assert finding["advice"] == "Start the receiver, or correct the port in the box."


def test_a_name_that_is_none_says_so(ask: Any) -> None:
    [finding] = ask(task_delete="https://crm.invalid/")["findings"]

    assert "The name of crm.invalid:443 cannot be resolved" in finding["sentence"]
    assert finding["advice"].startswith("Correct the host name in the box")


def test_a_certificate_of_an_unknown_authority_says_what_to_trust(ask: Any, tmp_path: Path) -> None:
    with closing(TlsReceiver(Authority(tmp_path))) as receiver:
        [finding] = ask(customer_edit=receiver.url())["findings"]

    assert "is not trusted" in finding["sentence"]
    assert finding["advice"].startswith("Start the simulator with --trigger-ca")


def test_a_certificate_for_another_name_says_so(ask: Any, receiver_authority: Authority) -> None:
    with closing(TlsReceiver(receiver_authority, ("crm.example.com",))) as receiver:
        [finding] = ask(customer_edit=receiver.url())["findings"]

    assert "is not trusted" in finding["sentence"]
    assert finding["advice"].startswith("Put the name that the certificate is for into the box")


def test_a_server_that_speaks_no_tls_says_so(ask: Any, tls_receiver: TlsReceiver) -> None:
    tls_receiver.will(before_tls(raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")))
    [finding] = ask(customer_edit=tls_receiver.url())["findings"]

    assert "TLS failed" in finding["sentence"]
    assert finding["advice"] == (
        "See that the receiver speaks https on this port, with TLS 1.2 or newer."
    )
