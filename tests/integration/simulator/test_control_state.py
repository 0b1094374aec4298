"""The simulator as a whole over the control API: reset, snapshots, settings, certificates."""

import sqlite3
import ssl
import threading
from contextlib import closing
from pathlib import Path

import pytest

from simulator.local_crm.models import ApiAccess
from simulator.local_crm.secrets import hash_secret
from simulator.server import Simulator
from simulator.settings import Settings
from tests.integration.simulator.control import Caller
from tests.tls_receiver import PATIENCE_S, Conversation, TlsReceiver, answer


@pytest.fixture
def call(simulator: Simulator) -> Caller:
    return Caller.of(simulator)


def customer(call: Caller) -> str:
    values = {"firstname": "Ada", "lastname": "Byron"}
    return str(call("POST", "/agent/customers", values=values)["record_id"])


def test_a_reset_leaves_what_a_first_start_leaves(call: Caller, simulator: Simulator) -> None:
    fresh = [call("GET", path) for path in ("/settings", "/triggers", "/credentials")]
    call("PUT", "/triggers", all="https://crm.example/hook")
    call("PATCH", "/settings", trigger_timeout_s=1, first_number=77)
    call("POST", "/deliveries/pause")
    call("POST", "/faults", fault="never_send")
    call("POST", "/clock/advance", by_s=3600)
    with simulator.services.sessions.begin() as session:
        session.connection().exec_driver_sql("UPDATE api_access SET tenant = 'other'")
    assert customer(call) == "77"

    call("POST", "/reset")

    assert call("GET", "/clock")["now"] == "2026-03-02T09:00:00Z"
    assert call("GET", "/faults") == {"faults": []}
    assert call("GET", "/journal") == {"entries": []}
    assert call("GET", "/events")["events"] == []
    assert [call("GET", path) for path in ("/settings", "/triggers", "/credentials")] == fresh
    assert call("GET", "/records/customers")["total"] == 0
    assert call("GET", "/deliveries") == {"deliveries": [], "total": 0, "paused": False}
    assert customer(call) == "10000000"


def test_a_call_that_was_under_way_at_a_reset_says_nothing_of_later_deliveries(
    sim_settings: Settings, tls_receiver: TlsReceiver
) -> None:
    answered = threading.Event()

    def late(conversation: Conversation) -> None:
        answered.wait(PATIENCE_S)
        answer(200)(conversation)

    tls_receiver.will(late)
    with Simulator(sim_settings) as simulator:
        call = Caller.of(simulator)
        call("PUT", "/triggers", all=tls_receiver.url())
        customer(call)
        tls_receiver.next_request()
        call("POST", "/reset")
        call("POST", "/deliveries/pause")
        call("PUT", "/triggers", all=tls_receiver.url())
        customer(call)
        answered.set()
        with simulator.services.dispatcher.hold():  # whatever was under way is recorded
            found = call("GET", "/deliveries/1")
        assert (found["state"], found["attempt_count"]) == ("waiting", 0)


def test_a_kept_state_comes_back_whole(call: Caller) -> None:
    call("PUT", "/triggers", all="https://crm.example/hook")
    account = customer(call)
    then = [call("GET", path) for path in ("/deliveries", "/triggers", "/records/customers")]
    kept = call("PUT", "/snapshots/one-customer")
    call("DELETE", f"/agent/customers/{account}")
    call("PUT", "/triggers", all="https://other.example/")

    for _ in range(2):
        call("POST", "/snapshots/one-customer/restore")
        now = [call("GET", path) for path in ("/deliveries", "/triggers", "/records/customers")]
        assert now == then
        call("POST", "/reset")
    assert call("GET", "/snapshots")["snapshots"] == [kept]
    call("DELETE", "/snapshots/one-customer")
    assert call("GET", "/snapshots")["snapshots"] == []


def test_a_snapshot_that_is_not_there_is_named(call: Caller) -> None:
    call("PUT", "/snapshots/here")
    problem = call.refused(404, "POST", "/snapshots/there/restore")

    assert problem["named"] == ["name"]
    assert problem["detail"] == "There is no snapshot there. There is: here."
    call.refused(404, "DELETE", "/snapshots/there")
    assert call.refused(422, "PUT", "/snapshots/..")["named"] == ["name"]


