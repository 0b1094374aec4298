"""By keyboard alone; and in a browser that runs no script."""

from simulator import idle
from simulator.server import Simulator
from tests.browser.chromium import Page, Windows, expect
from tests.tls_receiver import TlsReceiver

# What has the focus: its name as a screen reader would say it, and whether it is seen to have it.
FOCUSED = """() => {
  const one = document.activeElement, style = getComputedStyle(one);
  const label = one.labels && one.labels[0];
  return {
    name: (one.ariaLabel || (label && label.textContent) || one.textContent).trim(),
    seen: style.outlineStyle !== "none" || style.boxShadow !== "none",
    within: one !== document.body && one.getBoundingClientRect().width > 1,
  };
}"""


def tab_to(window: Page, name: str) -> None:
    """Press Tab until what begins like this has the focus; on the way the focus is always seen."""
    passed: list[str] = []
    for _ in range(120):
        window.keyboard.press("Tab")
        focused = window.evaluate(FOCUSED)
        if focused["within"]:
            assert focused["seen"], f"Nobody sees that {focused['name']!r} has the focus."
        if focused["name"].startswith(name):
            return
        passed.append(focused["name"])
    raise AssertionError(f"Tab never came to {name!r}, only to {passed}.")


def press(window: Page, name: str, heading: str) -> None:
    """Go to a link or a button, press Enter, and wait for the page with that heading."""
    tab_to(window, name)
    window.keyboard.press("Enter")
    expect(window.get_by_role("heading", level=1)).to_contain_text(heading)


def test_a_customer_is_created_edited_and_deleted_by_keyboard_alone(
    window: Page, simulator: Simulator, boxes: TlsReceiver
) -> None:
    window.goto("/")
    window.keyboard.press("Tab")
    expect(window.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    press(window, "Customers", "Customers")
    press(window, "New customer", "New customer")
    tab_to(window, "First Name")
    window.keyboard.type("Ada")
    tab_to(window, "Last Name")
    window.keyboard.type("Byron")
    tab_to(window, "Customer Type")
    window.keyboard.type("Par")
    tab_to(window, "Email")
    window.keyboard.type("ada@example.com")
    window.keyboard.press("Enter")
    expect(window.get_by_role("heading", level=1)).to_contain_text("Customer 10000000")
    expect(window.get_by_role("definition").filter(has_text="Partner")).to_be_visible()
    press(window, "delivery 1", "Delivery 1")
    expect(window.get_by_text("delivered", exact=True)).to_be_visible()
    press(window, "Customer 10000000", "Customer 10000000")
    press(window, "Edit", "Edit customer 10000000")
    tab_to(window, "Comments")
    window.keyboard.type("One line")
    press(window, "Save", "Customer 10000000")
    press(window, "Delete", "Delete customer 10000000")
    press(window, "Delete customer", "Customers")
    simulator.wait(idle)
    assert [request.target for request in boxes.requests] == [
        f"/customer/{event}?AccountID=10000000" for event in ("create", "edit", "delete")
    ]


def test_triggers_are_set_and_a_record_comes_and_goes_without_any_script(
    windows: Windows, simulator: Simulator, tls_receiver: TlsReceiver
) -> None:
    window = windows.open(java_script_enabled=False)
    window.goto("/config/integration/crm-triggers")
    for event in ("Create", "Delete"):
        window.get_by_label(f"Customer {event}").fill(tls_receiver.url(f"/{event}"))
    window.get_by_role("button", name="Save").click()
    expect(window.get_by_role("status")).to_have_text("The CRM triggers are saved.")
    window.get_by_role("button", name="Dark").click()
    expect(window.get_by_role("button", name="Light")).to_be_visible()

    window.goto("/agent/customers/new")
    window.get_by_label("First Name").fill("Ada")
    window.get_by_label("Last Name").fill("Byron")
    window.get_by_role("button", name="Save").click()
    expect(window.get_by_role("status")).to_contain_text("Customer 10000000 was created.")
    window.goto("/agent/customers")
    window.get_by_text("Advanced Search").click()
    window.get_by_label("Last Name").fill("By")
    window.get_by_role("button", name="Search").last.click()
    expect(window.get_by_role("cell", name="Byron")).to_be_visible()
    window.get_by_role("link", name="Delete 10000000").click()
    window.get_by_role("button", name="Delete customer").click()
    simulator.wait(idle)
    window.goto("/deliveries")
    expect(window.get_by_role("row").filter(has_text="delivered")).to_have_count(2)

    window.goto("/config/crm/bulk")
    window.get_by_label("Customers").fill("30")
    window.get_by_role("button", name="Create customers").click()
    # The page asks for itself again until the load is over.
    expect(window.get_by_text("30 records were loaded")).to_be_visible()
    assert [request.target for request in tls_receiver.requests] == [
        f"/{event}?AccountID=10000000" for event in ("Create", "Delete")
    ]
