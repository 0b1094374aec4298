"""The deliveries page: what happens is seen as it happens, and what is due can be brought about."""

import re

from simulator.server import Simulator
from tests.browser.chromium import PHONE, Page, Windows, expect
from tests.tls_receiver import TlsReceiver, answer


def first_row(window: Page) -> Page:
    """The newest delivery, below the headings."""
    return window.get_by_role("table").get_by_role("row").nth(1)


def test_a_failing_receiver_is_watched_until_it_answers_without_a_reload(
    window: Page, simulator: Simulator, boxes: TlsReceiver
) -> None:
    simulator.clock.freeze()
    boxes.will(answer(503, "Down for <maintenance>"), answer(302, Location="/login"))
    window.goto("/deliveries")
    expect(window.get_by_text("No trigger has fired yet.")).to_be_visible()
    customer = simulator.agent.create_customer(firstname="Ada", lastname="Byron")
    row = first_row(window)
    expect(row).to_contain_text("Customer Create")
    expect(row).to_contain_text("waiting")
    boxes.next_request()
    window.get_by_label("Advance by").fill("5")
    window.get_by_label("Unit").select_option("min")
    window.get_by_role("button", name="Advance").click()
    expect(first_row(window)).to_contain_text("delivered")
    expect(window.get_by_role("link", name=re.compile("waiting"))).to_have_text(re.compile("0"))

    first_row(window).get_by_role("link", name="1", exact=True).click()
    attempts = window.get_by_role("table").get_by_role("row")
    expect(attempts).to_have_count(4)
    for number, status in enumerate(("503", "302", "200"), start=1):
        cells = attempts.nth(number).get_by_role("cell")
        expect(cells.filter(has_text=re.compile(f"^{status}$"))).to_have_count(1)
    expect(attempts.nth(1)).to_contain_text("Down for <maintenance>")
    window.get_by_role("button", name="Redeliver").click()
    expect(attempts).to_have_count(5)
    expected = f"/customer/create?AccountID={customer.record_id}"
    assert [request.target for request in boxes.requests] == [expected] * 4


def test_a_fault_is_added_hit_seen_in_the_journal_and_cleared(
    window: Page, simulator: Simulator, boxes: TlsReceiver
) -> None:
    window.goto("/deliveries")
    window.get_by_role("link", name="Break something").click()
    window.get_by_role("link", name="lose_answer").click()
    times = window.get_by_label("times")
    times.fill("none")
    window.get_by_role("button", name="Add").click()
    expect(times).to_have_accessible_description(re.compile("Type a whole number."))
    times.fill("50")
    window.get_by_role("button", name="Add").click()
    expect(window.get_by_text("hit 0 of 0 calls")).to_be_visible()
    simulator.agent.create_customer(firstname="Ada", lastname="Byron")
    expect(window.get_by_text(re.compile("hit [1-9]"))).to_be_visible()

    window.get_by_role("link", name="Journal").click()
    expect(window.get_by_role("cell", name="Customer Create").first).to_be_visible()
    window.get_by_role("link", name="Events").click()
    window.get_by_label("What").select_option("attempt-ended")
    window.get_by_role("button", name="Filter").click()
    window.get_by_role("link", name="delivery 1 attempt 1").click()
    expect(first_row(window)).to_contain_text("lose_answer")

    window.get_by_role("link", name="Deliveries", exact=True).click()
    window.get_by_role("button", name="Clear all faults").click()
    expect(window.get_by_text("Nothing is broken on purpose.")).to_be_visible()


def test_on_a_phone_the_list_and_a_delivery_fit_the_screen(
    windows: Windows, simulator: Simulator, boxes: TlsReceiver
) -> None:
    boxes.will(answer(500, "x" * 400))
    simulator.clock.freeze()
    simulator.agent.create_customer(firstname="Ada", lastname="Byron")
    boxes.next_request()
    phone = windows.open(viewport=PHONE)
    phone.goto("/deliveries")
    row = phone.get_by_role("row").filter(has_text="Customer Create")
    expect(row).to_be_visible()
    for cell in row.get_by_role("cell").all():
        box = cell.bounding_box()
        assert box is not None
        assert (box["x"] >= 0, box["x"] + box["width"] <= PHONE["width"]) == (True, True)
    phone.get_by_role("button", name="Run until idle").click()
    expect(row).to_contain_text("delivered")
    row.get_by_role("link", name="1", exact=True).click()
    expect(phone.get_by_text("x" * 100)).to_be_visible()
    assert phone.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
