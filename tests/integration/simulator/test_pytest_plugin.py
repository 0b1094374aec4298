"""The pytest plugin, as a user has it: pytest runs in a folder of the user's own."""

import subprocess
import sys
from pathlib import Path

import pytest

from simulator import Simulator
from tests.tls_receiver import PATIENCE_S


class Suite:
    """A user's tests in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, **files: str) -> None:
        """Modules by name."""
        for name, text in files.items():
            (self.folder / f"{name}.py").write_text(text)

    def run(self, *arguments: str) -> "Ended":
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-W", "error", *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S * 10,
            check=False,
        )
        return Ended(done.returncode, done.stdout + done.stderr)


class Ended:
    """A run of pytest."""

    def __init__(self, code: int, said: str) -> None:
        self.code = code
        self.said = said

    def assert_passed(self, count: int) -> None:
        assert self.code == 0, self.said
        assert f"{count} passed" in self.said, self.said


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return Suite(tmp_path)


CLEAN_EACH_TIME = """
import pytest

@pytest.mark.parametrize("n", range(6))
def test_clean(crm_sim, n):
    assert crm_sim.triggers.list()[0].url == ""
    assert crm_sim.read_settings()["email_max_length"] == 254
    assert not crm_sim.clock.frozen
    crm_sim.triggers.set_all("https://127.0.0.1:1/nobody")
    crm_sim.change_settings(email_max_length=40)
    crm_sim.clock.freeze()
    number = crm_sim.agent.create_customer(firstname="Ada", lastname="Byron").record_id
    assert number == "10000000"
    if n == 3:
        crm_sim.stop()
"""

OWN_PACKAGES = """
from datetime import timedelta
from pathlib import Path

import pytest
import receiver
from receiver.app import MINE

@pytest.fixture(scope="session")
def crm_sim_config():
    return {"tenant": "of the config"}

def test_the_folders_own_receiver_is_imported(crm_sim):
    assert MINE
    assert Path(receiver.__file__).parent.parent == Path(__file__).parent

def test_the_config_is_obeyed_and_so_is_an_option(crm_sim):
    assert crm_sim.credentials.tenant == "of the config"
    assert crm_sim.read_settings()["retry_schedule"] == "quick"
    assert crm_sim.read_settings()["retry_jitter"] == 0

def test_the_clock_stands_still(crm_sim, crm_sim_clock):
    now = crm_sim_clock.now()
    crm_sim_clock.advance(timedelta(hours=1))
    assert crm_sim_clock.now() == now + timedelta(hours=1)

def test_further_ones(make_crm_sim, crm_sim):
    other = make_crm_sim(tenant="other")
    assert other.url != crm_sim.url
    assert other.credentials.tenant == "other"

def test_threads(crm_sim, make_crm_sim):
    make_crm_sim()
"""

FAILING = """
def test_fails(crm_sim):
    crm_sim.triggers.set_all("https://127.0.0.1:1/nobody")
    crm_sim.clock.freeze()
    customer = crm_sim.agent.create_customer(firstname="Ada", lastname="Byron")
    crm_sim.clock.advance(1)
    crm_sim.deliveries.assert_delivered(customer, event="Edit")
"""

ELSEWHERE = """
def test_elsewhere(crm_sim_noproc):
    assert crm_sim_noproc.records.list("customers") == []
    crm_sim_noproc.agent.create_customer(firstname="Ada", lastname="Byron")
"""


def test_each_test_finds_it_clean(suite: Suite) -> None:
    suite.write(test_clean=CLEAN_EACH_TIME)
    suite.run().assert_passed(6)


def test_four_workers_have_one_each(suite: Suite) -> None:
    suite.write(test_clean=CLEAN_EACH_TIME)
    suite.run("-n", "4").assert_passed(6)


def test_it_works_beside_a_receiver_package_of_the_users_own(suite: Suite) -> None:
    suite.write(test_own=OWN_PACKAGES)
    (suite.folder / "receiver").mkdir()
    (suite.folder / "receiver" / "__init__.py").touch()
    (suite.folder / "receiver" / "app.py").write_text("MINE = True\n")
    (suite.folder / "pytest.ini").write_text("[pytest]\ncrm_sim_retry_jitter = 0\n")
    suite.run("--crm-sim-retry-schedule", "quick").assert_passed(5)


def test_a_failed_assertion_shows_the_near_misses(suite: Suite) -> None:
    suite.write(test_failing=FAILING)
    ended = suite.run()

    assert ended.code == 1
    assert "0 deliveries fit (state=delivered, record_id=10000000, kind=Customer" in ended.said
    assert "differs in state (it is waiting), event (it is Create)" in ended.said
    assert "Deliveries of crm_sim" in ended.said
    assert "refused the connection" in ended.said


def test_one_that_runs_elsewhere_is_attached_to(suite: Suite) -> None:
    suite.write(test_elsewhere=ELSEWHERE)
    with Simulator(control_token="a-long-token") as simulator:
        simulator.seed(1)
        options = ("--crm-sim-url", simulator.url, "--crm-sim-ca", str(simulator.ca_path))
        suite.run(*options, "--crm-sim-token", "a-long-token").assert_passed(1)
        assert [one.record_id for one in simulator.records.list("customers")] == ["10000000"]
        refused = suite.run(*options)
    assert "CRM_SIM_CONTROL_TOKEN" in refused.said
    assert "--crm-sim-url, the ini value crm_sim_url or CRM_SIM_URL" in suite.run().said


def test_nothing_heavy_is_imported_until_a_fixture_is_used(suite: Suite) -> None:
    heavy = ("flask", "sqlalchemy", "requests", "apscheduler", "pydantic", "simulator.server")
    suite.write(
        test_light=f"""
import sys

def test_light(pytestconfig):
    assert pytestconfig.pluginmanager.hasplugin("crm_simulator")
    assert [name for name in {heavy} if name in sys.modules] == []
"""
    )
    suite.run("-p", "no:pytest-flask", "-p", "no:flask").assert_passed(1)
