"""An agent's action in a form, and the row at the far end: over TLS, through every part."""

from datetime import date

import pytest

from external_crm import queries
from external_crm.app import create_app as create_dashboard
from external_crm.rows import TRIGGER, Key, Kind
from receiver import counts
from receiver.models import State
from simulator.db import read_session
from simulator.triggers.models import Delivery, DeliveryState
from tests.forms import Browser

from .conftest import Loop

ADA = {"firstname": "Ada", "lastname": "Byron & Söhne"}
RECHECKED_S = 31


def test_the_eleven_events_arrive_one_by_one(loop: Loop) -> None:
    customer = loop.create("customers", **ADA)
    case = loop.create("cases", f"?accountnum={customer}", subject="Kaputt – 坏了 😀")
    followup = loop.create("followups", f"?casenum={case}", subject="Called", body="Two\nlines")
    task = loop.create(
        "tasks", f"?accountnum={customer}", subject="Call", duedate="2026-03-05T14:05"
    )
    loop.edit("customers", customer, comments="Likes <b>tea</b>")
    loop.edit("cases", case, status="Closed")
    loop.edit("tasks", task, task_status="Completed")
    loop.deliver()
    loop.work()
    row = loop.row(Key(Kind.CUSTOMER, customer))
    assert (row["last_name"], row["comments"]) == ("Byron & Söhne", "Likes <b>tea</b>")
    row = loop.row(Key(Kind.CASE, case))
    assert (row["subject"], row["status"]) == ("Kaputt – 坏了 😀", "Closed")
    assert row["closed_date"] == loop.clock.now().date()
    row = loop.row(Key(Kind.FOLLOWUP, followup))
    assert (row["body"].splitlines(), row["case_ref"]) == (["Two", "lines"], case)
    row = loop.row(Key(Kind.TASK, task))
    assert (row["status"], row["due_at"].isoformat()) == ("Completed", "2026-03-05T14:05:00+00:00")
    for kinds, number in (
        ("tasks", task),
        ("followups", followup),
        ("cases", case),
        ("customers", customer),
    ):
        loop.delete(kinds, number)
    loop.deliver()
    loop.work()
    loop.work(RECHECKED_S)
    loop.work(RECHECKED_S)
    assert loop.read(queries.totals) == dict.fromkeys(Kind, 0)
    assert len([row for row in loop.inbox() if row.cause == "trigger"]) == 11
    assert {row.state for row in loop.inbox()} == {"done"}


def test_a_deleted_customer_takes_its_silent_children_along(loop: Loop) -> None:
    """Only the customer fires; case, follow-up and task go outside by their own reads."""
    customer = loop.create("customers", **ADA)
    case = loop.create("cases", f"?accountnum={customer}", subject="Broken")
    loop.create("followups", f"?casenum={case}", subject="Called")
    loop.create("tasks", f"?accountnum={customer}", subject="Call back")
    loop.deliver()
    loop.work()
    assert set(loop.read(queries.totals).values()) == {1}
    loop.delete("customers", customer)
    loop.deliver()
    for _ in range(3):
        loop.work(RECHECKED_S)
    assert set(loop.read(queries.totals).values()) == {0}


def test_a_followup_whose_case_and_customer_are_unknown_arrives_whole(loop: Loop) -> None:
    for box in ("customer_create", "case_create"):
        loop.browser.submit("/config/integration/crm-triggers", **{box: ""})
    customer = loop.create("customers", **ADA)
    case = loop.create("cases", f"?accountnum={customer}", subject="Broken")
    followup = loop.create("followups", f"?casenum={case}", subject="Called")
    loop.deliver()
    assert len(loop.inbox()) == 1
    loop.work()
    row = loop.row(Key(Kind.FOLLOWUP, followup))
    assert (row["case_ref"], row["customer_ref"]) == (case, customer)
    assert loop.row(Key(Kind.CASE, case))["created_date"] == loop.clock.now().date()


def test_a_delivery_killed_before_record_is_sent_again_and_changes_nothing(loop: Loop) -> None:
    customer = loop.create("customers", **ADA)
    dispatcher, now = loop.simulator.services.dispatcher, loop.simulator.services.clock.now()
    (claimed,) = dispatcher.claim(1)
    assert dispatcher.send(claimed).delivered  # and dead before it could be recorded
    with loop.simulator.services.sessions.begin() as session:
        session.get_one(Delivery, claimed.id).leased_until = now  # the lease has run out
    loop.deliver()
    loop.work()
    assert len(loop.inbox()) == 2
    history = loop.read(lambda s: queries.record(s, Key(Kind.CUSTOMER, customer))).history
    assert [entry.action for entry in history] == ["created"]


def test_a_url_in_the_wrong_box_still_brings_the_right_record(loop: Loop) -> None:
    boxes = loop.browser.get("/config/integration/crm-triggers")
    wrong = boxes.value("task_delete")
    loop.browser.send(boxes, customer_create=wrong)
    customer = loop.create("customers", **ADA)
    loop.deliver()
    loop.work()
    assert loop.row(Key(Kind.CUSTOMER, customer))["first_name"] == "Ada"


def test_what_the_receiver_refuses_stays_due_at_the_sender(loop: Loop) -> None:
    boxes = loop.browser.get("/config/integration/crm-triggers")
    loop.browser.send(
        boxes, customer_create=boxes.value("customer_create").replace("a-sec", "b-sec")
    )
    loop.create("customers", **ADA)
    loop.deliver()
    assert loop.inbox() == []
    with read_session(loop.simulator.services.engine) as session:
        (delivery,) = session.query(Delivery)
        assert delivery.state is DeliveryState.WAITING
        assert [attempt.status for attempt in delivery.attempts] == [404]


def test_lost_rights_hold_everything_and_lose_nothing(loop: Loop) -> None:
    customer = loop.create("customers", **ADA)
    loop.browser.submit("/config/integration/crm-api", enabled=False)
    loop.deliver()
    loop.work()
    assert loop.row(Key(Kind.CUSTOMER, customer)) is None
    (row,) = loop.inbox()
    assert (row.state, row.attempts) == ("waiting", 0)
    assert "not enabled" in row.last_error
    loop.browser.submit("/config/integration/crm-api", enabled=True)
    loop.work(RECHECKED_S)
    assert loop.row(Key(Kind.CUSTOMER, customer))["first_name"] == "Ada"


def test_the_dashboard_shows_before_and_after_of_an_agents_edit(loop: Loop) -> None:
    customer = loop.create("customers", **ADA)
    loop.deliver()
    loop.work()
    loop.edit("customers", customer, company="Analytical Engines")
    loop.deliver()
    loop.work()
    page = Browser.of(create_dashboard(loop.engine).test_client()).get(f"/customers/{customer}")
    assert "changed company empty Analytical Engines" in page.text
    kept = loop.read(counts.read)
    assert (sum(kept.values()), kept.number(State.DONE, TRIGGER)) == (2, 2)


@pytest.mark.parametrize("day", [date(2026, 1, 31), date(2028, 2, 29)])
def test_due_dates_survive_the_wire(loop: Loop, day: date) -> None:
    customer = loop.create("customers", **ADA)
    due = f"{day.isoformat()}T23:59"
    task = loop.create("tasks", f"?accountnum={customer}", subject="Call", duedate=due)
    loop.deliver()
    loop.work()
    assert loop.row(Key(Kind.TASK, task))["due_at"].isoformat() == f"{due}:00+00:00"
