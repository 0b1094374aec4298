"""A call ends, an email arrives: the Local CRM changes, and nothing fires."""

from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import func, select

from simulator.app import create_app
from simulator.clock import ManualClock
from simulator.db import read_session
from simulator.local_crm.models import Case, Customer, Followup, Task
from simulator.services import Services
from simulator.settings import Settings
from simulator.triggers.models import Delivery
from simulator.triggers.urls import Kind
from tests.forms import Browser, Page
from tests.local_crm import create, fill_boxes

PAGE = "/interactions"
CALL, EMAIL = f"{PAGE}/call", f"{PAGE}/email"
FIRST = "10000000"


@pytest.fixture(autouse=True)
def boxes(services: Services) -> None:
    """All boxes are filled, so an agent's change would fire."""
    with services.sessions.begin() as session:
        fill_boxes(session, "https://crm.example.com")


def count(services: Services, model: type) -> int:
    with read_session(services.engine) as session:
        return session.scalar(select(func.count()).select_from(model)) or 0


def write(browser: Browser, subject: str, sender: str = "Ada Byron <ada@example.com>") -> Page:
    return browser.submit(PAGE, action=EMAIL, sender=sender, subject=subject, body="Text")


def test_without_a_customer_nobody_calls_and_the_page_says_what_to_do(
    browser: Browser, services: Services
) -> None:
    page = browser.submit(PAGE, action=CALL)
    assert page.status == 409
    assert "There is no customer who could call. Create one or many first." in page.text
    assert "Nothing has changed yet." in page.text
    assert count(services, Task) == 0


def test_a_call_that_ends_makes_a_task_and_fires_nothing(
    browser: Browser, services: Services
) -> None:
    browser.submit("/agent/customers/new", firstname="Ada", lastname="Byron")
    assert count(services, Delivery) == 1
    page = browser.submit(PAGE, action=CALL)
    assert page.flashes == [
        f"The call of Ada Byron, Customer {FIRST} (drawn from all), has ended; auto-log made Task "
        f"{FIRST}. No trigger fired: delivery 1 is still the newest."
    ]
    assert f"/agent/tasks/{FIRST}" in page.links
    assert "auto_log" in page.text
    assert (count(services, Task), count(services, Delivery)) == (1, 1)
    assert browser.get(PAGE).flashes == []


@pytest.fixture
def callers(services: Services) -> list[str]:
    """Three customers, two with the same phone number, one with an account number's looks."""
    with services.sessions.begin() as session:
        now = services.clock.now()
        voices = ("+1 (555) 0100", "<b>0100</b>", "+1 (555) 0100", "10000001")
        return [create(session, Kind.CUSTOMER, now, voice=voice) for voice in voices]


@pytest.mark.parametrize(
    ("caller", "customer", "known_by"),
    [
        ("10000002", 2, "by the account number"),
        (" <b>0100</b> ", 1, "by the phone number <b>0100</b>"),
        ("10000001", 1, "by the account number"),
    ],
)
def test_who_calls_is_chosen_by_number(
    browser: Browser, services: Services, callers: list[str], caller: str, customer: int,
    known_by: str,
) -> None:  # fmt: skip
    page = browser.submit(PAGE, action=CALL, caller=caller)
    assert f"Customer {callers[customer]} ({known_by}), has ended" in page.flashes[0]
    assert {f"/agent/customers/{callers[customer]}", f"/agent/tasks/{FIRST}"} <= set(page.links)
    assert b"<b>" not in page.content
    assert browser.get(f"/agent/tasks/{FIRST}").field("accountnum") == callers[customer]
    assert f"/agent/tasks/{FIRST}" in browser.get(f"/agent/customers/{callers[customer]}").links


