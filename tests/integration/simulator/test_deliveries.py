"""From an agent's change to the receiver's socket: retried until 200, never lost."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from threading import Barrier, Thread

import pytest
from sqlalchemy import func, select

from simulator.chance import Chance
from simulator.clock import ManualClock
from simulator.db import open_database, session_factory
from simulator.server import Simulator
from simulator.services import Services
from simulator.settings import Settings
from simulator.triggers import outbox
from simulator.triggers.backoff import POLICIES
from simulator.triggers.dispatcher import Dispatcher
from simulator.triggers.models import Delivery, DeliveryState
from simulator.triggers.outcome import Outcome
from simulator.triggers.urls import Kind
from tests.conftest import MORNING
from tests.local_crm import attempts, create, delivery, fill_boxes, one_delivery
from tests.tls_receiver import (
    PATIENCE_S,
    Conversation,
    Reply,
    TlsReceiver,
    answer,
    drip_in,
    drip_in_handshake,
)

CREATED = "/customer/create?AccountID=10000000"


def dispatcher_with(
    services: Services, send: Callable[[str], Outcome], concurrency: int = 8
) -> Dispatcher:
    """A dispatcher on the simulator's database with a sender of its own and exact delays."""
    policy = replace(POLICIES["standard"], jitter=0)
    return Dispatcher(
        services.sessions,
        services.clock,
        send,
        policy,
        Chance("1"),
        lease_s=60,
        concurrency=concurrency,
    )


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (answer(201), "The answer was 201; only 200 counts as received."),
        (answer(204), "The answer was 204; only 200 counts as received."),
        (
            answer(302, Location="/"),
            "The answer was 302; only 200 counts as received. Redirects are not followed.",
        ),
        (answer(500), "The answer was 500; only 200 counts as received."),
        (drip_in_handshake(), "No TLS handshake within 0.3 s; the call was given up."),
        (Conversation.hold, "No complete answer within 0.3 s; the call was given up."),
        (drip_in("body"), "No complete answer within 0.3 s; the call was given up."),
    ],
    ids=["201", "204", "302", "500", "handshake drips", "timeout", "body drips"],
)
def test_what_is_not_a_whole_200_is_retried_after_5_s(
    sim_settings: Settings,
    clock: ManualClock,
    tls_receiver: TlsReceiver,
    reply: Reply,
    sentence: str,
) -> None:
    settings = sim_settings.model_copy(update={"trigger_timeout_s": 0.3})
    tls_receiver.will(reply)
    with Simulator(settings, clock=clock, ticking=False) as simulator:
        services = simulator.services
        number = one_delivery(services, tls_receiver.url(""))
        assert services.dispatcher.run_once() == 1
        assert delivery(services, number).next_attempt_at == MORNING + timedelta(seconds=5)
        assert services.dispatcher.run_once() == 0  # not due yet
        clock.advance(timedelta(seconds=5))
        assert services.dispatcher.run_once() == 1
        assert delivery(services, number).state is DeliveryState.DELIVERED
        assert [attempt.error for attempt in attempts(services)] == [sentence, None]
    assert tls_receiver.requests[-1].target == CREATED


def test_a_refused_connection_is_retried_until_someone_listens(
    simulator: Simulator, clock: ManualClock, tls_receiver: TlsReceiver
) -> None:
    services = simulator.services
    tls_receiver.close()
    number = one_delivery(services, tls_receiver.url(""))
    services.dispatcher.run_once()
    [attempt] = attempts(services)
    assert attempt.error == f"127.0.0.1:{tls_receiver.port} refused the connection."
    assert (attempt.number, attempt.status) == (1, None)
    assert delivery(services, number).state is DeliveryState.WAITING


