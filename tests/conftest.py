"""What several parts of the suite share: a simulator on a free port, and a receiver for it."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from simulator.clock import ManualClock
from simulator.server import Simulator
from simulator.settings import Settings
from tests.tls_receiver import Authority, TlsReceiver

MORNING = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many random worlds tests/world plays."""
    group = parser.getgroup("crm-trigger-kit")
    group.addoption("--world-seeds", type=int, default=500, help="Random worlds to play.")
    group.addoption("--world-first", type=int, default=0, help="Seed of the first of them.")
    group.addoption(
        "--world-mutations", action="store_true", help="Search for seeds that catch each mutation."
    )


@pytest.fixture(scope="session")
def receiver_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The certificate authority of all receivers of this run."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def first_start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a simulator that was started once: hashing secrets takes a while."""
    folder = tmp_path_factory.mktemp("first-start")
    with Simulator(Settings(data_dir=folder, port=0), ticking=False):
        pass
    return folder


@pytest.fixture
def sim_settings(tmp_path: Path, first_start: Path, receiver_authority: Authority) -> Settings:
    """A fresh Local CRM, a free port, exact retry times, and trust in `tls_receiver`."""
    data_dir = tmp_path / "simulator"
    shutil.copytree(first_start, data_dir)
    return Settings(data_dir=data_dir, port=0, retry_jitter=0, trigger_ca=receiver_authority.path)


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands at a Monday morning until it is moved."""
    return ManualClock(MORNING)


@pytest.fixture
def simulator(sim_settings: Settings, clock: ManualClock) -> Iterator[Simulator]:
    """A running simulator that sends only when told: `services.dispatcher.run_once()`."""
    with Simulator(sim_settings, clock=clock, ticking=False) as running:
        yield running


@pytest.fixture
def tls_receiver(receiver_authority: Authority) -> Iterator[TlsReceiver]:
    """A scriptable https receiver."""
    receiver = TlsReceiver(receiver_authority)
    yield receiver
    receiver.close()
