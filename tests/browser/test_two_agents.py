"""Two agents at two browsers, and one record."""

from simulator.server import Simulator
from tests.browser.chromium import Page, Windows, expect
from tests.tls_receiver import TlsReceiver

FIRST = "/agent/customers/10000000"


def act_as(window: Page, agent: str) -> None:
    """The agent is chosen in the list beside the navigation."""
    window.goto("/agent/customers")
    window.get_by_label("Acting agent").select_option(agent)
    window.get_by_role("button", name="Act as").click()
    expect(window.get_by_role("status")).to_have_text(f"You act as agent {agent} now.")


def save(window: Page, **typed: str) -> None:
    """Type and press Save; `Last_Name` is the field Last Name."""
    for label, text in typed.items():
        window.get_by_label(label.replace("_", " ")).fill(text)
    window.get_by_role("button", name="Save").click()


def test_the_second_of_two_agents_sees_both_values_before_anything_is_lost(
    windows: Windows, simulator: Simulator, boxes: TlsReceiver
) -> None:
    simulator.api.create_customer(firstname="Ada", lastname="Byron", company="Old Ltd")
    one, two = windows.open(), windows.open()
    act_as(one, "ag1001")
    act_as(two, "ag1002")
    one.goto(f"{FIRST}/edit")
    two.goto(f"{FIRST}/edit")
    save(two, Company="Theirs Ltd", Voice="+1 555 0100")
    expect(two.get_by_role("status")).to_contain_text("Customer 10000000 was saved.")

    save(one, Company="Mine Ltd")
    told = one.get_by_role("alert")
    expect(told).to_contain_text("Customer 10000000 was saved by ag1002")
    row = told.get_by_role("row").filter(has=one.get_by_role("rowheader", name="Company"))
    expect(row.get_by_role("cell")).to_have_text(["Old Ltd", "Theirs Ltd", "Mine Ltd", "Mine Ltd"])
    expect(one.get_by_label("Company")).to_have_value("Mine Ltd")
    expect(one.get_by_label("Voice")).to_have_value("+1 555 0100")
    assert boxes.next_request().target == "/customer/edit?AccountID=10000000"

    save(one, Company="Both Ltd")
    expect(one.get_by_role("status")).to_contain_text("Customer 10000000 was saved.")
    two.reload()
    for text in ("Both Ltd", "+1 555 0100"):
        expect(two.get_by_role("definition").filter(has_text=text)).to_be_visible()
    versions = two.get_by_role("table").last.get_by_role("row")
    expect(versions.nth(1)).to_contain_text("ag1001")
    expect(versions.nth(2)).to_contain_text("ag1002")


def test_what_was_typed_for_a_record_that_another_agent_deletes_is_shown_once_more(
    windows: Windows, simulator: Simulator, boxes: TlsReceiver
) -> None:
    simulator.api.create_customer(firstname="Ada", lastname="Byron")
    one, two = windows.open(), windows.open()
    one.goto(f"{FIRST}/edit")
    two.goto(f"{FIRST}/delete")
    two.get_by_role("button", name="Delete customer").click()
    expect(two.get_by_role("status")).to_contain_text("was deleted")
    save(one, Comments="Wants a second line")
    expect(one.get_by_role("heading", level=1)).to_contain_text("10000000 was deleted")
    expect(one.get_by_role("alert")).to_contain_text("Nothing was saved.")
    expect(one.get_by_role("alert")).to_contain_text("Wants a second line")

    two.go_back()
    expect(two.get_by_role("heading", level=1)).to_contain_text("10000000 was deleted")
    assert [request.target for request in boxes.requests] == ["/customer/delete?AccountID=10000000"]