def test_a_url_arrives_at_the_receivers_socket_byte_for_byte(
    simulator: Simulator, tls_receiver: TlsReceiver
) -> None:
    services = simulator.services
    with services.sessions.begin() as session:
        fill_boxes(session, tls_receiver.url("/8x8/s%2Fcret~?tenant=a%20b"))
        case = create(
            session, Kind.CASE, MORNING, accountnum=create(session, Kind.CUSTOMER, MORNING)
        )
        create(session, Kind.FOLLOWUP, MORNING, casenum=case)
        wanted = {
            url.split(str(tls_receiver.port))[1] for url in session.scalars(select(Delivery.url))
        }
    services.dispatcher.run_once()
    assert {request.target for request in tls_receiver.requests} == wanted
    assert len(wanted) == 3


def test_a_delivery_killed_between_send_and_record_is_sent_again(
    simulator: Simulator, clock: ManualClock, tls_receiver: TlsReceiver
) -> None:
    services = simulator.services
    number = one_delivery(services, tls_receiver.url(""))
    [claimed] = services.dispatcher.claim(limit=1)
    assert services.dispatcher.send(claimed).delivered
    # killed here: what came of it is never recorded

    survivor = dispatcher_with(services, services.sender.send)
    assert survivor.run_once() == 0  # the dead one's lease still stands
    clock.advance(timedelta(seconds=simulator.settings.lease_s))
    assert survivor.run_once() == 1
    survivor.close()
    assert [request.target for request in tls_receiver.requests] == [CREATED, CREATED]
    assert delivery(services, number).state is DeliveryState.DELIVERED


def test_a_delivery_outlives_the_process_that_committed_it(
    sim_settings: Settings, clock: ManualClock, tls_receiver: TlsReceiver
) -> None:
    with Simulator(sim_settings, clock=clock, ticking=False) as simulator:
        number = one_delivery(simulator.services, tls_receiver.url(""))
    with Simulator(sim_settings, clock=clock, ticking=False) as simulator:
        assert simulator.services.dispatcher.run_once() == 1
        assert delivery(simulator.services, number).state is DeliveryState.DELIVERED
    assert [request.target for request in tls_receiver.requests] == [CREATED]


def test_the_standard_schedule_over_27_h_35_min_then_exhausted_then_redelivered(
    simulator: Simulator, clock: ManualClock
) -> None:
    services = simulator.services
    status = 500
    calls_s: list[float] = []

    def send(url: str) -> Outcome:
        calls_s.append((clock.now() - MORNING).total_seconds())
        return Outcome(status, None if status == 200 else "The answer was 500.", "", 0.0)

    dispatcher = dispatcher_with(services, send)
    number = one_delivery(services, "https://crm.example.com")
    microsecond = timedelta(microseconds=1)
    while next_at := delivery(services, number).next_attempt_at:
        if next_at > clock.now():
            clock.advance(next_at - clock.now() - microsecond)
            assert dispatcher.run_once() == 0  # a microsecond early is not due
            clock.advance(microsecond)
        assert dispatcher.run_once() == 1

    assert calls_s == [0, 5, 305, 2105, 9305, 27_305, 63_305, 99_305]
    assert timedelta(seconds=calls_s[-1]) == timedelta(hours=27, minutes=35, seconds=5)
    assert delivery(services, number).state is DeliveryState.EXHAUSTED
    clock.advance(timedelta(days=30))
    assert dispatcher.run_once() == 0

    status = 200
    with services.sessions.begin() as session:
        assert outbox.redeliver(session, number, clock.now())
    assert dispatcher.run_once() == 1
    settled = delivery(services, number)
    assert (settled.state, settled.attempt_count) == (DeliveryState.DELIVERED, 9)
    assert [attempt.number for attempt in attempts(services)] == list(range(1, 10))
    dispatcher.close()


