"""Changes over the control API: the agents' door fires, the silent ones do not."""

from datetime import timedelta
from typing import Any

import pytest

from simulator.clock import ManualClock
from simulator.server import Simulator
from tests.integration.simulator.control import Caller

ADA = {"firstname": "Ada", "lastname": "Byron", "email": "ada@example.com"}


@pytest.fixture
def call(simulator: Simulator) -> Caller:
    caller = Caller.of(simulator)
    caller("PUT", "/triggers", all="https://crm.example/hook/{kind}/{event}")
    return caller


def customer(call: Caller, **values: str) -> str:
    created = call("POST", "/agent/customers", values={**ADA, **values})
    return str(created["record_id"])


def urls(call: Caller) -> list[str]:
    return [delivery["url"] for delivery in call("GET", "/deliveries")["deliveries"]]


def test_an_agent_creates_edits_and_deletes_and_each_fires(call: Caller) -> None:
    account = customer(call)
    created = call("POST", "/agent/cases", values={"accountnum": account, "subject": "Noise"})
    case = created["record_id"]
    edited = call("PATCH", f"/agent/cases/{case}", values={"status": "Closed"})
    deleted = call("DELETE", f"/agent/cases/{case}?agent=ag1003")

    assert [one["delivery_id"] for one in (created, edited, deleted)] == [2, 3, 4]
    assert urls(call) == [
        f"https://crm.example/hook/customer/create?AccountID={account}",
        *(
            f"https://crm.example/hook/case/{event}?AccountID={account}&CaseID={case}"
            for event in ("create", "edit", "delete")
        ),
    ]
    versions = call("GET", f"/records/cases/{case}")["versions"]
    assert [(one["event"], one["actor"]) for one in versions] == [
        ("Create", "ag1001"),
        ("Edit", "ag1001"),
        ("Delete", "ag1003"),
    ]


def test_all_four_kinds_have_their_door(call: Caller) -> None:
    account = customer(call)
    case = call("POST", "/agent/cases", values={"accountnum": account, "subject": "s"})["record_id"]
    followup = call("POST", "/agent/followups", values={"casenum": case, "subject": "s"})
    due = {"accountnum": account, "subject": "s", "duedate": "2026-05-01T10:30:00+02:00"}
    task = call("POST", "/agent/tasks", values=due)

    shown = call("GET", f"/records/tasks/{task['record_id']}")["values"]
    assert shown["duedate"] == "2026-05-01T08:30:00.000000+00:00"
    shown = call("GET", f"/records/followups/{followup['record_id']}")["values"]
    assert (shown["casenum"], shown["accountnum"]) == (case, account)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"lastname": "Byron"}, ["firstname"]),
        ({**ADA, "lasname": "x"}, ["lasname"]),
        ({**ADA, "firstname": 7}, ["firstname"]),
        ({**ADA, "email": "nobody", "voice": "1" * 99}, ["email", "voice"]),
        ({**ADA, "accountnum": "5"}, ["accountnum"]),
        ({**ADA, "custom_fields": {"shoe": "44"}}, ["shoe"]),
        ({**ADA, "custom_fields": "44"}, ["custom_fields"]),
    ],
)
def test_a_value_that_breaks_a_rule_is_named(
    call: Caller, values: dict[str, Any], named: list[str]
) -> None:
    problem = call.refused(422, "POST", "/agent/customers", values=values)

    assert sorted(problem["named"]) == named
    assert call("GET", "/records/customers")["total"] == 0


def test_what_is_not_there_is_a_problem(call: Caller) -> None:
    call.refused(404, "PATCH", "/agent/customers/77", values={"firstname": "B"})
    call.refused(404, "DELETE", "/agent/tasks/77")
    assert call.refused(404, "GET", "/records/tasks/77")["named"] == ["record_id"]
    assert call.refused(422, "POST", "/agent/customer", values=ADA)["named"] == ["kind"]
    refusal = call.refused(422, "POST", "/agent/customers?agent=ag9", values=ADA)
    assert refusal["named"] == ["agent"]
    task = {"accountnum": customer(call), "subject": "s", "duedate": "tomorrow"}
    assert call.refused(422, "POST", "/agent/tasks", values=task)["named"] == ["duedate"]


