"""Deliveries over the control API: looked at, sent again one by one or many, held back."""

import pytest

from simulator.server import Simulator
from tests.integration.simulator.control import Caller
from tests.tls_receiver import TlsReceiver, answer


@pytest.fixture
def call(simulator: Simulator, tls_receiver: TlsReceiver) -> Caller:
    """Three customers' deliveries: delivered, waiting after a 500, waiting without an attempt."""
    call = Caller.of(simulator)
    call("PUT", "/triggers", all=tls_receiver.url("/hook?secret=s"))
    tls_receiver.will(answer(200, "thanks"), answer(500, "down"))
    for _ in range(3):
        call("POST", "/agent/customers", values={"firstname": "Ada", "lastname": "Byron"})
        if len(tls_receiver.requests) < 2:
            simulator.services.dispatcher.run_once()
    return call


def ids(call: Caller, query: str) -> list[int]:
    found = call("GET", f"/deliveries?{query}")
    return [one["id"] for one in found["deliveries"]]


def test_a_delivery_shows_its_attempts(call: Caller) -> None:
    delivery = call("GET", "/deliveries/2")

    assert delivery["state"] == "waiting"
    [attempt] = delivery["attempts"]
    assert (attempt["number"], attempt["status"], attempt["reply_excerpt"]) == (1, 500, "down")
    assert "only 200 counts" in attempt["error"]
    assert delivery["next_attempt_at"] == "2026-03-02T09:00:05Z"


def test_deliveries_are_filtered_and_paged(call: Caller) -> None:
    assert ids(call, "state=waiting") == [2, 3]
    assert ids(call, "kind=Customer&event=Create&record_id=10000001") == [2]
    assert ids(call, "event=Edit") == []
    assert ids(call, "limit=2") == [1, 2]
    assert ids(call, "limit=2&after=2") == [3]
    assert call("GET", "/deliveries?limit=1")["total"] == 3


@pytest.mark.parametrize(
    ("query", "named"),
    [("state=lost", "state"), ("kind=case", "kind"), ("limit=0", "limit"), ("after=-1", "after")],
)
def test_a_wrong_filter_is_named(call: Caller, query: str, named: str) -> None:
    assert call.refused(422, "GET", f"/deliveries?{query}")["named"] == [named]


def test_one_is_sent_again(call: Caller, simulator: Simulator, tls_receiver: TlsReceiver) -> None:
    assert call("POST", "/deliveries/1/redeliver")["state"] == "waiting"
    while simulator.services.dispatcher.run_once():
        pass

    assert call("GET", "/deliveries/1")["attempt_count"] == 2
    refusal = call.refused(409, "POST", "/deliveries/2/redeliver")
    assert refusal["named"] == ["delivery_id"]
    assert call.refused(404, "POST", "/deliveries/9/redeliver")["named"] == ["delivery_id"]


def test_many_are_counted_first_and_then_sent_again(call: Caller, simulator: Simulator) -> None:
    simulator.services.dispatcher.run_once()  # delivery 3
    counted = call("POST", "/deliveries/redeliver", kind="Customer", dry_run=True)
    assert counted == {"count": 2, "delivery_ids": [1, 3]}
    assert ids(call, "state=delivered") == [1, 3]

    refusal = call.refused(409, "POST", "/deliveries/redeliver", kind="Customer", expected=3)
    assert refusal["named"] == ["expected"]
    assert ids(call, "state=delivered") == [1, 3]

    assert call("POST", "/deliveries/redeliver", kind="Customer", expected=2)["count"] == 2
    assert ids(call, "state=delivered") == []


def test_nothing_is_sent_while_paused(call: Caller, simulator: Simulator) -> None:
    assert call("POST", "/deliveries/pause") == {"paused": True}
    assert simulator.services.dispatcher.run_once() == 0
    assert call("GET", "/deliveries")["paused"]
    assert call("POST", "/deliveries/resume") == {"paused": False}
    assert simulator.services.dispatcher.run_once() == 1
