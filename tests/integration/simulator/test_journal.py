"""The journal over HTTP: requests and triggers in the order in which they began, no secret."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from simulator.server import Simulator
from simulator.triggers.urls import Kind, without_secrets
from tests.conftest import MORNING
from tests.crm_api_clients import FORM, encoded, with_key
from tests.local_crm import create, fill_boxes, one_delivery
from tests.tls_receiver import Conversation, TlsReceiver, answer

SECRET = "a-secret-in-the-path"


@pytest.fixture
def client(simulator: Simulator) -> FlaskClient:
    return simulator.app.test_client()


def entries(client: FlaskClient, **query: Any) -> list[dict[str, Any]]:
    response = client.get("/_sim/journal", query_string=query)
    assert response.status_code == 200
    found: list[dict[str, Any]] = response.get_json()["entries"]
    return found


def test_a_trigger_and_the_read_that_it_causes_stand_in_the_order_in_which_they_began(
    simulator: Simulator, client: FlaskClient, tls_receiver: TlsReceiver
) -> None:
    def read_then_answer(conversation: Conversation) -> None:
        encoded(simulator.app.test_client(), "Customer", "GET", ("ACCOUNTNUM", "10000000"))
        answer(200, "thank you")(conversation)

    tls_receiver.will(read_then_answer)
    one_delivery(simulator.services, tls_receiver.url(""))
    simulator.services.dispatcher.run_once()

    sent, read = entries(client)
    assert (sent["number"], read["number"], sent["ended"], read["ended"]) == (1, 2, True, True)
    assert sent["at"] == read["at"] == "2026-03-02T09:00:00Z"
    assert sent["crm_api"] is read["trigger"] is None
    trigger = sent["trigger"]
    assert trigger.pop("duration_ms") > 0
    assert trigger == {
        "delivery_id": 1,
        "trigger": "Customer Create",
        "record_id": "10000000",
        "method": "GET",
        "url": tls_receiver.url("/customer/create?AccountID=10000000"),
        "status": 200,
        "error": None,
        "reply_excerpt": "thank you",
    }
    assert read["crm_api"] == {
        "path": "/WAPI/wapi.php",
        "tenant": "demo",
        "username": "crmapi",
        "object": "Customer",
        "action": "GET",
        "tags": [["ACCOUNTNUM", "10000000"]],
        "http_status": 200,
        "error_code": None,
        "error": None,
        "record_count": 1,
        "records": ["10000000"],
        "fault": None,
    }


def test_no_secret_is_in_the_journal_in_the_log_or_in_a_refusal(
    simulator: Simulator, client: FlaskClient, tls_receiver: TlsReceiver
) -> None:
    tls_receiver.will(answer(404, f"Not found: /8x8/{SECRET}/x?secret=hush-hush"))
    base = tls_receiver.url(f"/8x8/{SECRET}/box?secret=hush-hush&plain-token").replace(
        "https://", "https://user:pass-word@"
    )
    with simulator.services.sessions.begin() as session:
        fill_boxes(session, base)
        create(session, Kind.CUSTOMER, MORNING)
    simulator.services.dispatcher.run_once()
    names = (("FIRSTNAME", "A"), ("LASTNAME", "B"), ("PASSWORD", "pass-word"))
    encoded(client, "Customer", "ADD", *names)
    with_key(client, "Customer", "GET", ("LASTNAME", "B"))
    client.post("/WAPI/wapi.php", headers=FORM, data="xml_query=<WAPI><PASSWORD>pass-word<")

    listed = client.get("/_sim/journal").get_data(as_text=True)
    listed += client.get("/_sim/events").get_data(as_text=True)

    hidden = (SECRET, "hush-hush", "plain-token", "pass-word", "crmapi-demo", "demo-api-key")
    assert [secret for secret in hidden if secret in listed] == []
    [sent, added, _, broken] = entries(client)
    assert sent["trigger"]["url"] == (
        f"https://[redacted]@127.0.0.1:{tls_receiver.port}/8x8/[redacted]/box"
        "?secret=[redacted]&[redacted]&AccountID=10000000"
    )
    assert sent["trigger"]["reply_excerpt"].startswith("Not found: /8x8/[redacted]/x?secret=")
    assert ["PASSWORD", "[redacted]"] in added["crm_api"]["tags"]
    assert broken["crm_api"]["error_code"] == 1032


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.test/8x8?AccountID=1&CaseID=2", "https://a.test/8x8?AccountID=1&CaseID=2"),
        (f"https://a.test:8/8x8/{SECRET}/x?AccountID=1", "https://a.test:8/8x8/*/x?AccountID=1"),
        ("https://a.test/?secret=x&AccountID=1", "https://a.test/?secret=*&AccountID=1"),
        ("https://a.test/?token&AccountID=1", "https://a.test/?*&AccountID=1"),
        ("https://u:p@a.test/x?a=&AccountID=1", "https://*@a.test/x?a=&AccountID=1"),
        ("https://a.test/x?a=b?AccountID=1", "https://a.test/x?a=*"),
    ],
)
def test_of_a_url_only_server_short_paths_and_ids_are_shown(url: str, shown: str) -> None:
    assert without_secrets(url, "*")[0] == shown


def test_what_failed_is_told_with_its_reason(
    simulator: Simulator, client: FlaskClient, tls_receiver: TlsReceiver
) -> None:
    tls_receiver.close()
    one_delivery(simulator.services, tls_receiver.url(""))
    simulator.services.dispatcher.run_once()
    with_key(client, "Case", "GET", ("CASENUM", "x"))

    sent, read = entries(client)
    assert sent["trigger"]["status"] is None
    assert sent["trigger"]["error"].endswith("refused the connection.")
    assert (read["crm_api"]["error_code"], read["crm_api"]["http_status"]) == (5, 200)


def test_filters_narrow_the_journal_down(
    simulator: Simulator, client: FlaskClient, tls_receiver: TlsReceiver
) -> None:
    one_delivery(simulator.services, tls_receiver.url(""))
    simulator.services.dispatcher.run_once()
    encoded(client, "Customer", "GET", ("LASTNAME", "O'Brien"))
    encoded(client, "Case", "GET", ("ACCOUNTNUM", "10000000"))
    encoded(client, "Task", "GET", ("ACCOUNTNUM", "99"))

    def numbers(**query: Any) -> list[int]:
        return [entry["number"] for entry in entries(client, **query)]

    assert numbers() == [1, 2, 3, 4]
    assert numbers(door="trigger") == [1]
    assert numbers(door="crm_api", limit=2) == [3, 4]
    assert numbers(kind="Customer") == [1, 2]
    assert numbers(kind="Customer", action="create") == [1]
    assert numbers(record_id="10000000") == [1, 2, 3]
    assert numbers(delivery_id=1) == [1]
    assert numbers(after=2) == [3, 4]
    refused = client.get("/_sim/journal?door=window")
    assert [one["field"] for one in refused.get_json()["errors"]] == ["door"]