def test_the_crm_apis_changes_are_silent(call: Caller) -> None:
    added = call("POST", "/api/customers", values=ADA)
    call("PATCH", f"/api/customers/{added['record_id']}", values={"company": "Engines"})

    versions = call("GET", f"/records/customers/{added['record_id']}")["versions"]
    assert [one["origin"] for one in versions] == ["api", "api"]
    assert versions[1]["values"]["company"] == "Engines"
    assert urls(call) == []
    refusal = call.refused(422, "PATCH", "/api/followups/1", values={"subject": "s"})
    assert refusal["named"] == ["kind"]


def test_the_other_channels_are_silent_too(call: Caller) -> None:
    mapping = {"First": "FIRSTNAME", "Last": "LASTNAME"}
    rows = "First,Last\r\nAda,Byron\r\nNobody,\r\n"
    loaded = call("POST", "/silent/csv-import", kind="Customer", content=rows, mapping=mapping)
    assert (loaded["loaded"], loaded["rejected"]) == (1, 1)
    assert loaded["rejects"][0]["line"] == 3
    assert call("POST", "/silent/bulk-create", customers=3) == {"customers": 3}
    assert len(call("POST", "/silent/auto-log", calls=2)["tasks"]) == 2
    filed = call("POST", "/silent/inbound-email", sender="Zoë <zoe@example.com>", subject="Noise")
    assert filed["new_customer"]
    assert call("GET", f"/records/cases/{filed['case']}")["values"]["subject"] == "Noise"
    assert call("GET", "/records/customers")["total"] == 5
    assert urls(call) == []


def test_what_a_silent_channel_refuses_is_a_problem(call: Caller) -> None:
    problem = call.refused(
        422, "POST", "/silent/csv-import", kind="Customer", content="", mapping={"A": "FIRSTNAME"}
    )
    assert problem["detail"].startswith("The file is empty.")
    call.refused(409, "POST", "/silent/auto-log", calls=1)
    assert call.refused(422, "POST", "/silent/inbound-email", sender="nobody")["named"] == ["email"]
    assert call.refused(422, "POST", "/silent/bulk-create", customers=0)["named"] == ["customers"]


def test_a_record_is_shown_as_it_was(call: Caller, clock: ManualClock) -> None:
    account, then = customer(call), clock.now()
    clock.advance(timedelta(hours=1))
    call("PATCH", f"/agent/customers/{account}", values={"company": "Engines"})
    call("DELETE", f"/agent/customers/{account}")

    path = f"/records/customers/{account}"
    assert call("GET", path)["values"] is None
    as_of = then.isoformat().replace("+", "%2B")
    assert call("GET", f"{path}?as_of={as_of}")["values"]["company"] == ""
    assert call.refused(422, "GET", f"{path}?as_of=noon")["named"] == ["as_of"]


def test_records_are_listed_by_pages_newest_first(call: Caller) -> None:
    call("POST", "/seed", customers=5)
    page = call("GET", "/records/customers?per_page=2&page=2")

    assert [one["record_id"] for one in page["records"]] == ["10000002", "10000001"]
    assert (page["page"], page["pages"], page["total"]) == (2, 3, 5)


def test_boxes_are_set_together_or_not_at_all(call: Caller) -> None:
    before = call("GET", "/triggers")
    wrong = [{"kind": "Case", "event": "Edit", "url": "http://crm.example/"}]
    problem = call.refused(422, "PUT", "/triggers", all="https://other.example/", boxes=wrong)

    assert problem["named"] == ["boxes.0.url"]
    assert call("GET", "/triggers") == before
    assert call.refused(422, "PUT", "/triggers", all="ftp://x/{kind}")["named"] == ["all"]
    one = [{"kind": "Case", "event": "Edit", "url": ""}]
    emptied = call("PUT", "/triggers", boxes=one)["boxes"]
    assert [box["kind"] for box in emptied if not box["url"]] == ["Case"]
