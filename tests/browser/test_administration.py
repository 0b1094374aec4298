"""Administrators set triggers, the CRM API's rights, custom fields, and load a CSV file."""

import re
from pathlib import Path

import requests

from simulator import idle
from simulator.server import Simulator
from tests.browser.chromium import Page, expect
from tests.tls_receiver import TlsReceiver

GET_CUSTOMERS = """<WAPI><TENANT>demo</TENANT><USERNAME>crmapi</USERNAME>
<PASSWORD>crmapi-demo</PASSWORD><COMMAND OBJECT="Customer" ACTION="GET">
<ACCOUNTNUM>10000000</ACCOUNTNUM></COMMAND></WAPI>"""
PEOPLE = """First name,Surname,Mail
Ada,Byron,ada@example.com
,Nobody,nobody@example.com
Eve,Fisher,no address
Grace,Hopper,grace@example.com
"""


def over_the_crm_api(simulator: Simulator) -> str:
    """What a program is answered that asks for the first customer."""
    with requests.Session() as session:
        session.trust_env = False
        reply = session.post(
            f"{simulator.url}/WAPI/wapi.php",
            data={"xml_query": GET_CUSTOMERS},
            verify=str(simulator.ca_path),
            timeout=30,
        )
    return reply.text


def open_page(window: Page, name: str) -> None:
    """From wherever the window is, by the navigation."""
    if window.url == "about:blank":
        window.goto("/")
    window.get_by_role("navigation", name="Main").get_by_role("link", name=name).click()


def test_a_box_is_filled_and_the_next_change_calls_it(
    window: Page, simulator: Simulator, tls_receiver: TlsReceiver
) -> None:
    open_page(window, "CRM Triggers")
    box = window.get_by_label("Customer Create")
    box.fill("http://crm.example.com/t")
    window.get_by_label("Task Delete").fill("https://crm.example.com/kept")
    window.get_by_role("button", name="Save").click()
    expect(window.get_by_role("alert")).to_contain_text("Nothing was saved")
    expect(window.get_by_text("8x8 Contact Center requires a secure URL")).to_be_visible()
    expect(box).to_have_value("http://crm.example.com/t")
    expect(box).to_have_accessible_description(re.compile(r"AccountID=aaa.* secure URL"))
    expect(window.get_by_label("Task Delete")).to_have_value("https://crm.example.com/kept")

    box.fill(tls_receiver.url("/new?from=8x8"))
    window.get_by_role("button", name="Save").click()
    expect(window.get_by_role("status")).to_have_text("The CRM triggers are saved.")
    expect(window.get_by_text("/new?from=8x8&AccountID=aaa")).to_be_visible()
    open_page(window, "Customers")
    window.get_by_role("link", name="Create the first one").click()
    window.get_by_label("First Name").fill("Ada")
    window.get_by_label("Last Name").fill("Byron")
    window.get_by_role("button", name="Save").click()
    expect(window.get_by_role("status")).to_contain_text("Its trigger Customer Create fired")
    assert tls_receiver.next_request().target == "/new?from=8x8&AccountID=10000000"

    # An empty box calls nothing, and the line after the action says where to fill it.
    window.get_by_role("link", name="Edit", exact=True).click()
    window.get_by_role("button", name="Save").click()
    line = window.get_by_role("status")
    expect(line).to_contain_text("No trigger fired: no URL is set for Customer Edit")
    line.get_by_role("link", name="CRM Triggers").click()
    expect(window.get_by_label("Customer Edit")).to_have_value("")


