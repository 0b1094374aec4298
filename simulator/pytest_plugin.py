"""Fixtures around the simulator, for whoever tests a receiver with pytest.

In: options `--crm-sim-...`, the same as ini values (`crm_sim_...`), and `crm_sim_config`. Out:

    crm_sim          the simulator, clean for each test; one for all tests of a process
    crm_sim_clock    its clock, standing still
    make_crm_sim     starts further ones, with settings of their own, stopped after the test
    crm_sim_noproc   one that runs elsewhere, found by --crm-sim-url; reset for each test
    crm_sim_config   settings for crm_sim; override it, session-scoped

Killed here: the simulators of this process are gone with it. Every run of pytest loads this file,
so what is heavy is imported when a fixture is used.
"""

import os
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from simulator.client import Attached, Control
    from simulator.server import Simulator
    from simulator.verbs.clock import Clock

_FIXTURES = ("crm_sim", "crm_sim_noproc")
# Option to the setting of crm_sim that it stands for.
_SETTINGS = {
    "retry-schedule": ("retry_schedule", "Retry schedule: standard or quick."),
    "retry-jitter": ("retry_jitter", "Share by which a retry delay may vary; 0 makes it exact."),
    "trigger-timeout-s": ("trigger_timeout_s", "Total deadline of one trigger call."),
    "chaos-seed": ("chaos_seed", "Seed of every random choice of the simulator."),
    "freeze-at": ("freeze_at", "Instant at which the clock stands still, as 2026-03-02T09:00Z."),
}
# Option to the environment variable that stands for it where it is not given.
_ELSEWHERE = {
    "url": ("CRM_SIM_URL", "Address of the running simulator that crm_sim_noproc uses."),
    "ca": ("CRM_SIM_CA", "Its CA file: ca.pem in its data folder."),
    "token": ("CRM_SIM_CONTROL_TOKEN", "The token of its control API."),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, each an ini value too."""
    group = parser.getgroup("crm-sim", "8x8 CRM trigger simulator")
    for name, (_, described) in {**_SETTINGS, **_ELSEWHERE}.items():
        group.addoption(f"--crm-sim-{name}", dest=_ini(name), default=None, help=described)
        parser.addini(_ini(name), described, default="")


@pytest.fixture(scope="session")
def crm_sim_config() -> dict[str, Any]:
    """Settings of crm_sim by name, which win over the options; override it to configure."""
    return {}


@pytest.fixture(scope="session")
def _crm_sim_of_process(
    pytestconfig: pytest.Config, crm_sim_config: dict[str, Any]
) -> Iterator["Simulator"]:
    from simulator.server import Simulator  # noqa: PLC0415

    simulator = Simulator(**{**_chosen(pytestconfig), **crm_sim_config})
    yield simulator
    simulator.stop()


@pytest.fixture
def crm_sim(_crm_sim_of_process: "Simulator") -> Iterator["Simulator"]:
    """The simulator: empty, its settings and clock as at the start, no URL in any box."""
    simulator = _crm_sim_of_process
    if not simulator.running:  # the first test, or one after a test that stopped it
        simulator.start()
    yield simulator
    simulator.close()
    if simulator.running:
        simulator.reset()


@pytest.fixture
def crm_sim_clock(crm_sim: "Simulator") -> "Clock":
    """The clock of crm_sim, standing still."""
    crm_sim.clock.freeze()
    return crm_sim.clock


@pytest.fixture
def make_crm_sim(pytestconfig: pytest.Config) -> Iterator[Callable[..., "Simulator"]]:
    """Start another simulator: `make_crm_sim(retry_schedule="quick")`."""
    from simulator.server import Simulator  # noqa: PLC0415

    made: list[Simulator] = []

    def make(**settings: Any) -> Simulator:
        simulator = Simulator(**{**_chosen(pytestconfig), **settings})
        made.append(simulator)
        return simulator.start()

    yield make
    for simulator in made:
        simulator.stop()


@pytest.fixture
def crm_sim_noproc(pytestconfig: pytest.Config) -> Iterator["Attached"]:
    """A simulator that runs elsewhere, reset before the test."""
    from simulator.client import attach  # noqa: PLC0415

    url, ca, token = (
        _option(pytestconfig, name) or os.environ.get(variable) or None
        for name, (variable, _) in _ELSEWHERE.items()
    )
    if url is None:
        raise pytest.UsageError(
            "crm_sim_noproc needs the address of a running simulator: give --crm-sim-url, the ini "
            "value crm_sim_url or CRM_SIM_URL."
        )
    with attach(url, ca=ca, token=token) as simulator:
        simulator.reset()
        yield simulator


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the deliveries where a test with a simulator has failed."""
    report = yield
    if report.failed and call.when == "call":
        for name in _FIXTURES:
            simulator: Control | None = getattr(item, "funcargs", {}).get(name)
            if simulator is not None:
                report.sections.append((f"Deliveries of {name}", _deliveries(simulator)))
    return report


def _deliveries(simulator: "Control") -> str:
    try:
        return simulator.deliveries.summary()
    except Exception as error:  # whatever it is, the test's own failure is what counts
        return f"They could not be read: {error}"


def _chosen(config: pytest.Config) -> dict[str, Any]:
    """The settings that options or ini values name."""
    given = {setting: _option(config, name) for name, (setting, _) in _SETTINGS.items()}
    return {setting: value for setting, value in given.items() if value}


def _option(config: pytest.Config, name: str) -> str:
    return str(config.getoption(_ini(name)) or config.getini(_ini(name)) or "")


def _ini(name: str) -> str:
    return f"crm_sim_{name.replace('-', '_')}"
