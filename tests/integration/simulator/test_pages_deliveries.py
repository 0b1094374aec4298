"""The table of deliveries, a delivery with its attempts, and the redeliver button."""

from datetime import timedelta

import pytest

from simulator.chance import Chance
from simulator.clock import ManualClock
from simulator.db import read_session
from simulator.services import Services
from simulator.triggers import outbox
from simulator.triggers.backoff import policy_named
from simulator.triggers.models import Delivery, DeliveryState
from simulator.triggers.outcome import Outcome
from tests.forms import Browser

URL = "https://crm.example.com/customer"


@pytest.fixture(autouse=True)
def one_delivery(browser: Browser) -> None:
    """An agent created a customer; its trigger waits in the outbox."""
    browser.submit("/config/integration/crm-triggers", customer_create=URL)
    browser.submit("/agent/customers/new", firstname="Ada", lastname="Byron")


def attempt(services: Services, clock: ManualClock, outcome: Outcome) -> None:
    """What the dispatcher does with a delivery that is due, without the network."""
    policy = policy_named("standard", 0)
    with services.sessions.begin() as session:
        (claimed,) = outbox.claim_due(session, clock.now(), 10, 60, "test")
    with services.sessions.begin() as session:
        outbox.record(session, claimed, outcome, policy, Chance("1"), clock.now())


def state(services: Services) -> DeliveryState:
    """Where the delivery stands."""
    with read_session(services.engine) as session:
        return session.get_one(Delivery, 1).state


def test_the_table_shows_a_waiting_delivery(browser: Browser) -> None:
    page = browser.get("/deliveries")
    cells = [cell.text_content().strip() for cell in page.document.xpath("//tbody//td")]
    assert cells == [
        "1",
        "waiting",
        "Customer Create",
        "10000000",
        f"{URL}?AccountID=10000000",
        "0",
        "now 2026-03-02 09:00:00 UTC",
    ]
    assert {"/deliveries/1", "/agent/customers/10000000"} <= set(page.links)
    assert b"<wbr>?AccountID=10000000</code>" in page.content  # broken there, not in the id


def test_a_delivery_shows_every_attempt(
    browser: Browser, services: Services, clock: ManualClock
) -> None:
    attempt(
        services,
        clock,
        Outcome(500, "The receiver answered 500.", "<b>boom</b>", 1234.5, method="GET"),
    )
    clock.advance(timedelta(seconds=5))
    attempt(services, clock, Outcome(None, "crm.example.com refused the connection.", "", 2.0))
    page = browser.get("/deliveries/1")
    rows = [
        [cell.text_content().strip() for cell in row.xpath("./td")]
        for row in page.document.xpath("//tbody/tr")
    ]
    assert rows == [
        [
            "1",
            "2026-03-02 09:00:00 UTC",
            "2026-03-02 09:00:00 UTC",
            f"GET {URL}?AccountID=10000000",
            "500",
            "The receiver answered 500.",
            "<b>boom</b>",
            "1234 ms",
        ],
        [
            "2",
            "2026-03-02 09:00:05 UTC",
            "2026-03-02 09:00:05 UTC",
            "none was sent",
            "none",
            "crm.example.com refused the connection.",
            "",
            "2 ms",
        ],
    ]
    assert "2026-03-02 09:05:05 UTC" in page.text  # the next attempt
    assert "It is sent by itself when it is due." in page.text


def test_a_delivered_trigger_can_be_sent_again(
    browser: Browser, services: Services, clock: ManualClock
) -> None:
    attempt(services, clock, Outcome(200, None, "ok", 3.0))
    assert state(services) is DeliveryState.DELIVERED
    page = browser.get("/deliveries/1")
    assert "The receiver answered with 200: delivered." in page.text
    page = browser.submit("/deliveries/1", action="/deliveries/1/redeliver")
    assert page.path == "/deliveries/1"
    assert page.flashes == ["Delivery 1 is due again now."]
    assert state(services) is DeliveryState.WAITING


def test_a_waiting_delivery_is_not_sent_twice_by_the_button(
    browser: Browser, services: Services, clock: ManualClock
) -> None:
    attempt(services, clock, Outcome(200, None, "ok", 3.0))
    form = browser.get("/deliveries/1")
    browser.send(form, action="/deliveries/1/redeliver")
    page = browser.send(form, action="/deliveries/1/redeliver")
    assert page.flashes == ["Delivery 1 still waits for its next attempt by itself."]


def test_deliveries_are_filtered_by_state_and_record(
    browser: Browser, services: Services, clock: ManualClock
) -> None:
    attempt(services, clock, Outcome(200, None, "ok", 3.0))
    browser.submit("/agent/customers/new", firstname="B", lastname="B")
    browser.submit("/agent/customers/new", firstname="C", lastname="C")
    assert _shown(browser, "/deliveries") == ["3", "2", "1"]
    assert _shown(browser, "/deliveries?state=waiting") == ["3", "2"]
    assert _shown(browser, "/deliveries?state=delivered") == ["1"]
    assert _shown(browser, "/deliveries?state=exhausted") == []
    assert _shown(browser, "/deliveries?kind=Customer&record_id=10000001") == ["2"]
    assert _shown(browser, "/deliveries?event=Create&state=delivered") == ["1"]
    assert _shown(browser, "/deliveries?event=Delete") == []
    assert _shown(browser, "/deliveries?state=nonsense&kind=&event=x") == ["3", "2", "1"]