def test_two_dispatchers_never_claim_the_same_delivery(simulator: Simulator) -> None:
    services = simulator.services
    with services.sessions.begin() as session:
        fill_boxes(session, "https://crm.example.com")
        for _ in range(60):
            create(session, Kind.CUSTOMER, MORNING)
    taken: dict[str, list[int]] = {"one": [], "two": [], "three": []}
    start = Barrier(len(taken))

    def claim_all(owner: str) -> None:
        engine = open_database(simulator.settings.database_path)  # as another process would
        sessions = session_factory(engine)
        start.wait(PATIENCE_S)
        while True:
            with sessions.begin() as session:
                claimed = outbox.claim_due(session, MORNING, 2, 60, owner)
            if not claimed:
                break
            taken[owner] += [one.id for one in claimed]
        engine.dispose()

    threads = [Thread(target=claim_all, args=(owner,)) for owner in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(itertools.chain(*taken.values())) == list(range(1, 61))


def test_no_more_calls_are_under_way_than_allowed(
    simulator: Simulator, tls_receiver: TlsReceiver
) -> None:
    services = simulator.services
    with services.sessions.begin() as session:
        fill_boxes(session, tls_receiver.url(""))
        for _ in range(5):
            create(session, Kind.CUSTOMER, MORNING)
    dispatcher = dispatcher_with(services, services.sender.send, concurrency=3)
    assert [dispatcher.run_once() for _ in range(3)] == [3, 2, 0]
    dispatcher.close()
    assert len(tls_receiver.requests) == 5


def test_one_that_hangs_does_not_hold_up_the_others(
    sim_settings: Settings, tls_receiver: TlsReceiver
) -> None:
    settings = sim_settings.model_copy(update={"tick_s": 3600, "trigger_concurrency": 2})
    tls_receiver.will(Conversation.hold)
    with Simulator(settings) as simulator:
        services = simulator.services
        one_delivery(services, tls_receiver.url(""))
        tls_receiver.next_request()
        with services.sessions.begin() as session:
            for _ in range(4):
                create(session, Kind.CUSTOMER, services.clock.now())
        later = {tls_receiver.next_request().target for _ in range(4)}
        assert later == {f"/customer/create?AccountID=1000000{n}" for n in range(1, 5)}


def test_a_commit_wakes_the_dispatcher_without_a_tick(
    sim_settings: Settings, tls_receiver: TlsReceiver
) -> None:
    with Simulator(sim_settings.model_copy(update={"tick_s": 3600})) as simulator:
        one_delivery(simulator.services, tls_receiver.url(""))
        assert tls_receiver.next_request().target == CREATED
        with simulator.services.sessions.begin() as session:
            create(session, Kind.CUSTOMER, simulator.services.clock.now())
        assert tls_receiver.next_request().target == "/customer/create?AccountID=10000001"


def test_what_becomes_due_is_found_by_a_tick(
    sim_settings: Settings, clock: ManualClock, tls_receiver: TlsReceiver
) -> None:
    hour = timedelta(hours=1)
    with Simulator(sim_settings.model_copy(update={"tick_s": 0.01}), clock=clock) as simulator:
        with simulator.services.sessions.begin() as session:
            fill_boxes(session, tls_receiver.url(""))
            create(session, Kind.CUSTOMER, MORNING + hour)
        clock.advance(hour)  # wakes nobody
        assert tls_receiver.next_request().target == CREATED


def test_stopping_cuts_off_the_call_under_way_and_records_it(
    sim_settings: Settings, tls_receiver: TlsReceiver
) -> None:
    tls_receiver.will(Conversation.hold)
    with Simulator(sim_settings) as simulator:
        number = one_delivery(simulator.services, tls_receiver.url(""))
        tls_receiver.next_request()
    with Simulator(sim_settings, ticking=False) as simulator:
        [attempt] = attempts(simulator.services)
        assert attempt.error == "The simulator was stopped during the call."
        waiting = delivery(simulator.services, number)
        assert (waiting.state, waiting.lease_owner) == (DeliveryState.WAITING, None)


def test_a_change_that_is_rolled_back_sends_nothing(
    simulator: Simulator, tls_receiver: TlsReceiver
) -> None:
    services = simulator.services
    with pytest.raises(KeyboardInterrupt), services.sessions.begin() as session:
        fill_boxes(session, tls_receiver.url(""))
        create(session, Kind.CUSTOMER, MORNING)
        raise KeyboardInterrupt
    assert services.dispatcher.run_once() == 0
    with services.sessions() as session:
        assert session.scalar(select(func.count()).select_from(Delivery)) == 0
