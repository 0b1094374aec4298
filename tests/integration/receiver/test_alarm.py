"""The one outgoing alarm: said once by whichever worker, and its all-clear too."""

import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

import pytest
from structlog.testing import capture_logs

from external_crm.db import session_factory
from receiver import holds, messenger
from receiver.alarm import Bounds, Message
from receiver.crm_api import BadAnswer, Refused, Temporary
from receiver.gate import Limits
from receiver.messenger import Command, Messenger, NotTaken
from receiver.retention import Ages
from receiver.settings import Settings
from receiver.upkeep import Upkeep
from tests.integration.receiver.test_cli import run
from tests.receiver_world import CUSTOMER, World
from tests.served_receiver import LONGEST_S, Serving


class Heard:
    """A messenger that keeps what it takes; it takes nothing while it is deaf."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.deaf = False
        self.tries = 0

    def tell(self, message: Message) -> None:
        self.tries += 1
        if self.deaf:
            raise NotTaken("Nobody listens.")
        self.messages.append(message)

    def states(self) -> list[tuple[str, str]]:
        found = [(m.name, "cleared" if m.over_at else "raised") for m in self.messages]
        self.messages.clear()
        return found


@pytest.fixture
def heard() -> Heard:
    return Heard()


def upkeep(world: World, to: Messenger, **bounds: Any) -> Upkeep:
    return Upkeep(world.engine, world.clock, to, Bounds(**bounds), Ages())


def test_a_refused_credential_is_said_once_and_so_is_its_end(world: World, heard: Heard) -> None:
    key = world.crm.put(CUSTOMER, "A1")
    world.crm.errors[key] = Refused("Wrong password.", CUSTOMER)
    world.receive(key)
    world.run()
    one, other = upkeep(world, heard), upkeep(world, heard)
    for each in (one, other, one):
        each.run_once()
    (message,) = heard.messages
    assert "Wrong password." in message.sentence
    assert heard.states() == [("credentials", "raised")]

    world.crm.errors.clear()
    world.clock.advance(31)
    world.run()
    for each in (other, one, other):
        each.run_once()
    assert heard.states() == [("credentials", "cleared")]


def test_a_circuit_that_opens_is_said(world: World, heard: Heard) -> None:
    for n in range(3):
        key = world.crm.put(CUSTOMER, f"A{n}")
        world.crm.errors[key] = Temporary("HTTP 503.")
        world.receive(key)
    world.run(world.worker(limits=Limits(circuit_after=3)))
    upkeep(world, heard).run_once()
    assert heard.states() == [("circuit", "raised")]


def test_tombstones_that_stop_are_said_until_they_resume(world: World, heard: Heard) -> None:
    with session_factory(world.engine).begin() as session:
        holds.hold(session, holds.TOMBSTONES, "Too many vanished.", world.clock.now())
    upkeep(world, heard).run_once()
    assert heard.states() == [("tombstones", "raised")]
    with session_factory(world.engine).begin() as session:
        holds.resume(session, holds.TOMBSTONES)
    upkeep(world, heard).run_once()
    assert heard.states() == [("tombstones", "cleared")]


def test_more_dead_than_allowed_are_said(world: World, heard: Heard) -> None:
    for n in range(2):
        key = world.crm.put(CUSTOMER, f"A{n}")
        world.crm.errors[key] = BadAnswer("Nonsense.", "")
        world.receive(key)
        world.run(world.worker(max_attempts=1))
        upkeep(world, heard, dead=1).run_once()
        assert heard.states() == ([("dead", "raised")] if n else [])


def test_a_trigger_that_waits_too_long_is_said_and_a_settle_read_is_not(
    world: World, heard: Heard
) -> None:
    key = world.crm.put(CUSTOMER, "A1")
    world.receive(key)
    world.clock.advance(61)
    tending = upkeep(world, heard, oldest_s=60)
    tending.run_once()
    assert heard.states() == [("oldest", "raised")]
    world.run(world.worker(settle_after_s=3600))
    world.clock.advance(61)
    tending.run_once()
    assert heard.states() == [("oldest", "cleared")]


def test_what_nobody_took_is_tried_again_and_what_is_over_meanwhile_is_cleared(
    world: World, heard: Heard
) -> None:
    world.receive(world.crm.put(CUSTOMER, "A1"))
    world.clock.advance(61)
    tending = upkeep(world, heard, oldest_s=60)
    heard.deaf = True
    tending.run_once()
    tending.run_once()
    assert heard.tries == 1
    world.clock.advance(61)
    tending.run_once()
    assert heard.tries == 2
    world.run()  # it may have been heard although it was not confirmed
    heard.deaf = False
    tending.run_once()
    assert heard.states() == [("oldest", "cleared")]
    tending.run_once()
    assert heard.states() == []


def test_what_comes_back_while_its_end_is_being_said_is_said_again(
    world: World, heard: Heard
) -> None:
    world.receive(world.crm.put(CUSTOMER, "A1"))
    world.clock.advance(61)
    upkeep(world, heard, oldest_s=60).run_once()
    world.run()
    heard.messages.clear()

    class BackMeanwhile(Heard):
        def tell(self, message: Message) -> None:
            super().tell(message)
            if message.over_at:
                world.receive(world.crm.put(CUSTOMER, "A2"))
                world.clock.advance(61)
                upkeep(world, heard, oldest_s=60).run_once()

    other = BackMeanwhile()
    upkeep(world, other, oldest_s=60).run_once()
    assert other.states() == [("oldest", "cleared"), ("oldest", "raised")]
    assert heard.states() == []


def test_without_a_place_to_go_the_log_says_it(world: World) -> None:
    world.receive(world.crm.put(CUSTOMER, "A1"))
    world.clock.advance(61)
    with capture_logs() as logs:
        upkeep(world, messenger.make(Settings()), oldest_s=60).run_once()
    assert [(line["event"], line["name"]) for line in logs] == [("alarm", "oldest")]


# --- where it goes --------------------------------------------------------------------------------


class _Hook(BaseHTTPRequestHandler):
    status = 200
    answer = b""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.put(json.loads(body))  # type: ignore[attr-defined]
        self.send_response(self.status)
        self.send_header("Location", "/login")
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hook() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hook) as server:
        server.heard = SimpleQueue()  # type: ignore[attr-defined]
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def a_message(world: World) -> Message:
    return Message("dead", "Triggers given up: 3.", world.clock.now())


def test_a_worker_posts_an_alarm_to_the_webhook(hook: ThreadingHTTPServer, tmp_path: Path) -> None:
    database = tmp_path / "external.db"
    assert run(database, "migrate").exit_code == 0
    serving = Serving(
        f"sqlite:///{database}",
        ALARM_URL=f"http://127.0.0.1:{hook.server_address[1]}/hook",
        ALARM_OLDEST_ABOVE_S="0.001",
        WEB_THREADS="4",
    )
    try:
        serving.says("Receiver listens")
        assert serving.trigger("A1") == 200  # nobody answers for the CRM API
        said = hook.heard.get(timeout=LONGEST_S)  # type: ignore[attr-defined]
    finally:
        serving.close()
    assert (said["alarm"], said["state"], said["until"]) == ("oldest", "raised", None)
    assert "waits still" in said["text"]


def test_a_webhook_that_says_much_has_taken_it_all_the_same(
    hook: ThreadingHTTPServer, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Hook, "answer", b"<p>thanks</p>" * 6000)
    url = f"http://127.0.0.1:{hook.server_address[1]}/hook"
    messenger.make(Settings(alarm_url=url)).tell(a_message(world))


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_that_does_not_take_it_is_a_sentence(
    hook: ThreadingHTTPServer, world: World, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(_Hook, "status", status)
    url = f"http://127.0.0.1:{hook.server_address[1]}/secret"
    with pytest.raises(NotTaken, match=f"webhook answered with HTTP {status}") as refused:
        messenger.make(Settings(alarm_url=url)).tell(a_message(world))
    assert "secret" not in str(refused.value)


def test_a_webhook_that_is_away_is_a_sentence(world: World) -> None:
    with pytest.raises(NotTaken, match=r"The alarm's webhook gave no complete answer") as refused:
        messenger.make(Settings(alarm_url="http://127.0.0.1:9/secret")).tell(a_message(world))
    assert "secret" not in str(refused.value)


def test_a_command_reads_the_alarm_as_json(world: World, tmp_path: Path) -> None:
    out = tmp_path / "heard"
    code = f"import sys; open({str(out)!r}, 'w').write(sys.stdin.read())"
    Command(f'{sys.executable} -c "{code}"').tell(a_message(world))
    assert json.loads(out.read_text())["alarm"] == "dead"


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (f'{sys.executable} -c "raise SystemExit(3)"', "ended with 3"),
        ("/nowhere/tell", "cannot be run: No such file or directory"),
        (f'{sys.executable} -c "import time; time.sleep(999)"', "took longer than 0.2 s"),
    ],
)
def test_a_command_that_fails_or_hangs_is_a_sentence(
    world: World, monkeypatch: pytest.MonkeyPatch, command: str, sentence: str
) -> None:
    monkeypatch.setattr(messenger, "DEADLINE_S", 0.2)
    with pytest.raises(NotTaken, match=sentence):
        Command(command).tell(a_message(world))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"ALARM_URL": "https://x.example/h", "ALARM_COMMAND": "tell"}, "are both set: choose one"),
        ({"ALARM_URL": "ftp://x.example"}, "must begin with https:// or http://"),
        ({"ALARM_COMMAND": "tell 'me"}, "is not a command: look at its quotation marks"),
        ({"SETTLE_AFTER_S": "86400", "KEEP_DONE_DAYS": "1"}, "reaches farther back than"),
        ({"ALARM_DEAD_ABOVE": "-1"}, "CRM_RECEIVER_ALARM_DEAD_ABOVE is not usable"),
    ],
)
def test_settings_that_cannot_be_meant_are_a_sentence(
    tmp_path: Path, settings: dict[str, str], sentence: str
) -> None:
    done = run(tmp_path / "external.db", "work", **settings)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert sentence in done.stderr
