"""Beside the deliveries: the clock, sending, faults, events and the journal, without JavaScript."""

from collections.abc import Iterator

import pytest

from simulator.server import Simulator
from simulator.settings import Settings
from tests.conftest import MORNING
from tests.crm_api_clients import KEY_HEADERS, command
from tests.forms import Browser, Page
from tests.integration.simulator.control import Caller
from tests.local_crm import one_delivery
from tests.tls_receiver import TlsReceiver, answer

TOKEN = "let-me-in"


@pytest.fixture
def simulator(sim_settings: Settings) -> Iterator[Simulator]:
    """Its clock stands still in the morning; it sends when the clock is moved."""
    settings = sim_settings.model_copy(update={"freeze_at": MORNING})
    with Simulator(settings, ticking=False) as running:
        yield running


@pytest.fixture
def call(simulator: Simulator) -> Caller:
    return Caller.of(simulator)


@pytest.fixture
def browser(simulator: Simulator) -> Browser:
    return Browser.of(simulator.app.test_client())


def press(browser: Browser, page: Page, text: str) -> Page:
    """Press a button that belongs to the form of the page's live part."""
    (form,) = page.document.xpath("//form[@id='instruments']")
    (address,) = page.document.xpath(
        "//button[@form='instruments' and (normalize-space()=$text or @aria-label=$text)]"
        "/@formaction",
        text=text,
    )
    return browser.post(str(address), list(form.form_values()), referer=page.url)


def rows(page: Page) -> list[list[str]]:
    return [
        [" ".join(cell.text_content().split()) for cell in row.xpath("./td")]
        for row in page.document.xpath("//tbody/tr")
    ]


def test_the_clock_is_resumed_and_frozen(browser: Browser, call: Caller) -> None:
    page = browser.get("/deliveries")
    assert "2026-03-02 09:00:00 UTC frozen" in page.text
    page = press(browser, page, "Resume the clock")
    assert page.path == "/deliveries"
    assert page.flashes == ["The clock runs."]
    assert call("GET", "/clock")["frozen"] is False
    press(browser, page, "Freeze the clock")
    assert call("GET", "/clock")["frozen"] is True


def test_advancing_the_clock_sends_what_is_due_on_the_way(
    browser: Browser, simulator: Simulator, tls_receiver: TlsReceiver
) -> None:
    tls_receiver.will(answer(503), answer(503))
    one_delivery(simulator.services, tls_receiver.url(""))
    page = browser.submit("/deliveries", action="/deliveries/clock/advance", by="0.5", unit="h")
    assert page.flashes == ["The clock got to 2026-03-02 09:30:00 UTC, with 3 attempts."]
    assert [row[1] for row in rows(page)] == ["delivered"]


def test_run_until_idle_plays_the_whole_schedule(
    browser: Browser, simulator: Simulator, tls_receiver: TlsReceiver
) -> None:
    one_delivery(simulator.services, tls_receiver.url(""))
    tls_receiver.close()
    page = press(browser, browser.get("/deliveries"), "Run until idle")
    (flash,) = page.flashes
    assert flash.startswith("The clock got to 2026-03-03 12:35:05 UTC, with 8 attempts.")
    assert [row[1] for row in rows(page)] == ["exhausted"]


@pytest.mark.parametrize(
    ("by", "sentence"),
    [
        ("-1", "A clock does not go backwards: give a span of 0 or more."),
        ("soon", "Type a number of 0 or more, such as 30 or 1.5."),
        ("", "Type a number of 0 or more, such as 30 or 1.5."),
        ("nan", "Type a number of 0 or more, such as 30 or 1.5."),
        ("1e300", "The span leads beyond the year 9999."),
        ("9e9", "The span leads beyond the year 9999."),
    ],
)
def test_a_span_that_makes_no_sense_is_refused_beside_its_field(
    browser: Browser, call: Caller, by: str, sentence: str
) -> None:
    page = browser.submit("/deliveries", action="/deliveries/clock/advance", by=by)
    assert (page.status, page.problem("by"), page.value("by")) == (422, sentence, by)
    assert call("GET", "/clock")["now"] == "2026-03-02T09:00:00Z"


