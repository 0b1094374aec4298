"""Every call of the CRM API and its reply, byte for byte, against files written by hand."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from simulator.app import create_app
from simulator.clock import ManualClock
from simulator.crm_api.errors import Refusal
from simulator.services import EXTENSION
from simulator.settings import Settings
from tests import crm_api_golden as golden
from tests.conftest import MORNING


@pytest.fixture(scope="module")
def world(first_start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose Local CRM is the world of the files."""
    folder = tmp_path_factory.mktemp("golden") / "world"
    shutil.copytree(first_start, folder)
    app = _app(Settings(data_dir=folder))
    golden.fill(app.extensions[EXTENSION])
    app.extensions[EXTENSION].close()
    return folder


@pytest.fixture(scope="module")
def plain_app(world: Path) -> Iterator[Flask]:
    """One app for all calls that need no setting: making one takes longer than a call."""
    app = _app(Settings(data_dir=world.with_name("plain")))
    yield app
    app.extensions[EXTENSION].close()


@pytest.fixture
def app(request: pytest.FixtureRequest, world: Path, tmp_path: Path) -> Iterator[Flask]:
    """The app as the call `name` meets it."""
    name: str = request.getfixturevalue("name")
    given = golden.arrangement(name).get("settings", {})
    if given:
        shutil.copytree(world, tmp_path / "world")
        app = _app(Settings(**{"data_dir": tmp_path / "world", **given}))
    else:
        app = request.getfixturevalue("plain_app")
        _bring_back(app, world)
    golden.arrange(app.extensions[EXTENSION], name)
    yield app
    if given:
        app.extensions[EXTENSION].close()


def _app(settings: Settings) -> Flask:
    return create_app(settings, clock=ManualClock(MORNING))


def _bring_back(app: Flask, world: Path) -> None:
    """The Local CRM as it was before the last call."""
    services = app.extensions[EXTENSION]
    services.engine.dispose()
    path: Path = services.settings.database_path
    for old in path.parent.glob(f"{path.name}*"):
        old.unlink()
    shutil.copy(world / path.name, path)


@pytest.mark.parametrize("name", golden.NAMES)
def test_requests_and_replies_byte_for_byte(app: Flask, name: str) -> None:
    assert golden.send(app.test_client(), name) == golden.read(name, "reply")


def test_every_refusal_has_a_reply_among_the_files() -> None:
    """Two cannot be written as files of a readable size; they have tests of their own."""
    replies = [golden.read(name, "reply").body.decode("latin-1") for name in golden.NAMES]
    shown = {r for r in Refusal if any(f'ERROR_CODE="{r.number}"' in reply for reply in replies)}
    assert set(Refusal) - shown == {Refusal.TOO_LARGE, Refusal.TOO_MANY_TAGS}


def test_every_arrangement_belongs_to_a_file() -> None:
    assert set(golden.WORLD["arrangements"]) <= set(golden.NAMES)