@pytest.mark.parametrize(
    ("caller", "sentence"),
    [
        ("+1 (555) 0100", "Several customers have the phone number +1 (555) 0100: 10000000, "
         "10000002. Type the account number of one of them."),
        ("<script>", "No customer has the account number or, in Voice, the phone number <script>."),
        ("9" * 400, "No customer has the account number"),
        ("\0", "No customer has"),
    ],
)  # fmt: skip
def test_a_caller_who_is_nobody_or_several_is_said_beside_the_field(
    browser: Browser, services: Services, callers: list[str], caller: str, sentence: str
) -> None:
    page = browser.post(CALL, [*token_of(browser), ("caller", caller)])
    assert page.status == 422
    assert page.problem("caller").startswith(sentence)
    assert page.value("caller") == caller or caller == "\0"
    assert b"<script>" not in page.content
    assert count(services, Task) == 0


def token_of(browser: Browser) -> list[tuple[str, str]]:
    page = browser.get(PAGE)
    return [("csrf_token", str(page.document.xpath("//input[@name='csrf_token']/@value")[0]))]


def test_an_email_becomes_a_customer_and_a_case_and_an_answer_a_followup(
    browser: Browser, services: Services
) -> None:
    page = write(browser, "Noise on the line")
    assert page.flashes == [
        f"The email was received; it made Customer {FIRST} and Case {FIRST}. "
        "No trigger fired: there is still no delivery."
    ]
    page = write(browser, f"Re: [Case {FIRST}]")
    assert page.flashes[0].startswith(
        f"The email was received; Case {FIRST} has a follow-up more. It made Followup {FIRST}."
    )
    page = write(browser, "Another thing")
    assert page.flashes[0].startswith("The email was received; it made Case 10000001.")
    assert (count(services, Customer), count(services, Case), count(services, Followup)) == (
        1,
        2,
        1,
    )
    assert count(services, Delivery) == 0


def test_an_email_opens_a_closed_case_again_and_fires_nothing(
    browser: Browser, services: Services
) -> None:
    write(browser, "Noise on the line")
    browser.submit(f"/agent/cases/{FIRST}/edit", status="Closed")
    page = write(browser, f"Re: [Case {FIRST}]")
    assert f"Case {FIRST} was closed and is open again." in page.flashes[0]
    assert browser.get(f"/agent/cases/{FIRST}").field("status") == "Open"
    assert count(services, Delivery) == 1  # the agent's


class TestUnderItsSwitch:
    """trigger.email-silent"""

    @pytest.fixture
    def app(self, sim_settings: Settings, clock: ManualClock) -> Iterator[Flask]:
        """With the switch on."""
        app = create_app(sim_settings.model_copy(update={"email_fires": True}), clock=clock)
        yield app
        app.extensions["crm_simulator"].close()

    def test_an_email_fires_and_the_page_says_so(self, browser: Browser) -> None:
        page = write(browser, "Noise on the line")
        assert page.flashes == [
            f"The email was received; it made Customer {FIRST} and Case {FIRST}. "
            "Triggers fired, since the switch email_fires is on: delivery 1, delivery 2."
        ]
        assert {"/deliveries/1", "/deliveries/2"} <= set(page.links)
        assert "since the switch email_fires is on, what an email changes" in page.text
        page = browser.submit(PAGE, action=CALL)
        assert "No trigger fired: delivery 2 is still the newest." in page.flashes[0]


def test_the_latest_changes_lead_to_what_is_left_of_a_deleted_record(browser: Browser) -> None:
    browser.submit("/agent/customers/new", firstname="Ada", lastname="Byron")
    browser.submit(f"/agent/customers/{FIRST}/delete")
    newest = browser.get(PAGE).document.xpath("//tbody/tr[1]//a/@href")
    assert [browser.get(link).status for link in newest] == [404]
    assert "was deleted" in browser.get(newest[0]).text


def test_a_sender_without_an_address_is_said_beside_the_field(
    browser: Browser, services: Services
) -> None:
    page = write(browser, "<script>", sender="")
    assert page.status == 422
    assert page.problem("sender") == "The sender (empty) has no address."
    assert page.value("subject") == "<script>"
    assert b"<script>" not in page.content
    assert count(services, Customer) == 0
