"""A person at a browser: real Chromium, a real simulator, a real receiver of its triggers."""

from collections.abc import Iterator

import pytest

from simulator.server import Simulator
from simulator.settings import Settings
from tests.browser.chromium import Browser, Page, Windows, launched, skip_without_chromium
from tests.tls_receiver import TlsReceiver


def pytest_runtest_setup() -> None:
    """Nothing here without Chromium."""
    skip_without_chromium()


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """One Chromium for all; gone when other tests begin, since it holds the thread's event loop."""
    with launched() as browser:
        yield browser


@pytest.fixture
def simulator(chromium: Browser, sim_settings: Settings) -> Iterator[Simulator]:
    """A simulator that sends by itself what is due, on its quick schedule."""
    settings = sim_settings.model_copy(update={"retry_schedule": "quick", "ephemeral": True})
    with Simulator(settings) as running:
        yield running


@pytest.fixture
def windows(chromium: Browser, simulator: Simulator) -> Iterator[Windows]:
    """Windows on the simulator; no page may ask another host for anything, or make it complain."""
    opened = Windows(chromium, simulator.url)
    yield opened
    assert opened.close() == []


@pytest.fixture
def window(windows: Windows) -> Page:
    """One window."""
    return windows.open()


@pytest.fixture
def boxes(simulator: Simulator, tls_receiver: TlsReceiver) -> TlsReceiver:
    """The receiver whose URLs are in all boxes, e.g. /customer/create."""
    simulator.triggers.set_all(tls_receiver.url("/{kind}/{event}"))
    return tls_receiver