def test_sending_is_paused_and_resumed(
    browser: Browser, simulator: Simulator, tls_receiver: TlsReceiver
) -> None:
    one_delivery(simulator.services, tls_receiver.url(""))
    page = press(browser, browser.get("/deliveries"), "Pause sending")
    assert "paused Nothing is sent." in page.text
    browser.submit("/deliveries", action="/deliveries/clock/advance", by="1")
    assert tls_receiver.requests == []
    page = press(browser, browser.get("/deliveries"), "Resume sending")
    browser.submit("/deliveries", action="/deliveries/clock/advance", by="1")
    assert len(tls_receiver.requests) == 1


def test_a_fault_is_added_hits_and_is_cleared(
    browser: Browser, call: Caller, simulator: Simulator, tls_receiver: TlsReceiver
) -> None:
    page = browser.submit("/deliveries/faults/new/lose_answer", kind="Customer", first="2")
    assert page.path == "/deliveries/faults"
    assert page.flashes == ["Fault 1 (lose_answer) is in force."]
    (fault,) = call("GET", "/faults")["faults"]
    assert (fault["fault"]["kind"], fault["fault"]["first"]) == ("Customer", 2)
    assert fault["fault"]["times"] is None

    one_delivery(simulator.services, tls_receiver.url(""))
    page = browser.submit("/deliveries", action="/deliveries/clock/advance", by="1", unit="s")
    assert "lose_answer number 1, on triggers kind Customer, first 2, hit 1 of 1 calls" in page.text

    (attempt,) = rows(browser.get("/deliveries/1"))
    url = tls_receiver.url("/customer/create?AccountID=10000000")
    assert attempt[3:5] == [f"GET {url} lose_answer", "none"]

    page = press(browser, page, "Clear fault 1")
    assert page.flashes == ["Fault 1 is cleared."]
    assert "Nothing is broken on purpose." in page.text
    assert call("GET", "/faults")["faults"] == []


def test_all_faults_are_cleared_at_once(browser: Browser, call: Caller) -> None:
    for fault in ("storm", "timeout"):
        call("POST", "/faults", fault=fault)
    page = press(browser, browser.get("/deliveries/faults"), "Clear all faults")
    assert (page.path, page.flashes) == ("/deliveries/faults", ["2 faults in force cleared."])
    assert call("GET", "/faults")["faults"] == []


def test_every_fault_can_be_added_as_its_form_stands(browser: Browser, call: Caller) -> None:
    kinds = [kind["fault"] for kind in call("GET", "/faults/kinds")["kinds"]]
    for kind in kinds:
        assert browser.submit(f"/deliveries/faults/new/{kind}").path == "/deliveries/faults", kind
    assert [one["fault"]["fault"] for one in call("GET", "/faults")["faults"]] == kinds


@pytest.mark.parametrize(
    ("field", "text", "sentence"),
    [
        ("stale_s", "-1", "It must be greater than 0."),
        ("stale_s", "long", "Type a number."),
        ("probability", "2", "It must be less than or equal to 1."),
        ("nth", "0", "It must be greater than or equal to 1."),
        ("record", "9" * 65, "It must have at most 64 characters."),
    ],
)
def test_a_parameter_that_is_wrong_is_refused_beside_its_field(
    browser: Browser, call: Caller, field: str, text: str, sentence: str
) -> None:
    page = browser.submit("/deliveries/faults/new/stale_read", **{field: text})
    assert (page.status, page.problem(field), page.value(field)) == (422, sentence, text)
    assert call("GET", "/faults")["faults"] == []


def test_a_fault_that_does_not_exist_is_a_page_with_a_sentence(browser: Browser) -> None:
    page = browser.get("/deliveries/faults/new/earthquake")
    assert page.status == 404
    assert "There is no fault earthquake." in page.text


def test_events_are_listed_latest_first_with_their_digest(
    browser: Browser, call: Caller, simulator: Simulator
) -> None:
    one_delivery(simulator.services, "https://crm.example.com")
    call("POST", "/clock/advance", by_s=0)
    page = browser.get("/deliveries/events")
    assert call("GET", "/digest")["digest"] in page.text
    events = call("GET", "/events")["events"]
    assert [row[1] for row in rows(page)] == [event["what"] for event in reversed(events)]
    assert {"/deliveries/1", "/agent/customers/10000000"} <= set(page.links)
    page = browser.get("/deliveries/events?what=delivery-enqueued")
    assert [row[1:3] for row in rows(page)] == [["delivery-enqueued", "delivery 1"]]
    assert "No such event has happened." in browser.get("/deliveries/events?what=fault-set").text