def test_a_right_that_is_taken_away_refuses_the_next_call(
    window: Page, simulator: Simulator
) -> None:
    simulator.api.create_customer(firstname="Ada", lastname="Byron")
    assert "<FIRSTNAME>Ada</FIRSTNAME>" in over_the_crm_api(simulator)
    open_page(window, "CRM API")
    window.get_by_role("checkbox", name="Get Customer").uncheck()
    window.get_by_role("button", name="Save").click()
    expect(window.get_by_role("status")).to_be_visible()
    expect(window.get_by_role("checkbox", name="Get Customer")).not_to_be_checked()
    refused = over_the_crm_api(simulator)
    assert "The CRM API user has no right to Get Customer." in refused
    assert "Ada" not in refused

    window.get_by_role("checkbox", name="Get Customer").check()
    window.get_by_label("Password", exact=True).fill("new password")
    window.get_by_role("button", name="Save").click()
    expect(window.get_by_role("alert")).to_contain_text("Nothing was saved")
    expect(window.get_by_role("checkbox", name="Get Customer")).to_be_checked()
    window.get_by_label("Password", exact=True).fill("")
    window.get_by_role("button", name="Save").click()
    expect(window.get_by_role("status")).to_be_visible()
    assert "<FIRSTNAME>Ada</FIRSTNAME>" in over_the_crm_api(simulator)


def test_a_custom_field_goes_from_its_definition_into_forms_and_replies(
    window: Page, simulator: Simulator
) -> None:
    open_page(window, "Fields")
    window.get_by_role("link", name="Add a custom field to Customer").click()
    window.get_by_label("Name", exact=False).first.fill("tier")
    window.get_by_label("Label").fill("Service tier")
    window.get_by_label("Type").select_option("Pick List")
    window.get_by_role("button", name="Save").click()
    expect(window.get_by_role("alert")).to_contain_text("Nothing was saved")
    window.get_by_label("Choices").fill("Gold\nSilver")
    window.get_by_label("Default").fill("Silver")
    window.get_by_role("button", name="Save").click()
    expect(window.get_by_role("rowheader", name="Service tier")).to_be_visible()

    open_page(window, "Customers")
    window.get_by_role("link", name="New customer").click()
    window.get_by_label("First Name").fill("Ada")
    window.get_by_label("Last Name").fill("Byron")
    expect(window.get_by_label("Service tier")).to_have_value("Silver")
    window.get_by_label("Service tier").select_option("Gold")
    window.get_by_role("button", name="Save").click()
    expect(window.get_by_role("definition").filter(has_text="Gold")).to_be_visible()
    assert "<tier>Gold</tier>" in over_the_crm_api(simulator)

    open_page(window, "Fields")
    window.get_by_role("link", name="Remove Service tier").click()
    window.get_by_role("button", name="Remove").click()
    expect(window.get_by_role("rowheader", name="Service tier")).to_have_count(0)
    assert "tier" not in over_the_crm_api(simulator)


def test_a_csv_file_is_loaded_and_its_rejected_rows_come_back_with_reasons(
    window: Page, simulator: Simulator, boxes: TlsReceiver, tmp_path: Path
) -> None:
    people = tmp_path / "people.csv"
    people.write_text(PEOPLE, encoding="utf-8")
    open_page(window, "Imports")
    window.get_by_role("button", name="Upload and check").click()
    expect(window.get_by_role("alert")).to_contain_text("Choose a file.")
    window.get_by_label("CSV file").set_input_files(people)
    window.get_by_role("button", name="Upload and check").click()
    expect(window.get_by_role("heading", level=1)).to_have_text("Map the columns of people.csv")
    expect(window.get_by_label("First name goes into")).to_have_value("FIRSTNAME")
    window.get_by_label("Surname goes into").select_option("LASTNAME")
    window.get_by_label("Mail goes into").select_option("EMAIL")
    window.get_by_role("button", name="Load 4 records").click()
    told = window.get_by_role("status").filter(has_text="2 records were loaded")
    expect(told).to_contain_text("2 rows were rejected. No trigger fired.")
    reasons = window.get_by_role("table").get_by_role("row")
    expect(reasons.nth(1)).to_contain_text("First Name is required.")
    expect(reasons.nth(2)).to_contain_text("no address")
    with window.expect_download() as download:
        window.get_by_role("link", name="Download all of them with the reasons").click()
    rejected = Path(download.value.path()).read_text(encoding="utf-8-sig").splitlines()
    assert len(rejected) == 3
    assert "First Name is required." in rejected[1]

    window.get_by_role("link", name="See them in Agent Console").click()
    expect(window.get_by_role("cell", name="Hopper")).to_be_visible()
    open_page(window, "Deliveries")
    expect(window.get_by_text("No trigger has fired yet.")).to_be_visible()
    simulator.wait(idle)
    assert boxes.requests == []
