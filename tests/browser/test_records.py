"""Agents create, edit and delete records of each kind, and see what became of each trigger."""

import re
from dataclasses import dataclass

import pytest

from simulator import idle
from simulator.server import Simulator
from tests.browser.chromium import Page, expect
from tests.tls_receiver import TlsReceiver

FIRST = "10000000"


@dataclass(frozen=True)
class Kind:
    """What an agent sees of a kind, and the ids in its triggers."""

    noun: str
    tab: str
    parent: str  # the tab on which the record is begun, with the parent's page; empty: its own
    field: str  # what is typed, by its label
    ids: str

    @property
    def path(self) -> str:
        return self.noun.replace("-", "")


KINDS = [
    Kind("customer", "Customers", "", "Last Name", "AccountID=10000000"),
    Kind("case", "Cases", "Customers", "Subject", "AccountID=10000000&CaseID=10000000"),
    Kind(
        *("follow-up", "Follow-ups", "Cases", "Subject"),
        "AccountID=10000000&CaseID=10000000&FollowupID=10000000",
    ),
    Kind("task", "Tasks", "Customers", "Subject", "AccountID=10000000&TaskID=10000000"),
]


def see_delivery(window: Page, number: int, box: str) -> None:
    """Follow the line after the action to the delivery, see it arrive, and go to the record."""
    window.get_by_role("status").get_by_role("link", name=f"delivery {number}", exact=True).click()
    expect(window.get_by_role("heading", level=1)).to_have_text(f"Delivery {number}")
    expect(window.get_by_text("delivered", exact=True)).to_be_visible()
    row = window.get_by_role("table").get_by_role("row").nth(1)
    expect(row).to_contain_text(box)
    expect(row.get_by_role("cell", name="200", exact=True)).to_be_visible()
    window.get_by_role("definition").get_by_role("link", name=FIRST).first.click()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.noun)
def test_a_record_is_created_edited_and_deleted_and_each_delivery_is_seen(
    window: Page, simulator: Simulator, boxes: TlsReceiver, kind: Kind
) -> None:
    if kind.parent:
        simulator.api.create_customer(firstname="Ada", lastname="Byron")
    if kind.parent == "Cases":
        simulator.api.create_case(FIRST, subject="No dial tone")
    window.goto("/")
    window.get_by_role("navigation", name="Main").get_by_role(
        "link", name=kind.parent or kind.tab
    ).click()
    if kind.parent:
        window.get_by_role("link", name=FIRST).first.click()
    window.get_by_role("link", name=f"New {kind.noun}").click()
    if not kind.parent:
        window.get_by_label("First Name").fill("Ada")
    window.get_by_label(kind.field).fill("One & <b>only</b>")
    window.get_by_role("button", name="Save").click()
    line = window.get_by_role("status")
    expect(line).to_contain_text(f"{kind.noun.capitalize()} {FIRST} was created.")
    expect(window.get_by_role("definition").filter(has_text="One & <b>only</b>")).to_be_visible()
    see_delivery(window, 1, f"{kind.path}/create?{kind.ids}")

    window.get_by_role("link", name="Edit", exact=True).click()
    expect(window.get_by_label(kind.field)).to_have_value("One & <b>only</b>")
    window.get_by_label(kind.field).fill("Another")
    window.get_by_role("button", name="Save").click()
    expect(line).to_contain_text(f"{kind.noun.capitalize()} {FIRST} was saved.")
    if kind.noun == "follow-up":
        expect(line).to_contain_text("No trigger fired: Followup Edit fires none.")
    else:
        see_delivery(window, 2, f"{kind.path}/edit?{kind.ids}")

    window.get_by_role("link", name="Delete", exact=True).click()
    expect(window.get_by_text("nothing can be restored")).to_be_visible()
    window.get_by_role("button", name=f"Delete {kind.noun}").click()
    expect(line).to_contain_text("was deleted.")
    last = 2 if kind.noun == "follow-up" else 3
    see_delivery(window, last, f"{kind.path}/delete?{kind.ids}")
    expect(window.get_by_role("heading", level=1)).to_contain_text(f"{FIRST} was deleted")

    events = ["create", "delete"] if kind.noun == "follow-up" else ["create", "edit", "delete"]
    assert [request.target for request in boxes.requests] == [
        f"/{kind.path}/{event}?{kind.ids}" for event in events
    ]


def test_what_a_form_refuses_is_said_beside_its_field_and_nothing_typed_is_lost(
    window: Page, simulator: Simulator, boxes: TlsReceiver
) -> None:
    window.goto("/agent/customers/new")
    window.get_by_label("Last Name").fill("Byron")
    window.get_by_label("Email").fill("no address")
    window.get_by_role("button", name="Save").click()
    expect(window.get_by_role("alert")).to_contain_text("Nothing was saved.")
    first = window.get_by_label("First Name")
    expect(first).to_have_accessible_description("First Name is required.")
    expect(window.get_by_label("Email")).to_have_value("no address")
    expect(window.get_by_label("Last Name")).to_have_value("Byron")
    first.fill("Ada")
    window.get_by_label("Email").fill("ada@example.com")
    window.get_by_role("button", name="Save").click()
    see_delivery(window, 1, "customer/create?AccountID=10000000")
    expect(window.get_by_role("definition").filter(has_text="ada@example.com")).to_be_visible()


def test_several_customers_are_selected_and_deleted_with_what_hangs_on_them(
    window: Page, simulator: Simulator, boxes: TlsReceiver
) -> None:
    for name in ("Ada", "Bob", "Eve"):
        simulator.api.create_customer(firstname=name, lastname="Byron")
    simulator.api.create_case("10000001", subject="No dial tone")
    window.goto("/agent/customers")
    window.get_by_label("Select customer 10000001").check()
    window.get_by_label("Select customer 10000002").check()
    window.get_by_role("button", name="Delete Selected").click()
    expect(window.get_by_role("heading", level=1)).to_have_text("Delete 2 selected customers")
    expect(window.get_by_text("With them go 1 case")).to_be_visible()
    window.get_by_role("button", name="Delete 2 customers").click()
    expect(window.get_by_role("status")).to_contain_text("2 customers were deleted.")
    expect(window.get_by_role("row")).to_have_count(2)

    window.get_by_role("link", name="Delete All").click()
    window.get_by_label("Password").fill("a guess")
    window.get_by_role("button", name="Delete Now").click()
    expect(window.get_by_label("Password")).to_have_accessible_description(
        re.compile("This is not the agent's password. Nothing was deleted.")
    )
    window.get_by_label("Password").fill("agent-demo")
    window.get_by_role("button", name="Delete Now").click()
    expect(window.get_by_text("There are no customers yet.")).to_be_visible()
    simulator.wait(idle)
    assert sorted(request.target for request in boxes.requests) == [
        f"/customer/delete?AccountID=1000000{last}" for last in (0, 1, 2)
    ]
