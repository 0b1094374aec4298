"""/livez, /readyz and /metrics, as a supervisor, a probe and Prometheus see them."""

from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from simulator.server import Simulator
from simulator.settings import Settings
from tests.crm_api_clients import KEY_HEADERS, command
from tests.integration.simulator.control import Caller
from tests.local_crm import one_delivery
from tests.tls_receiver import TlsReceiver, answer

TOKEN = "let-me-in"


@pytest.fixture
def ticking(sim_settings: Settings) -> Iterator[Simulator]:
    with Simulator(sim_settings) as running:
        yield running


def figures(simulator: Simulator) -> dict[str, float]:
    """Every sample by its name and labels in the order of their names, as Prometheus reads them."""
    reply = simulator.app.test_client().get("/metrics")
    assert (reply.status_code, reply.mimetype) == (200, "text/plain")
    return {
        " ".join(
            [sample.name, *(sample.labels[label] for label in sorted(sample.labels))]
        ): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_a_simulator_that_works_says_so(ticking: Simulator) -> None:
    client = ticking.app.test_client()
    assert client.get("/livez").text == "ok\n"
    reply = client.get("/readyz")
    assert reply.status_code == 200
    assert reply.get_json() == {"ready": True, "database": "ok", "dispatcher": "ok"}


def test_a_paused_simulator_is_ready(ticking: Simulator) -> None:
    Caller.of(ticking)("POST", "/deliveries/pause")
    assert ticking.app.test_client().get("/readyz").status_code == 200


def test_one_that_does_not_tick_lives_but_is_not_ready(simulator: Simulator) -> None:
    client = simulator.app.test_client()
    assert client.get("/livez").status_code == 200
    reply = client.get("/readyz")
    assert reply.status_code == 503
    assert reply.get_json()["dispatcher"] == (
        "The dispatcher does not tick: nothing is sent by itself."
    )
    assert reply.get_json()["database"] == "ok"


def test_one_whose_database_is_spoiled_is_not_ready(ticking: Simulator) -> None:
    ticking.services.dispatcher.pause()
    with ticking.services.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE api_access")
    reply = ticking.app.test_client().get("/readyz")
    assert reply.status_code == 503
    assert "cannot be read (no such table" in reply.get_json()["database"]


def test_no_token_is_needed_and_the_description_says_so(sim_settings: Settings) -> None:
    settings = sim_settings.model_validate({**sim_settings.model_dump(), "control_token": TOKEN})
    with Simulator(settings) as running:
        client = running.app.test_client()
        paths = ("/livez", "/readyz", "/metrics")
        assert [client.get(path).status_code for path in paths] == [200, 200, 200]
        assert client.get("/_sim/openapi.json").get_json()["paths"].keys() >= set(paths)
        assert TOKEN not in client.get("/metrics").text


def test_figures_tell_what_stands_where(simulator: Simulator, tls_receiver: TlsReceiver) -> None:
    tls_receiver.will(answer(500))
    one_delivery(simulator.services, tls_receiver.url(""))
    before = figures(simulator)
    assert before["crm_simulator_deliveries waiting"] == 1
    assert before["crm_simulator_oldest_waiting_seconds"] == 0

    call = Caller.of(simulator)
    call("POST", "/clock/advance", by_s=2)
    found = figures(simulator)
    assert found["crm_simulator_attempts_total failed"] == 1
    assert found["crm_simulator_oldest_waiting_seconds"] == 2

    call("POST", "/faults", fault="lose_request", times=1)
    call("POST", "/clock/advance", by_s=3)
    call("POST", "/clock/run-until-idle", timeout_s=60)
    found = figures(simulator)
    assert found["crm_simulator_attempts_total unanswered"] == 1
    assert found["crm_simulator_attempts_total delivered"] == 1
    assert found["crm_simulator_faults_fired_total lose_request"] == 1
    assert found["crm_simulator_deliveries waiting"] == 0
    assert found["crm_simulator_deliveries delivered"] == 1
    assert found["crm_simulator_deliveries exhausted"] == 0
    assert found["crm_simulator_records Customer"] == 1
    assert found["crm_simulator_records Task"] == 0


def test_callers_of_the_crm_api_cannot_make_up_labels(simulator: Simulator) -> None:
    client = simulator.app.test_client()
    simulator.agent.create_customer(firstname="Ada", lastname="Byron")

    def ask(kind: str, action: str) -> None:
        client.post(
            "/cc/v1/wapi",
            data=command(kind, action, (("ACCOUNTNUM", "10000000"),)),
            headers=KEY_HEADERS,
        )

    ask("Customer", "GET")
    ask("Nonsense", "GET")
    ask("Customer", "EXPLODE")
    Caller.of(simulator)("POST", "/faults", fault="http_error")
    ask("Case", "GET")
    found = {
        name: value
        for name, value in figures(simulator).items()
        if name.startswith("crm_simulator_crm_api_calls_total")
    }
    assert found == {
        "crm_simulator_crm_api_calls_total Get Customer answered": 1,
        "crm_simulator_crm_api_calls_total Get other refused": 1,
        "crm_simulator_crm_api_calls_total other Customer refused": 1,
        "crm_simulator_crm_api_calls_total Get Case faulted": 1,
    }


def test_each_simulator_has_figures_of_its_own(simulator: Simulator) -> None:
    with Simulator(ticking=False) as other:
        other.agent.create_customer(firstname="Ada", lastname="Byron")
        assert figures(other)["crm_simulator_records Customer"] == 1
        assert figures(simulator)["crm_simulator_records Customer"] == 0
