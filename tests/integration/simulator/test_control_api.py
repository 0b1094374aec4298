"""The control API's frame: its description, its token, and how it refuses."""

from typing import Any

import openapi_spec_validator
import pytest
from flask.testing import FlaskClient

from simulator.server import Simulator, StartRefused
from simulator.settings import Settings


@pytest.fixture
def client(simulator: Simulator) -> FlaskClient:
    return simulator.app.test_client()


def problem(response: Any, status: int) -> dict[str, Any]:
    """The problem in a refusal, which must be one."""
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    found: dict[str, Any] = response.get_json()
    assert found["status"] == status
    return found


def test_the_description_is_valid_openapi(client: FlaskClient) -> None:
    description = client.get("/_sim/openapi.json").get_json()

    openapi_spec_validator.validate(description)
    assert "/_sim/assumptions" in description["paths"]


def test_the_assumptions_are_listed_by_grade(client: FlaskClient) -> None:
    listed = client.get("/_sim/assumptions?grade=A").get_json()["assumptions"]

    assert {line["grade"] for line in listed} == {"A"}
    assert "trigger.retry-schedule" in {line["id"] for line in listed}


def test_a_wrong_parameter_is_named(client: FlaskClient) -> None:
    found = problem(client.get("/_sim/assumptions?grade=X"), 422)

    assert [one["field"] for one in found["errors"]] == ["grade"]


def test_an_unknown_address_says_where_the_known_ones_are(client: FlaskClient) -> None:
    assert "/_sim/openapi.json" in problem(client.post("/_sim/nonsense"), 404)["detail"]


def test_a_page_from_elsewhere_may_not_call(client: FlaskClient) -> None:
    problem(client.get("/_sim/assumptions", headers={"Origin": "https://evil.example"}), 403)


def test_with_a_token_set_every_call_needs_it(sim_settings: Settings) -> None:
    settings = sim_settings.model_copy(update={"control_token": "a-long-token"})
    with Simulator(Settings(**settings.model_dump()), ticking=False) as simulator:
        client = simulator.app.test_client()

        problem(client.get("/_sim/assumptions"), 401)
        wrong = {"Authorization": "Bearer another-token"}
        problem(client.get("/_sim/assumptions", headers=wrong), 401)
        right = {"Authorization": "Bearer a-long-token"}
        assert client.get("/_sim/assumptions", headers=right).status_code == 200


def test_without_a_token_only_this_machine_is_served(sim_settings: Settings) -> None:
    everywhere = sim_settings.model_copy(update={"host": "0.0.0.0"})  # noqa: S104 refused

    with pytest.raises(StartRefused, match="CRM_SIM_CONTROL_TOKEN"):
        Simulator(everywhere).start()
