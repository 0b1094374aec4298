"""A simulator inside a test or a script, and the same verbs for one that runs elsewhere."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from flask import Flask, request

from simulator import (
    Control,
    ControlRefused,
    ControlUnreachable,
    NotInTime,
    Simulator,
    attach,
    delivered,
    fetched,
    idle,
)
from simulator.triggers.urls import Event, Kind
from tests.tls_receiver import PATIENCE_S, open_sockets

ADA = {"firstname": "Ada", "lastname": "Byron"}


class Toy:
    """A receiver's app that tells the test what came."""

    def __init__(self) -> None:
        self.app = Flask("toy")
        self.paths: list[str] = []
        self.app.add_url_rule("/<path:rest>", "hook", self._hook, methods=["GET", "POST"])

    def _hook(self, rest: str) -> str:
        self.paths.append(f"{rest}?{request.query_string.decode()}")
        return "ok"


@pytest.fixture(scope="module")
def running() -> Iterator[Simulator]:
    with Simulator(control_token="a-long-token") as simulator:
        yield simulator


@pytest.fixture(params=["in this process", "elsewhere"])
def sim(request: pytest.FixtureRequest, running: Simulator) -> Iterator[Control]:
    """The same simulator through either transport."""
    running.reset()
    if request.param == "in this process":
        yield running
        running.close()
        return
    with attach(running.url, ca=running.ca_path, token="a-long-token") as attached:
        yield attached


def test_the_tests_own_receiver_is_served_trusted_and_called(sim: Control) -> None:
    toy = Toy()
    sim.triggers.set_all(sim.serve(toy.app) + "/hook/{kind}/{event}")

    customer = sim.agent.create_customer(**ADA)
    case = sim.agent.acting_as("ag1002").create_case(customer, subject="Noise")

    sim.wait(delivered(customer))
    sim.wait(delivered(case))
    number = customer.record_id
    assert set(toy.paths) == {
        f"hook/customer/create?AccountID={number}",
        f"hook/case/create?AccountID={number}&CaseID={case.record_id}",
    }


def test_every_verb_of_agents(sim: Control) -> None:
    sim.deliveries.pause()
    sim.triggers.set_all("https://crm.example/hook")
    agent = sim.agent
    customer = agent.create_customer(**ADA)
    case = agent.create_case(customer, subject="Noise")
    followup = agent.create_followup(case, subject="Called back")
    task = agent.create_task(customer, subject="Call back")
    agent.edit_customer(customer, company="Engines")
    agent.edit_case(case, status="Closed")
    assert agent.edit_followup(followup, body="x").delivery_id is None  # fires nothing
    agent.edit_task(task.record_id, task_status="Completed")
    agent.delete_followup(followup)
    agent.delete_task(task)
    agent.delete_case(case)
    agent.delete_customer(customer)

    fired = [(one.kind, one.event) for one in sim.deliveries.list()]
    assert fired == [
        (kind, event)
        for event, kinds in (
            (Event.CREATE, (Kind.CUSTOMER, Kind.CASE, Kind.FOLLOWUP, Kind.TASK)),
            (Event.EDIT, (Kind.CUSTOMER, Kind.CASE, Kind.TASK)),
            (Event.DELETE, (Kind.FOLLOWUP, Kind.TASK, Kind.CASE, Kind.CUSTOMER)),
        )
        for kind in kinds
    ]
    assert sim.records.get("cases", case).values is None
    assert len(sim.records.get(Kind.CASE, case).versions) == 3


def test_every_silent_verb(sim: Control) -> None:
    customer = sim.api.create_customer(**ADA)
    case = sim.api.create_case(customer, subject="Noise")
    sim.api.create_followup(case, subject="Called back")
    sim.api.edit_case(case, status="Pending")
    mapping = {"First": "FIRSTNAME", "Last": "LASTNAME"}
    assert sim.api.import_csv("Customer", "First,Last\nZoë,Müller\n", mapping).loaded == 1
    assert sim.api.bulk_create(2) == 2
    [task] = sim.api.auto_log()
    filed = sim.api.inbound_email("ada@example.com", subject="Hello")

    assert sim.records.get("tasks", task).values is not None
    assert {one.record_id for one in sim.records.list("cases")} == {case.record_id, filed.case}
    assert sim.deliveries.list() == []


def test_state_is_kept_and_restored(sim: Control) -> None:
    sim.seed(customers=3, seed=8)
    sim.snapshot("three")
    sim.reset()
    assert sim.records.list("customers") == []
    sim.restore("three")
    assert len(sim.records.list("customers")) == 3
    assert [one.name for one in sim.snapshots()] == ["three"]
    sim.delete_snapshot("three")


def test_a_refusal_is_one_exception_with_the_sentence_and_the_field(sim: Control) -> None:
    with pytest.raises(ControlRefused, match="There is no snapshot nowhere") as refusal:
        sim.restore("nowhere")
    assert (refusal.value.status, refusal.value.field) == (404, "name")


def test_credentials_open_the_crm_api(sim: Control) -> None:
    known = sim.credentials
    number = sim.agent.create_customer(**ADA).record_id
    reply = requests.post(
        f"{known.url}/cc/v1/wapi",
        data=f'<COMMAND OBJECT="Customer" ACTION="GET"><ACCOUNTNUM>{number}</ACCOUNTNUM></COMMAND>',
        headers={
            "X-8x8-Tenant": known.tenant,
            "x-api-key": str(known.api_key),
            "Content-Type": "application/xml",
        },
        verify=str(sim.ca_path),
        timeout=PATIENCE_S,
    )
    assert f"<ACCOUNTNUM>{number}</ACCOUNTNUM>" in reply.text


