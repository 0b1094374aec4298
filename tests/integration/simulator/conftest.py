"""The simulator's app in this process, over a fresh Local CRM and a clock that stands still."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from simulator.app import create_app
from simulator.clock import ManualClock
from simulator.services import Services
from simulator.settings import Settings
from tests.forms import Browser

NOON = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands at noon until it is moved."""
    return ManualClock(NOON)


@pytest.fixture
def settings(tmp_path: Path, first_start: Path) -> Settings:
    """A Local CRM with agents and CRM API access, and no records."""
    folder = tmp_path / "simulator"
    shutil.copytree(first_start, folder)
    return Settings(data_dir=folder)


@pytest.fixture
def app(settings: Settings, clock: ManualClock) -> Iterator[Flask]:
    """The app; nothing ticks, so what is due stays in the outbox."""
    app = create_app(settings, clock=clock)
    yield app
    _services(app).close()


@pytest.fixture
def services(app: Flask) -> Services:
    """The app's database, clock and dispatcher."""
    return _services(app)


@pytest.fixture
def browser(client: FlaskClient) -> Browser:
    """An agent's browser."""
    return Browser.of(client)


def _services(app: Flask) -> Services:
    found: Services = app.extensions["crm_simulator"]
    return found
