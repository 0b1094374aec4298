"""The digest: equal for equal seeds and calls, in one process and in two, and for nothing else."""

import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from simulator.events import What
from simulator.server import Simulator
from simulator.settings import Settings
from simulator.triggers.urls import Kind
from tests.conftest import MORNING
from tests.crm_api_clients import encoded
from tests.local_crm import create, fill_boxes
from tests.tls_receiver import PATIENCE_S, Authority, TlsReceiver, answer

HERE = Path(__file__)


@dataclass(frozen=True)
class Run:
    """What a run is made of."""

    seed: str = "7"
    customers: int = 4
    concurrency: int = 8
    jitter: float = 0.1
    calls: int = 1  # of the CRM API


@dataclass(frozen=True)
class Log:
    """What it left."""

    digest: str
    events: list[dict[str, Any]]
    retries: list[str]  # when each delivery is tried again


Play = Callable[[Run], Log]


def play_in(folder: Path, authority: Authority, run: Run) -> Log:
    """Some agents' actions, an outage of ten minutes, an API call; on other ports each time."""
    settings = Settings(
        data_dir=folder,
        port=0,
        freeze_at=MORNING,
        chaos_seed=run.seed,
        trigger_ca=authority.path,
        trigger_concurrency=run.concurrency,
        retry_jitter=run.jitter,
    )
    receiver = TlsReceiver(authority)
    receiver.will(*[answer(500)] * (2 * run.customers))
    try:
        with Simulator(settings) as simulator:
            client, services = simulator.app.test_client(), simulator.services
            with services.sessions.begin() as session:
                fill_boxes(session, receiver.url(""))
                for _ in range(run.customers):
                    create(session, Kind.CUSTOMER, services.clock.now())
            client.post("/_sim/clock/advance", json={"by_s": 60})
            for _ in range(run.calls):
                encoded(client, "Customer", "GET", ("LASTNAME", "O'Brien"))
            assert client.post("/_sim/clock/advance", json={"by_s": 540}).status_code == 200
            found = client.get("/_sim/events").get_json()
            assert found["chaos_seed"] == run.seed
    finally:
        receiver.close()
    ended = [event for event in found["events"] if event["what"] == "attempt-ended"]
    retries = [event["about"]["next_attempt_at"] for event in ended]
    return Log(found["digest"], found["events"], retries)


@pytest.fixture
def play(tmp_path: Path, first_start: Path, receiver_authority: Authority) -> Play:
    def played(run: Run) -> Log:
        folder = Path(tempfile.mkdtemp(dir=tmp_path)) / "data"
        shutil.copytree(first_start, folder)
        return play_in(folder, receiver_authority, run)

    return played


def test_the_same_seed_and_calls_give_the_same_log_and_digest(play: Play) -> None:
    first, second = play(Run()), play(Run())

    assert first == second
    assert re.fullmatch("[0-9a-f]{64}", first.digest)
    whats = {event["what"] for event in first.events}
    assert whats == {
        "record-changed",
        "delivery-enqueued",
        "attempt-ended",
        "api-called",
        "clock-moved",
    }


def test_how_many_are_sent_at_a_time_changes_nothing(play: Play) -> None:
    assert play(Run(concurrency=1)) == play(Run(concurrency=8))


def test_another_process_gives_the_same_digest(
    play: Play, tmp_path: Path, first_start: Path
) -> None:
    folder = tmp_path / "other"
    shutil.copytree(first_start, folder)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(HERE), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE.parents[3],
        env={"PYTHONPATH": str(HERE.parents[3]), "PYTHONHASHSEED": "12345"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    other = json.loads(done.stdout.splitlines()[-1])

    assert other == play(Run()).digest


def test_another_seed_gives_other_retry_times_and_another_digest(play: Play) -> None:
    first, second = play(Run()), play(Run(seed="8"))

    assert first.retries != second.retries
    assert first.digest != second.digest


@pytest.mark.parametrize(
    "other", [Run(calls=2), Run(customers=5), Run(jitter=0.11)], ids=["call", "customer", "jitter"]
)
def test_one_call_more_or_another_jitter_gives_another_digest(play: Play, other: Run) -> None:
    assert play(Run()).digest != play(other).digest


def test_events_are_listed_by_logical_time_and_id_whoever_comes_first(
    sim_settings: Settings,
) -> None:
    settings = sim_settings.model_copy(update={"freeze_at": MORNING})
    with Simulator(settings, ticking=False) as simulator:
        note = simulator.services.events.note
        for number in (10, 9, 11):
            note(What.ATTEMPT_ENDED, f"delivery {number}", at=MORNING)
        note(What.API_CALLED, "Customer 1", at=MORNING)
        ids = [event.id for event in simulator.services.events.listed()]
        assert ids == ["Customer 1", "delivery 9", "delivery 10", "delivery 11"]


def test_notes_of_many_threads_add_up_to_one_digest(sim_settings: Settings) -> None:
    settings = sim_settings.model_copy(update={"freeze_at": MORNING, "chaos_seed": "1"})
    digests = set()
    for workers in (1, 8):
        with Simulator(settings, ticking=False) as simulator:
            events = simulator.services.events
            with ThreadPoolExecutor(workers) as pool:
                for number in range(500):
                    pool.submit(events.note, What.API_CALLED, f"Customer {number % 50}")
            digests.add((events.count, events.digest))
    assert len(digests) == 1


def test_serve_prints_the_digest_that_it_served(sim_settings: Settings) -> None:
    command = (sys.executable, "-m", "simulator", "serve", "--port", "0")
    seeded = ("--chaos-seed", "autumn", "--freeze-at", "2026-03-02T09:00Z")
    serving = subprocess.Popen(
        [*command, *seeded, "--data-dir", str(sim_settings.data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert serving.stdout is not None
    try:
        url = serving.stdout.readline().split()[-1]
        ca = str(sim_settings.data_dir / "ca.pem")
        moved = requests.post(
            f"{url}/_sim/clock/advance", json={"by_s": 5}, verify=ca, timeout=PATIENCE_S
        )
        assert moved.json()["now"] == "2026-03-02T09:00:05Z"
        served = requests.get(f"{url}/_sim/digest", verify=ca, timeout=PATIENCE_S).json()
    finally:
        serving.send_signal(signal.SIGTERM)
        said, errors = serving.communicate(timeout=PATIENCE_S)
    assert (serving.returncode, errors) == (0, "")
    assert said == f"1 logical events, digest {served['digest']}, chaos seed autumn\n"


if __name__ == "__main__":  # the other process of the test above
    other = Path(sys.argv[1])
    print(json.dumps(play_in(other, Authority(other), Run()).digest))