def test_a_failed_assertion_on_deliveries_says_what_came_nearest(sim: Control) -> None:
    toy = Toy()
    sim.triggers.set("Customer", "Create", sim.serve(toy.app) + "/hook")
    customer = sim.agent.create_customer(**ADA)
    sim.wait(delivered(customer))
    sim.deliveries.assert_delivered(customer, times=1)
    with pytest.raises(AssertionError) as failure:
        sim.deliveries.assert_delivered(customer, event="Edit")
    said = str(failure.value)
    assert said.startswith("0 deliveries fit (state=delivered, record_id=10000000, kind=Customer")
    assert "delivery 1: Customer Create 10000000" in said
    assert "event (it is Create)" in said


def test_many_are_redelivered(sim: Control) -> None:
    toy = Toy()
    sim.triggers.set_all(sim.serve(toy.app) + "/hook")
    sim.agent.create_customer(**ADA)
    sim.wait(idle)
    assert sim.deliveries.redeliver_many(dry_run=True).count == 1
    assert sim.deliveries.redeliver_many(expected=1, kind="Customer").delivery_ids == [1]
    sim.wait(idle)
    assert len(toy.paths) == 2


def test_waiting_in_vain_says_why(sim: Control) -> None:
    sim.clock.freeze()
    sim.triggers.set_all("https://127.0.0.1:1/nobody")
    customer = sim.agent.create_customer(**ADA)
    with pytest.raises(NotInTime, match="Not idle within 0 s") as vain:
        sim.wait(idle, timeout_s=0)
    assert [one.record_id for one in vain.value.why.deliveries] == [customer.record_id]
    with pytest.raises(NotInTime, match="Nobody has read Customer"):
        sim.wait(fetched(customer), timeout_s=0)
    with pytest.raises(ControlRefused) as refused:
        sim.wait(delivered(customer.record_id), timeout_s=0)  # a number alone tells no kind
    assert refused.value.field == "kind"


def test_the_clock_plays_a_whole_outage(sim: Control) -> None:
    sim.clock.freeze()
    sim.triggers.set_all("https://127.0.0.1:1/nobody")
    sim.agent.create_customer(**ADA)
    begun = sim.clock.now()
    moved = sim.clock.advance(timedelta(hours=31))

    assert (moved.now, moved.idle) == (begun + timedelta(hours=31), True)
    [delivery] = sim.deliveries.list(state="exhausted")
    assert delivery.attempt_count == 8
    assert len(sim.journal.list(door="trigger")) == 8
    assert sim.events.list(what="attempt-ended", limit=1)[0].at < moved.now
    with pytest.raises(ControlRefused) as refused:
        sim.clock.set(begun)
    assert refused.value.field == "at"
    sim.clock.resume()
    assert not sim.clock.frozen


def test_a_fault_is_added_seen_and_cleared(sim: Control) -> None:
    toy = Toy()
    sim.triggers.set_all(sim.serve(toy.app) + "/hook")
    sim.clock.freeze()
    fault = sim.faults.add("duplicate", first=1)
    sim.agent.create_customer(**ADA)
    sim.clock.run_until_idle()

    assert len(toy.paths) == 2  # the sender saw one call
    assert sim.deliveries.list()[0].attempt_count == 1
    assert sim.faults.get(fault).fired == 1
    sim.faults.add("never_send")
    assert (sim.faults.clear(fault), sim.faults.clear()) == (0, 1)
    assert sim.faults.list() == []
    assert "duplicate" in {kind.fault for kind in sim.faults.kinds()}


def test_nobody_there_is_a_sentence() -> None:
    with pytest.raises(ControlUnreachable, match="not started"):
        Simulator().reset()
    with pytest.raises(ControlUnreachable, match=r"No simulator answers at http://127\.0\.0\.1:1"):
        attach("http://127.0.0.1:1").reset()


def test_it_starts_anew_after_a_stop_and_leaves_nothing() -> None:
    before = set(threading.enumerate()), open_sockets()
    simulator = Simulator()
    for _ in range(2):
        with simulator:
            folder = simulator.settings.data_dir
            simulator.serve(Toy().app)
            assert simulator.agent.create_customer(**ADA).record_id == "10000000"
        assert not folder.exists()
        assert not simulator.running
    assert (set(threading.enumerate()), open_sockets()) == before


FORGETFUL = """
import gc, pathlib, threading
from simulator import Simulator

def forget(sim):
    sim.start()
    sim.serve(lambda environ, start_response: [])
    sim.seed(1)
    return sim.settings.data_dir

folder = forget(Simulator())
gc.collect()
assert not folder.exists()
assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
kept = Simulator()
print(forget(kept), kept.url.rpartition(":")[2])
"""


def test_a_forgotten_simulator_leaves_no_thread_port_or_file(tmp_path: Path) -> None:
    """Once it is collected; at the latest when the process ends."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", FORGETFUL],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S * 5,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not Path(done.stdout.split()[0]).exists()
    assert list(tmp_path.iterdir()) == []
