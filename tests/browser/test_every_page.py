"""Every page that a person can come to: on a desk and on a phone, in light and in dark."""

from simulator import delivered
from simulator.server import Simulator
from tests.browser.chromium import Page, expect
from tests.browser.looks import look, look_at_all
from tests.tls_receiver import TlsReceiver, answer

# Forms that are refused as they stand, or once this is typed into a field of that name.
REFUSED = {
    "/agent/customers/new": ("Save", {}),
    "/agent/cases/new": ("Save", {}),
    "/agent/tasks/new": ("Save", {"duedate": "9999-12-31T23:59"}),
    "/agent/customers/delete-all": ("Delete Now", {}),
    "/config/integration/crm-triggers": ("Save", {"task_edit": "http://crm.example.com/t"}),
    "/config/integration/crm-api": ("Save", {"username": "ag1001"}),
    "/config/crm/fields/task/new": ("Save", {}),
    "/config/crm/imports": ("Upload and check", {}),
    "/config/crm/bulk": ("Create customers", {"customers": "0"}),
    "/interactions": ("Receive the email", {}),
    "/deliveries/test": ("Send", {"record_id": "99"}),
    "/deliveries/faults/new/storm": ("Add", {"count": "many"}),
}
LONG = "donau" * 40
# Beyond what links lead to: refused input, nothing found, a confirmation for a selection.
ALSO = (
    "/nowhere",
    "/agent/customers?q=nobody",
    "/agent/customers?customertype=Default&sort=-lastname",
    "/agent/customers/delete-selected?chosen=10000000&chosen=10000001",
    "/deliveries?state=exhausted",
    "/deliveries/unlock",
)


def fill(simulator: Simulator, receiver: TlsReceiver) -> None:
    """Some of everything, long words among it."""
    simulator.clock.freeze()
    receiver.will(answer(500, LONG))
    customer = simulator.agent.create_customer(firstname="Ada", lastname="Byron", comments=LONG)
    simulator.agent.create_customer(firstname="Bob", lastname="x" * 30, email=f"{'y' * 50}@x.com")
    case = simulator.agent.create_case(customer, subject=LONG, description="Two\nlines")
    followup = simulator.agent.create_followup(case, subject="Called back")
    simulator.agent.create_task(customer, subject="Call", middleware_url=f"https://{LONG}/x")
    simulator.agent.delete_followup(followup)
    simulator.wait(delivered(case))
    simulator.faults.add("stale_read", stale_s=5)
    content = f"Name,Last name\nAda,{LONG}\nEve,Fisher\n"
    simulator.api.import_csv("Customer", content, {"Name": "FIRSTNAME", "Last name": "LASTNAME"})


def bulk_create(window: Page) -> None:
    """A load to look at, and a custom field."""
    window.goto("/config/crm/bulk")
    window.get_by_label("Customers").fill("60")
    window.get_by_role("button", name="Create customers").click()
    window.get_by_text("60 records were loaded").wait_for()
    window.goto("/config/crm/fields/customer/new")
    window.locator("#name").fill("tier")
    window.get_by_role("button", name="Save").click()
    window.get_by_role("rowheader", name="tier").wait_for()


def test_every_page_is_whole_and_readable_with_data_and_with_refused_input(
    window: Page, simulator: Simulator, boxes: TlsReceiver
) -> None:
    fill(simulator, boxes)
    bulk_create(window)
    found = look_at_all(window, simulator.url, *ALSO)
    assert len(found) > 50, sorted(found)
    for address, (button, typed) in REFUSED.items():
        window.goto(address)
        for name, text in typed.items():
            window.locator(f"[name={name}]").fill(text)
        window.get_by_role("button", name=button, exact=True).last.click()
        expect(window.locator(".is-invalid, [role=alert]").first, address).to_be_visible()
        found[f"{address} refused"] = look(window)
    assert {kind: wrong for kind, wrong in found.items() if wrong} == {}


def test_every_page_of_an_empty_simulator_is_whole_and_says_what_to_do_next(
    window: Page, simulator: Simulator
) -> None:
    found = look_at_all(window, simulator.url, *ALSO)
    assert len(found) > 30, sorted(found)
    assert {kind: wrong for kind, wrong in found.items() if wrong} == {}
