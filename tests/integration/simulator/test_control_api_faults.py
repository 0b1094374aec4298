"""Faults over the control API: what is added, listed, cleared, and refused by name."""

from datetime import timedelta
from typing import Any

import openapi_spec_validator
import pytest
from flask.testing import FlaskClient

from simulator.clock import ManualClock
from simulator.faults.models import FAULTS
from simulator.server import Simulator
from tests.conftest import MORNING


@pytest.fixture
def client(simulator: Simulator) -> FlaskClient:
    return simulator.app.test_client()


def add(client: FlaskClient, **fault: Any) -> dict[str, Any]:
    reply = client.post("/_sim/faults", json=fault)
    assert reply.status_code == 201, reply.text
    found: dict[str, Any] = reply.get_json()
    return found


def refused_fields(client: FlaskClient, body: Any) -> list[tuple[str, str]]:
    reply = client.post("/_sim/faults", json=body)
    assert (reply.status_code, reply.mimetype) == (422, "application/problem+json"), reply.text
    assert client.get("/_sim/faults").get_json() == {"faults": []}
    return [(one["field"], one["message"]) for one in reply.get_json()["errors"]]


def test_a_fault_is_listed_as_it_was_added_until_it_is_cleared(
    client: FlaskClient, clock: ManualClock
) -> None:
    added = add(client, fault="stale_read", kind="Case", stale_s=2.5, for_s=60)

    assert (added["where"], added["in_force"], added["fired"]) == ("crm_api", True, 0)
    assert added["fault"]["stale_s"] == 2.5
    assert added["added_at"] == MORNING.isoformat().replace("+00:00", "Z")
    assert client.get("/_sim/faults").get_json() == {"faults": [added]}
    assert client.get(f"/_sim/faults/{added['id']}").get_json() == added
    clock.advance(timedelta(seconds=60))
    assert client.get("/_sim/faults").get_json()["faults"][0]["in_force"] is False
    assert client.delete(f"/_sim/faults/{added['id']}").get_json() == {"cleared": 0}
    assert client.get("/_sim/faults").get_json() == {"faults": []}


def test_what_is_listed_can_be_added_again(client: FlaskClient) -> None:
    for name in FAULTS:
        added = add(client, fault=name)
        assert add(client, **added["fault"])["fault"] == added["fault"]
    assert client.delete("/_sim/faults").get_json() == {"cleared": 2 * len(FAULTS)}


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({}, "fault", "Name the fault. There are: lose_request, "),
        ({"fault": "meteor"}, "fault", "There is no fault 'meteor'. There are: "),
        ({"fault": 7}, "fault", "There is no fault '7'."),
        ({"fault": "timeout", "delay_s": -1}, "delay_s", "greater than or equal to 0"),
        ({"fault": "timeout", "for_s": -1}, "for_s", "greater than 0"),
        ({"fault": "timeout", "for_s": 1e300}, "for_s", "less than"),
        ({"fault": "stale_read", "stale_s": 0}, "stale_s", "greater than 0"),
        ({"fault": "storm", "stale_s": 1}, "stale_s", "storm has no parameter stale_s; it takes"),
        ({"fault": "storm", "action": "Get"}, "action", "storm has no parameter action"),
        ({"fault": "timeout", "event": "Edit"}, "event", "timeout has no parameter event"),
        ({"fault": "storm", "count": "many"}, "count", "valid integer"),
        ({"fault": "storm", "kind": "Contact"}, "kind", "'Customer'"),
        ({"fault": "storm", "probability": 1.5}, "probability", "less than or equal to 1"),
        ({"fault": "storm", "nth": 0}, "nth", "greater than or equal to 1"),
        ({"fault": "storm", "nth": 1, "every": 2}, "every", "Give either nth or every, not both."),
        ({"fault": "storm", "record": ""}, "record", "at least 1 character"),
        ([], "", 'A fault is an object such as {"fault": "storm"}.'),
    ],
)
def test_what_is_wrong_with_a_fault_is_named(
    client: FlaskClient, body: Any, field: str, words: str
) -> None:
    [(named, message)] = refused_fields(client, body)

    assert named == field
    assert words in message
    assert message.endswith(".")


def test_several_wrong_fields_are_all_named(client: FlaskClient) -> None:
    body = {"fault": "http_error", "status": 200, "retry_after_s": -1, "nonsense": 1}

    named = [field for field, _ in refused_fields(client, body)]

    assert named == ["status", "retry_after_s", "nonsense"]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_fault_that_is_not_there_is_named(client: FlaskClient, method: str) -> None:
    reply = client.open("/_sim/faults/7", method=method)

    assert (reply.status_code, reply.mimetype) == (404, "application/problem+json")
    assert reply.get_json()["errors"] == [
        {"field": "fault_id", "message": "There is no fault 7. It may have been cleared."}
    ]


def test_what_faults_there_are_is_said_with_their_parameters(client: FlaskClient) -> None:
    kinds = {kind["fault"]: kind for kind in client.get("/_sim/faults/kinds").get_json()["kinds"]}

    assert list(kinds) == list(FAULTS)
    assert kinds["storm"]["where"] == "trigger"
    parameters = {one["name"]: one for one in kinds["storm"]["parameters"]}
    assert (parameters["count"]["default"], parameters["count"]["accepts"]["maximum"]) == (50, 1000)
    assert parameters["event"]["accepts"]["enum"] == ["Create", "Edit", "Delete"]
    for kind in kinds.values():
        assert kind["effect"].endswith(".")
        assert all(one["description"] for one in kind["parameters"]), kind


def test_the_description_knows_every_fault(client: FlaskClient) -> None:
    description = client.get("/_sim/openapi.json").get_json()

    openapi_spec_validator.validate(description)
    assert {"/_sim/faults", "/_sim/faults/kinds"} <= description["paths"].keys()
    body = description["components"]["schemas"]["NewFault"]
    assert set(body["discriminator"]["mapping"]) == set(FAULTS)
    for name in body["discriminator"]["mapping"].values():
        assert name.rpartition("/")[2] in description["components"]["schemas"]
