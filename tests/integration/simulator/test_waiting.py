"""Waiting over HTTP: woken by what happens, and at the deadline told why not."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
from typing import Any

import pytest
from flask.testing import FlaskClient

from simulator.local_crm import changes
from simulator.local_crm.changes import Author
from simulator.local_crm.models import Origin
from simulator.server import Simulator
from simulator.settings import Settings
from simulator.triggers.models import DeliveryState
from simulator.triggers.urls import Kind
from tests.conftest import MORNING
from tests.crm_api_clients import encoded
from tests.local_crm import AGENT, create, delivery, one_delivery
from tests.tls_receiver import PATIENCE_S, Conversation, TlsReceiver, answer

CUSTOMER = {"kind": "Customer", "record_id": "10000000"}


@pytest.fixture
def simulator(sim_settings: Settings) -> Iterator[Simulator]:
    """A simulator that sends only what becomes due at MORNING, where its clock stands."""
    settings = sim_settings.model_copy(update={"freeze_at": MORNING, "tick_s": 3600})
    with Simulator(settings) as running:
        yield running


@pytest.fixture
def client(simulator: Simulator) -> FlaskClient:
    return simulator.app.test_client()


def waited(client: FlaskClient, until: str, **about: Any) -> dict[str, Any]:
    """The answer to a wait that must have been met."""
    response = client.post("/_sim/wait", json={"until": until, "timeout_s": PATIENCE_S, **about})
    found: dict[str, Any] = response.get_json()
    assert (response.status_code, found["met"]) == (200, True), found
    return found


def why_not(client: FlaskClient, until: str, **about: Any) -> dict[str, Any]:
    """The problem that a wait ends with which is not met."""
    response = client.post("/_sim/wait", json={"until": until, "timeout_s": 0, **about})
    found: dict[str, Any] = response.get_json()
    assert (response.status_code, response.mimetype) == (504, "application/problem+json")
    assert found["met"] is False
    assert all(reason in found["detail"] for reason in found["reasons"])
    return found


def test_with_nothing_to_send_it_is_idle(client: FlaskClient) -> None:
    assert waited(client, "idle", timeout_s=0) == {
        "reasons": [],
        "deliveries": [],
        "faults": [],
        "met": True,
    }


@pytest.mark.parametrize(
    "wish",
    [
        {"until": "idle"},
        {"until": "delivered", "delivery_id": 1},
        {"until": "delivered", **CUSTOMER},
    ],
)
def test_the_200_of_a_receiver_ends_the_wait(
    simulator: Simulator, tls_receiver: TlsReceiver, wish: dict[str, Any]
) -> None:
    may_answer = Event()

    def answer_later(conversation: Conversation) -> None:
        may_answer.wait(PATIENCE_S)
        answer(200)(conversation)

    tls_receiver.will(answer_later)
    one_delivery(simulator.services, tls_receiver.url(""))
    tls_receiver.next_request()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(waited, simulator.app.test_client(), **wish)
        assert not waiting.done()
        may_answer.set()
        waiting.result(PATIENCE_S)
    assert delivery(simulator.services, 1).state is DeliveryState.DELIVERED


def test_an_idle_wait_names_what_waits_and_what_stands_still(
    simulator: Simulator, client: FlaskClient, tls_receiver: TlsReceiver
) -> None:
    tls_receiver.will(answer(503))
    one_delivery(simulator.services, tls_receiver.url(""))
    tls_receiver.next_request()
    simulator.services.player.freeze(ends_at=0)  # its outcome is recorded

    found = why_not(client, "idle")

    [one] = found["deliveries"]
    assert (one["trigger"], one["attempts"], one["last_status"]) == ("Customer Create", 1, 503)
    assert one["next_attempt_at"] == "2026-03-02T09:00:05Z"
    assert found["reasons"] == [
        "Delivery 1 (Customer Create of 10000000) waits for attempt 2 at 2026-03-02 09:00:05 UTC, "
        "in 5 s. The last one failed: The answer was 503; only 200 counts as received.",
        "The clock stands still at 2026-03-02 09:00:00 UTC. Advance it, or let it run.",
    ]
    assert found["detail"].startswith("Not idle within 0 s. Delivery 1 ")


def test_an_exhausted_delivery_is_idle_but_not_delivered(
    simulator: Simulator, client: FlaskClient, tls_receiver: TlsReceiver
) -> None:
    tls_receiver.close()
    one_delivery(simulator.services, tls_receiver.url(""))
    client.post("/_sim/clock/run-until-idle", json={})

    waited(client, "idle")
    found = why_not(client, "delivered", **CUSTOMER)

    assert found["reasons"][0].startswith(
        "Delivery 1 (Customer Create of 10000000) is exhausted after 8 attempts. Redeliver it. "
        f"The last one failed: 127.0.0.1:{tls_receiver.port} refused the connection."
    )


def test_paused_deliveries_are_a_reason(
    simulator: Simulator, client: FlaskClient, tls_receiver: TlsReceiver
) -> None:
    simulator.services.dispatcher.pause()
    one_delivery(simulator.services, tls_receiver.url(""))

    assert why_not(client, "delivered", delivery_id=1)["reasons"] == [
        "Delivery 1 (Customer Create of 10000000) is due: attempt 1 is to be sent now.",
        "Deliveries are paused. Resume them.",
    ]


def test_a_call_under_way_is_a_reason(
    simulator: Simulator, client: FlaskClient, tls_receiver: TlsReceiver
) -> None:
    tls_receiver.will(Conversation.hold)
    one_delivery(simulator.services, tls_receiver.url(""))
    tls_receiver.next_request()

    [reason] = why_not(client, "idle")["reasons"]

    assert reason == "Delivery 1 (Customer Create of 10000000): attempt 1 is under way."


def test_a_record_for_which_nothing_fired_says_why(
    simulator: Simulator, client: FlaskClient
) -> None:
    with simulator.services.sessions.begin() as session:
        create(session, Kind.CUSTOMER, MORNING)
        create(session, Kind.CUSTOMER, MORNING, Author(Origin.API, "ag1001"))

    assert why_not(client, "delivered", kind="Customer", record_id="10000000")["reasons"] == [
        "No trigger has fired for Customer 10000000: the box Customer Create of CRM Triggers has "
        "no URL."
    ]
    assert why_not(client, "delivered", kind="Customer", record_id="10000001")["reasons"] == [
        "No trigger has fired for Customer 10000001: its last change came by api, and only agents' "
        "changes fire."
    ]
    assert why_not(client, "delivered", kind="Case", record_id="7")["reasons"] == [
        "There is no Case 7, and there never was."
    ]
    assert why_not(client, "delivered", delivery_id=7)["reasons"] == ["There is no delivery 7."]


def test_a_record_is_fetched_once_its_present_version_was_read(
    simulator: Simulator, client: FlaskClient
) -> None:
    services = simulator.services
    with services.sessions.begin() as session:
        create(session, Kind.CUSTOMER, MORNING)
    found = why_not(client, "fetched", **CUSTOMER)
    assert found["reasons"][0] == (
        "Nobody has read Customer 10000000 over the CRM API since its version 1 "
        "(Create by agent, 2026-03-02 09:00:00 UTC)."
    )
    assert found["reasons"][-1] == "No CRM API request has come yet."

    encoded(client, "Customer", "GET", ("LASTNAME", "O'Brien"))  # a list counts as well
    waited(client, "fetched", **CUSTOMER)

    with services.sessions.begin() as session:
        changes.edit(session, Kind.CUSTOMER, "10000000", {"company": "X"}, AGENT, MORNING)
    found = why_not(client, "fetched", **CUSTOMER)
    assert "since its version 2 (Edit by agent" in found["reasons"][0]
    assert found["reasons"][-1].startswith("The last CRM API request was GET Customer, ")

    with services.sessions.begin() as session:
        changes.delete(session, Kind.CUSTOMER, "10000000", AGENT, MORNING)
    encoded(client, "Customer", "GET", ("ACCOUNTNUM", "10000000"))  # that it is gone was read
    waited(client, "fetched", **CUSTOMER)


def test_a_read_wakes_who_waits_for_it(simulator: Simulator) -> None:
    with simulator.services.sessions.begin() as session:
        create(session, Kind.CUSTOMER, MORNING)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(waited, simulator.app.test_client(), "fetched", **CUSTOMER)
        encoded(simulator.app.test_client(), "Customer", "GET", ("ACCOUNTNUM", "10000000"))
        waiting.result(PATIENCE_S)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "until"),
        ({"until": "happy"}, "until"),
        ({"until": "idle", "timeout_s": -1}, "timeout_s"),
        ({"until": "idle", "kind": "Case"}, "kind"),
        ({"until": "delivered"}, "kind"),
        ({"until": "delivered", "kind": "Case"}, "record_id"),
        ({"until": "delivered", "delivery_id": 1, **CUSTOMER}, "delivery_id"),
        ({"until": "fetched", "delivery_id": 1}, "delivery_id"),
        ({"until": "fetched", "kind": "Cases", "record_id": "1"}, "kind"),
    ],
)
def test_a_wish_that_makes_no_sense_names_the_field(
    client: FlaskClient, body: dict[str, Any], field: str
) -> None:
    response = client.post("/_sim/wait", json=body)
    assert (response.status_code, response.mimetype) == (422, "application/problem+json")
    assert [one["field"] for one in response.get_json()["errors"]] == [field]


def test_stopping_the_simulator_ends_every_wait(
    sim_settings: Settings, tls_receiver: TlsReceiver
) -> None:
    tls_receiver.will(Conversation.hold)
    simulator = Simulator(sim_settings).start()
    one_delivery(simulator.services, tls_receiver.url(""))
    tls_receiver.next_request()
    body = {"until": "idle", "timeout_s": 300}
    client = simulator.app.test_client()
    waiting = Thread(target=client.post, args=("/_sim/wait",), kwargs={"json": body})
    waiting.start()
    simulator.stop()
    waiting.join(PATIENCE_S)
    assert not waiting.is_alive()
