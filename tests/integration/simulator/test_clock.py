"""The clock over the control API: every attempt at its own instant, never backwards."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from flask.testing import FlaskClient

from simulator.server import Simulator
from simulator.settings import Settings
from simulator.triggers.models import DeliveryState
from simulator.triggers.urls import Kind
from tests.conftest import MORNING
from tests.local_crm import attempts, create, delivery, fill_boxes, one_delivery
from tests.tls_receiver import (
    PATIENCE_S,
    Conversation,
    Reply,
    TlsReceiver,
    answer,
)

# Seconds from the change to each attempt of the standard schedule.
SCHEDULE = [0, 5, 305, 2105, 9305, 27_305, 63_305, 99_305]
HOURS_30 = 30 * 3600
DAY_AFTER = MORNING + timedelta(hours=30)


@pytest.fixture
def simulator(sim_settings: Settings) -> Iterator[Simulator]:
    """A simulator that ticks, and whose clock stands still at MORNING."""
    settings = sim_settings.model_copy(update={"freeze_at": MORNING, "tick_s": 0.01})
    with Simulator(settings) as running:
        yield running


@pytest.fixture
def client(simulator: Simulator) -> FlaskClient:
    return simulator.app.test_client()


def clock(client: FlaskClient, verb: str, **body: Any) -> dict[str, Any]:
    """A move of the clock that must succeed."""
    response = client.post(f"/_sim/clock/{verb}", json=body)
    found: dict[str, Any] = response.get_json()
    assert response.status_code == 200, found
    return found


def refused(client: FlaskClient, verb: str, **body: Any) -> tuple[int, list[str], str]:
    """Status, fields and sentence of a move that is refused."""
    response = client.post(f"/_sim/clock/{verb}", json=body)
    assert response.mimetype == "application/problem+json"
    found = response.get_json()
    return found["status"], [one["field"] for one in found["errors"]], found["detail"]


def attempt_times_s(simulator: Simulator) -> list[float]:
    return [(a.started_at - MORNING).total_seconds() for a in attempts(simulator.services)]


def closed_port(tls_receiver: TlsReceiver) -> str:
    tls_receiver.close()
    return tls_receiver.url("")


def test_an_outage_of_30_hours_is_played_at_exact_times_then_healed(
    simulator: Simulator, client: FlaskClient, tls_receiver: TlsReceiver
) -> None:
    tls_receiver.will(*[answer(503)] * len(SCHEDULE))
    number = one_delivery(simulator.services, tls_receiver.url(""))

    moved = clock(client, "advance", by_s=HOURS_30)

    assert datetime.fromisoformat(moved["now"]) == DAY_AFTER
    assert (moved["idle"], moved["frozen"]) == (True, True)
    assert attempt_times_s(simulator) == SCHEDULE
    ended = [(a.finished_at - a.started_at).total_seconds() for a in attempts(simulator.services)]
    assert ended == [0] * len(SCHEDULE)
    assert delivery(simulator.services, number).state is DeliveryState.EXHAUSTED
    assert "exhausted" in client.get("/deliveries").get_data(as_text=True)

    page = client.get(f"/deliveries/{number}").get_data(as_text=True)
    token = page.split('name="csrf_token"')[1].split('value="')[1].split('"')[0]
    client.post(
        f"/deliveries/{number}/redeliver",
        data={"csrf_token": token},
        headers={"Referer": "https://localhost/"},
        base_url="https://localhost",
    )
    assert clock(client, "run-until-idle")["idle"]
    assert delivery(simulator.services, number).state is DeliveryState.DELIVERED
    assert attempts(simulator.services)[-1].started_at == DAY_AFTER


def test_each_of_many_deliveries_has_the_times_of_its_own_change(
    simulator: Simulator, client: FlaskClient, tls_receiver: TlsReceiver
) -> None:
    services = simulator.services
    with services.sessions.begin() as session:
        fill_boxes(session, closed_port(tls_receiver))
        create(session, Kind.CUSTOMER, services.clock.now())
    clock(client, "advance", by_s=7)
    with services.sessions.begin() as session:
        create(session, Kind.CUSTOMER, services.clock.now())

    clock(client, "run-until-idle")

    times: dict[int, list[float]] = {1: [], 2: []}
    for attempt in attempts(services):
        times[attempt.delivery_id].append((attempt.started_at - MORNING).total_seconds())
    assert times == {1: SCHEDULE, 2: [7 + seconds for seconds in SCHEDULE]}
    assert services.clock.now() == MORNING + timedelta(seconds=7 + SCHEDULE[-1])


def test_set_goes_to_an_instant_and_what_is_due_there_is_sent(
    simulator: Simulator, client: FlaskClient, tls_receiver: TlsReceiver
) -> None:
    one_delivery(simulator.services, closed_port(tls_receiver))

    clock(client, "set", at=(MORNING + timedelta(seconds=4)).isoformat())
    assert attempt_times_s(simulator) == [0]
    clock(client, "set", at=(MORNING + timedelta(seconds=5)).isoformat())
    assert attempt_times_s(simulator) == [0, 5]


def test_the_lease_of_a_dead_dispatcher_runs_out_on_the_way(
    sim_settings: Settings, tls_receiver: TlsReceiver
) -> None:
    settings = sim_settings.model_copy(update={"freeze_at": MORNING})
    with Simulator(settings, ticking=False) as simulator:
        one_delivery(simulator.services, tls_receiver.url(""))
        simulator.services.dispatcher.claim(limit=1)  # and never sent: killed here

        clock(simulator.app.test_client(), "advance", by_s=3600)

        assert attempt_times_s(simulator) == [settings.lease_s]


def test_a_running_clock_is_moved_and_runs_on(sim_settings: Settings) -> None:
    with Simulator(sim_settings) as simulator:
        client = simulator.app.test_client()
        before = simulator.services.clock.now()

        moved = clock(client, "advance", by_s=HOURS_30)

        assert not moved["frozen"]
        now = simulator.services.clock.now()
        assert timedelta(hours=30) < now - before < timedelta(hours=30, minutes=5)
        assert simulator.services.clock.now() > now


def test_a_resumed_clock_goes_on_from_where_it_stands(
    simulator: Simulator, client: FlaskClient
) -> None:
    clock(client, "advance", by_s=HOURS_30)

    assert not clock(client, "resume")["frozen"]

    now = simulator.services.clock.now()
    assert DAY_AFTER <= now < DAY_AFTER + timedelta(minutes=5)
    assert clock(client, "freeze")["frozen"]
    assert simulator.services.clock.now() == simulator.services.clock.now() >= now


def test_what_is_due_after_a_resume_is_sent_by_itself(
    simulator: Simulator, client: FlaskClient, tls_receiver: TlsReceiver
) -> None:
    tls_receiver.will(answer(500))
    one_delivery(simulator.services, tls_receiver.url(""))
    clock(client, "advance", by_s=4.99)

    clock(client, "resume")

    assert [tls_receiver.next_request().method for _ in range(2)] == ["GET", "GET"]


def test_freezing_at_a_later_instant_plays_until_then(
    sim_settings: Settings, tls_receiver: TlsReceiver
) -> None:
    with Simulator(sim_settings, ticking=False) as simulator:
        one_delivery(simulator.services, tls_receiver.url(""))
        at = simulator.services.clock.now() + timedelta(days=1)

        moved = clock(simulator.app.test_client(), "freeze", at=at.isoformat())

        assert (moved["frozen"], moved["attempts"]) == (True, 1)
        assert simulator.services.clock.now() == at


def test_a_clock_goes_no_step_backwards(simulator: Simulator, client: FlaskClient) -> None:
    earlier = (MORNING - timedelta(microseconds=1)).isoformat()

    for verb in ("set", "freeze"):
        status, fields, sentence = refused(client, verb, at=earlier)
        assert (status, fields) == (422, ["at"])
        assert sentence.startswith("A clock does not go backwards: it is 2026-03-02T09:00:00+00:00")
    assert simulator.services.clock.now() == MORNING


@pytest.mark.parametrize(
    ("verb", "body", "field"),
    [
        ("advance", {"by_s": -1}, "by_s"),
        ("advance", {"by_s": "soon"}, "by_s"),
        ("advance", {}, "by_s"),
        ("advance", {"by_s": 2.9e11}, "by_s"),
        ("advance", {"by_s": 1e300}, "by_s"),
        ("advance", {"by_s": 1, "timeout_s": -1}, "timeout_s"),
        ("set", {"at": "2026-03-02T09:00:00"}, "at"),
        ("set", {}, "at"),
        ("freeze", {"at": "tomorrow"}, "at"),
    ],
)
def test_what_cannot_be_done_names_the_field(
    client: FlaskClient, verb: str, body: dict[str, Any], field: str
) -> None:
    status, fields, _ = refused(client, verb, **body)
    assert (status, fields) == (422, [field])


def test_a_call_that_needs_to_say_nothing_needs_no_body(client: FlaskClient) -> None:
    for path in ("clock/freeze", "clock/run-until-idle", "seed", "silent/bulk-create"):
        assert client.post(f"/_sim/{path}").status_code == 200, path
    named = client.post("/_sim/clock/advance")
    assert (named.status_code, named.json["errors"][0]["field"]) == (422, "by_s")


def test_a_receiver_cannot_move_the_clock_that_is_being_moved(
    simulator: Simulator, client: FlaskClient, tls_receiver: TlsReceiver
) -> None:
    seen: list[tuple[int, list[str], str]] = []

    def move_it(conversation: Conversation) -> None:
        seen.append(refused(simulator.app.test_client(), "advance", by_s=1))
        answer(200)(conversation)

    tls_receiver.will(answer(500), move_it)  # the second comes when the clock is moved
    one_delivery(simulator.services, tls_receiver.url(""))

    clock(client, "advance", by_s=5)

    [(status, _, sentence)] = seen
    assert status == 409
    assert "being moved by another call" in sentence


def test_a_tick_in_the_middle_of_a_move_begins_nothing(
    simulator: Simulator, client: FlaskClient, tls_receiver: TlsReceiver
) -> None:
    services = simulator.services
    begun: list[int] = []

    def change_and_tick(conversation: Conversation) -> None:
        with services.sessions.begin() as session:
            create(session, Kind.CUSTOMER, services.clock.now())
        begun.append(len(services.dispatcher.begin_due()))
        answer(200)(conversation)

    tls_receiver.will(answer(500), change_and_tick)
    one_delivery(services, tls_receiver.url(""))

    assert clock(client, "advance", by_s=5)["attempts"] >= 2
    assert begun == [0]
    assert attempt_times_s(simulator) == [0, 5, 5]


def test_while_deliveries_are_paused_time_goes_by_and_nothing_is_sent(
    simulator: Simulator, client: FlaskClient, tls_receiver: TlsReceiver
) -> None:
    simulator.services.dispatcher.pause()
    one_delivery(simulator.services, tls_receiver.url(""))

    assert clock(client, "run-until-idle") == {
        "now": MORNING.isoformat().replace("+00:00", "Z"),
        "frozen": True,
        "attempts": 0,
        "idle": False,
    }
    assert clock(client, "advance", by_s=60)["attempts"] == 0
    simulator.services.dispatcher.resume()
    clock(client, "run-until-idle")
    assert attempt_times_s(simulator) == [60]


def test_a_move_that_takes_too_long_says_how_far_it_came(
    simulator: Simulator, client: FlaskClient, tls_receiver: TlsReceiver
) -> None:
    one_delivery(simulator.services, closed_port(tls_receiver))

    status, fields, sentence = refused(client, "advance", by_s=HOURS_30, timeout_s=0)

    assert (status, fields) == (503, ["timeout_s"])
    assert "as far as 2026-03-02T09:00:00+00:00" in sentence


@pytest.mark.parametrize("reply", [Conversation.hold])
def test_stopping_ends_a_move_that_is_under_way(
    sim_settings: Settings, tls_receiver: TlsReceiver, reply: Reply
) -> None:
    settings = sim_settings.model_copy(update={"freeze_at": MORNING})
    tls_receiver.will(*[reply] * 10)
    with Simulator(settings) as simulator:
        one_delivery(simulator.services, tls_receiver.url(""))
        client = simulator.app.test_client()
        moving = Thread(
            target=client.post, args=("/_sim/clock/run-until-idle",), kwargs={"json": {}}
        )
        moving.start()
        tls_receiver.next_request()
        simulator.stop()
        moving.join(PATIENCE_S)
        assert not moving.is_alive()
