"""The simulator's app in this process, over a fresh Local CRM and a clock that stands still."""

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from simulator.app import create_app
from simulator.clock import ManualClock
from simulator.services import EXTENSION, Services
from simulator.settings import Settings
from tests.forms import Browser


@pytest.fixture
def app(sim_settings: Settings, clock: ManualClock) -> Iterator[Flask]:
    """The app; nothing ticks, so what is due stays in the outbox."""
    app = create_app(sim_settings, clock=clock)
    yield app
    app.extensions[EXTENSION].close()


@pytest.fixture
def services(app: Flask) -> Services:
    """The app's database, clock and dispatcher."""
    found: Services = app.extensions[EXTENSION]
    return found


@pytest.fixture
def browser(client: FlaskClient) -> Browser:
    """An agent's browser."""
    return Browser.of(client)