def test_a_snapshot_that_is_broken_leaves_all_as_it_was(call: Caller, simulator: Simulator) -> None:
    account = customer(call)
    call("PUT", "/snapshots/broken")
    path: Path = simulator.settings.data_dir / "snapshots" / "broken.db"
    path.write_bytes(b"this is no database" * 1000)

    problem = call.refused(409, "POST", "/snapshots/broken/restore")

    assert problem["named"] == ["name"]
    assert call("GET", f"/records/customers/{account}")["values"]["firstname"] == "Ada"


def test_a_snapshot_of_another_version_is_refused(call: Caller, simulator: Simulator) -> None:
    account = customer(call)
    call("PUT", "/snapshots/old")
    path: Path = simulator.settings.data_dir / "snapshots" / "old.db"
    with closing(sqlite3.connect(path)) as kept:
        kept.execute("PRAGMA user_version = 1")

    problem = call.refused(409, "POST", "/snapshots/old/restore")

    assert "kept by another version of the simulator" in problem["detail"]
    assert call("GET", f"/records/customers/{account}")["values"]["firstname"] == "Ada"


def test_settings_change_while_it_runs(call: Caller) -> None:
    shown = call("PATCH", "/settings", email_max_length=40, retry_schedule="quick")["settings"]

    assert (shown["email_max_length"], shown["retry_schedule"]) == (40, "quick")
    values = {"firstname": "Ada", "lastname": "Byron", "email": f"{'a' * 40}@example.com"}
    call.refused(422, "POST", "/agent/customers", values=values)
    call("PATCH", "/settings", email_max_length=254)
    call("POST", "/agent/customers", values=values)


def test_no_setting_shows_a_secret(call: Caller) -> None:
    shown = call("GET", "/settings")

    assert "crmapi-demo" not in str(shown)
    assert "port" not in shown["changeable"]


def test_settings_that_cannot_change_are_refused_by_name(call: Caller) -> None:
    assert call.refused(409, "PATCH", "/settings", port=1)["named"] == ["port"]
    assert call.refused(422, "PATCH", "/settings", colour="red")["named"] == ["colour"]
    wrong = call.refused(422, "PATCH", "/settings", trigger_timeout_s=-1, retry_jitter=0)
    assert wrong["named"] == ["trigger_timeout_s"]


def test_the_method_of_triggers_changes_for_the_next_one(
    simulator: Simulator, call: Caller, tls_receiver: TlsReceiver
) -> None:
    call("PUT", "/triggers", all=tls_receiver.url())
    tls_receiver.will(answer(204))
    call("PATCH", "/settings", trigger_method="POST", trigger_success="2xx")
    customer(call)
    simulator.services.dispatcher.run_once()

    assert tls_receiver.next_request().method == "POST"
    assert call("GET", "/deliveries/1")["state"] == "delivered"


def test_credentials_are_given_as_long_as_they_hold(call: Caller, simulator: Simulator) -> None:
    given = call("GET", "/credentials")
    assert (given["tenant"], given["username"]) == ("demo", "crmapi")
    assert (given["password"], given["api_key"]) == ("crmapi-demo", "demo-api-key")
    with simulator.services.sessions.begin() as session:
        session.get_one(ApiAccess, 1).password_hash = hash_secret("another", quickly=True)
    assert call("GET", "/credentials")["password"] is None


def test_a_body_that_is_too_large_is_a_problem(call: Caller) -> None:
    call.refused(413, "POST", "/silent/inbound-email", sender="a@b.example", body="x" * 2_100_000)


def test_a_certificate_is_issued_for_names(call: Caller, simulator: Simulator) -> None:
    issued = call("POST", "/certificates", names=["receiver.test", "127.0.0.1"])

    ssl.create_default_context(cadata=issued["ca"])
    assert issued["ca"] == (simulator.settings.data_dir / "ca.pem").read_text()
    assert issued["certificate"].startswith("-----BEGIN CERTIFICATE-----")
    assert "PRIVATE KEY" in issued["key"]
    refusal = call.refused(422, "POST", "/certificates", names=["no name at all"])
    assert refusal["named"] == ["names"]
