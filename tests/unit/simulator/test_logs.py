"""Log lines: one for each hop, by the names of the steps, and no secret in any."""

import io
import json
from datetime import timedelta

import pytest
import structlog

from simulator.clock import ManualClock
from simulator.logs import Log, set_up_logs
from simulator.server import Simulator
from tests.local_crm import one_delivery
from tests.tls_receiver import TlsReceiver, answer, raw


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    monkeypatch.setattr(Log, "printer", None)
    return io.StringIO()


def test_each_hop_is_one_json_line_and_no_secret_is_in_any(
    simulator: Simulator, clock: ManualClock, tls_receiver: TlsReceiver, stream: io.StringIO
) -> None:
    set_up_logs("json", stream)
    tls_receiver.will(answer(500, "s3cret"), raw(b"HTTP/1.1 200 OK\r\nbroken s3cret\r\n\r\n"))
    one_delivery(simulator.services, tls_receiver.url("/8x8/s3cret"))
    for _ in range(2):
        simulator.services.dispatcher.run_once()
        clock.advance(timedelta(seconds=5))
    assert len(tls_receiver.requests) == 2
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["enqueue", *["send", "record"] * 2]
    assert {line["delivery"] for line in lines[1:]} == {1}
    assert "s3cret" not in stream.getvalue()


def test_an_embedded_simulator_says_nothing_through_the_structlog_of_its_host(
    simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    structlog.reset_defaults()  # whatever another test left
    structlog.configure()
    try:
        one_delivery(simulator.services, "https://127.0.0.1:1/8x8")
        simulator.services.dispatcher.run_once()
        structlog.get_logger().info("the host's own event")
    finally:
        structlog.reset_defaults()
    [line] = capsys.readouterr().out.splitlines()
    assert "the host's own event" in line


def test_a_trace_on_the_console_shows_no_local_variables(stream: io.StringIO) -> None:
    set_up_logs("console", stream)
    try:
        _fail("s3cret")
    except OSError:
        Log("scheduler").exception("tick failed")
    assert "tick failed" in stream.getvalue()
    assert "database is locked" in stream.getvalue()
    assert "s3cret" not in stream.getvalue().replace('_fail("s3cret")', "")


def _fail(password: str) -> None:
    raise OSError(f"database is locked{password[:0]}")