def test_the_wait_for_the_next_attempt_is_counted_down(
    browser: Browser, services: Services, clock: ManualClock
) -> None:
    attempt(services, clock, Outcome(500, "The answer was 500.", "", 3.0))
    clock.advance(timedelta(seconds=5))
    attempt(services, clock, Outcome(500, "The answer was 500.", "", 3.0))
    assert "in 5 min" in browser.get("/deliveries").text
    clock.advance(timedelta(seconds=40))
    assert "in 4 min 20 s" in browser.get("/deliveries/live").text
    assert "Next attempt: in 4 min 20 s" in browser.get("/deliveries/1/live").text
    clock.advance(timedelta(minutes=5))
    assert "Next attempt: now" in browser.get("/deliveries/1/live").text


def test_an_attempt_that_is_on_its_way_is_not_shown_as_overdue(
    browser: Browser, services: Services, clock: ManualClock
) -> None:
    with services.sessions.begin() as session:
        outbox.claim_due(session, clock.now(), 10, 60, "test")
    clock.advance(timedelta(seconds=2))
    assert "Next attempt: under way" in browser.get("/deliveries/1/live").text


def test_the_live_parts_are_what_the_pages_show(browser: Browser) -> None:
    for address in (
        "/deliveries?kind=Customer",
        "/deliveries/1",
        "/deliveries/events?what=boxes-saved",
        "/deliveries/journal",
        "/deliveries/faults",
    ):
        parts = browser.get(address).document.xpath("//*[@data-live]")
        assert parts, address
        for part in parts:
            live = browser.get(part.get("data-live"))
            assert live.status == 200
            assert live.text == " ".join(part.text_content().split())
            assert live.document.xpath("//html/head/title") == []


def test_the_states_are_counted_and_lead_to_their_deliveries(
    browser: Browser, services: Services, clock: ManualClock
) -> None:
    attempt(services, clock, Outcome(200, None, "ok", 3.0))
    page = browser.get("/deliveries?kind=Customer")
    assert "all 1 waiting 0 delivered 1 exhausted 0" in page.text
    assert "/deliveries?state=delivered&kind=Customer" in page.links


def test_a_test_trigger_calls_a_box_for_a_record_that_exists(browser: Browser) -> None:
    page = browser.submit("/deliveries/test", box="customer_create", record_id=" 10000000 ")
    assert page.path == "/deliveries/2"
    assert page.flashes == ["Delivery 2 is due now."]
    assert "Customer Create (a test: no record changed)" in page.text
    assert f"GET {URL}?AccountID=10000000" in page.text
    assert "Customer Create (test)" in browser.get("/deliveries").text


@pytest.mark.parametrize(
    ("record_id", "sentence"),
    [
        ("", "Type the number of a record."),
        ("7", "There is no Customer 7. Type the number of one that exists."),
        ("<b>", "There is no Customer <b>. Type the number of one that exists."),
    ],
)
def test_a_test_trigger_needs_a_record(browser: Browser, record_id: str, sentence: str) -> None:
    page = browser.submit("/deliveries/test", box="customer_create", record_id=record_id)
    assert page.status == 422
    assert page.problem("record_id") == sentence
    assert _shown(browser, "/deliveries") == ["1"]


def test_a_test_trigger_goes_only_to_boxes_with_a_url(browser: Browser) -> None:
    (box,) = browser.get("/deliveries/test").document.xpath("//select[@name='box']")
    assert list(box.value_options) == ["customer_create"]
    browser.submit("/config/integration/crm-triggers", customer_create="")
    assert "No box has a URL yet." in browser.get("/deliveries/test").text


def test_a_delivery_says_that_its_record_is_gone(browser: Browser) -> None:
    browser.submit("/agent/customers/10000000/delete")
    assert "(it does not exist any more)" in browser.get("/deliveries/1").text


@pytest.mark.parametrize("number", ["2", "99999999999999999999999"])
def test_a_delivery_that_is_none_is_a_page_with_a_sentence(browser: Browser, number: str) -> None:
    page = browser.get(f"/deliveries/{number}")
    assert page.status == 404
    assert f"There is no delivery {number}." in page.text
    token = browser.get("/agent/cases").document.xpath("//input[@name='csrf_token']/@value")[0]
    page = browser.post(f"/deliveries/{number}/redeliver", [("csrf_token", str(token))])
    assert page.status == 404


def _shown(browser: Browser, path: str) -> list[str]:
    rows = browser.get(path).document.xpath("//tbody/tr/td[1]")
    return [str(cell.text_content()).strip() for cell in rows]