def test_boxes_that_were_emptied_are_said_to_be(browser: Browser) -> None:
    browser.submit("/config/integration/crm-triggers")
    assert "filled none" in browser.get("/deliveries/events?what=boxes-saved").text


def test_long_lists_of_events_are_paged(browser: Browser, call: Caller) -> None:
    for _ in range(60):
        call("POST", "/deliveries/pause")
    page = browser.get("/deliveries/events?what=deliveries-paused&page=2")
    assert len(rows(page)) == 10
    assert "Page 2 of 2" in page.text


def test_the_journal_shows_calls_both_ways(
    browser: Browser, call: Caller, simulator: Simulator, tls_receiver: TlsReceiver
) -> None:
    one_delivery(simulator.services, tls_receiver.url("/box?secret=hush-hush"))
    call("POST", "/clock/advance", by_s=0)
    call("POST", "/faults", fault="truncated_xml")
    simulator.app.test_client().post(
        "/cc/v1/wapi",
        data=command("Customer", "GET", (("ACCOUNTNUM", "10000000"),)),
        headers=KEY_HEADERS,
    )
    page = browser.get("/deliveries/journal")
    read, sent = rows(page)
    assert read[2:5] == ["CRM API GET Customer", "10000000", "200, 1 record truncated_xml"]
    assert sent[2:5] == ["Customer Create", "delivery 1, record 10000000", "200"]
    assert sent[5].startswith(f"GET {tls_receiver.url('/box')}")
    assert "hush-hush" not in page.text
    assert page.links.count("/deliveries/1") == 1
    assert page.links.count("/agent/customers/10000000") == 2
    assert len(rows(browser.get("/deliveries/journal?door=crm_api"))) == 1


def test_a_move_that_another_call_makes_is_a_sentence(
    browser: Browser, simulator: Simulator
) -> None:
    page = browser.get("/deliveries")
    with simulator.services.player._alone():
        page = press(browser, page, "Run until idle")
    (flash,) = page.flashes
    assert "The clock is being moved by another call." in flash


class TestWithAToken:
    """Where the control API asks for a token, so do these pages."""

    @pytest.fixture
    def simulator(self, sim_settings: Settings) -> Iterator[Simulator]:
        values = {**sim_settings.model_dump(), "control_token": TOKEN}
        with Simulator(Settings(**values), ticking=False) as running:
            yield running

    def test_nothing_can_be_moved_broken_or_read_without_it(
        self, browser: Browser, simulator: Simulator
    ) -> None:
        page = browser.get("/deliveries")
        assert "Clock, faults and logs need the control token." in page.text
        assert page.document.xpath("//button[@form='instruments']") == []
        for path in ("/deliveries/events", "/deliveries/journal", "/deliveries/faults"):
            assert browser.get(path).path == "/deliveries/unlock"
        assert browser.get("/deliveries/events/live").status == 403
        form = browser.get("/deliveries/unlock").document.forms[0]
        page = browser.post("/deliveries/clock/freeze", list(form.form_values()))
        assert page.status == 403
        assert "This needs the control token." in page.text
        assert not simulator.services.clock.frozen

    def test_a_wrong_one_is_refused_beside_its_field(self, browser: Browser) -> None:
        page = browser.submit("/deliveries/unlock", token="wrong")
        assert page.status == 403
        assert "This is not the control token" in page.problem("token")
        assert browser.get("/deliveries/events").path == "/deliveries/unlock"

    def test_the_right_one_opens_them_for_this_browser(
        self, browser: Browser, simulator: Simulator
    ) -> None:
        page = browser.submit("/deliveries/unlock", token=TOKEN)
        assert page.path == "/deliveries"
        press(browser, page, "Freeze the clock")
        assert simulator.services.clock.frozen
        assert browser.get("/deliveries/events").path == "/deliveries/events"
        other = Browser.of(simulator.app.test_client())
        assert other.get("/deliveries/events").path == "/deliveries/unlock"
