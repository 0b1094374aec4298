"""`crm-receiver record` as an operator runs it: nothing is lost, nothing is overwritten."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from external_crm.rows import Key, Kind
from receiver.cli import main
from simulator.cli import main as simulator_main
from simulator.server import Simulator
from tests import external_databases
from tests.forms import Browser
from tests.receiver_world import live_row
from tests.served_receiver import SECRET, Serving, free_port

Run = Callable[..., Result]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return external_databases.make_sqlite_template(tmp_path)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, database: Path) -> Run:
    """`crm-receiver record` in this process, with settings that are complete."""
    settings = {
        "DATABASE_URL": f"sqlite:///{database}",
        "SECRET": SECRET,
        "CRM_API_URL": "http://127.0.0.1:9",
        "TENANT": "demo",
        "USERNAME": "crmapi",
        "PASSWORD": "hush-hush",
        "PORT": str(free_port()),
    }

    def run(*arguments: str, **changes: str) -> Result:
        for name, value in (settings | changes).items():
            monkeypatch.setenv(f"CRM_RECEIVER_{name}", value)
        return CliRunner().invoke(main, ["record", *arguments])

    return run


def lines(path: Path, what: str) -> list[dict[str, Any]]:
    told = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in told if line["what"] == what]


def test_a_trigger_is_stored_applied_and_recorded_even_if_it_is_answered_503(
    simulator: Simulator, database: Path, tmp_path: Path
) -> None:
    browser = Browser.of(simulator.app.test_client())
    browser.submit("/agent/customers/new", firstname="Ada", lastname="Byron")
    path = tmp_path / "recording.jsonl"
    recording = Serving(
        f"sqlite:///{database}",
        command=["record", "--output", str(path), "--refuse-first", "1"],
        CRM_API_URL=simulator.url,
        CRM_API_CA=str(simulator.ca_path),
        PASSWORD="crmapi-demo",
        WEB_THREADS="4",
    )
    try:
        recording.says("Receiver listens")
        assert recording.trigger("10000000") == 503
        recording.says("applied")
        assert recording.trigger("10000000") == 200
        assert recording.get("/8x8/not-the-secret-of-24-letters?AccountID=1")[0] == 404
        recording.process.terminate()
        recording.says("has 2 triggers and", "crm-simulator assumptions --check")
        assert recording.process.wait() == 0
    finally:
        recording.close()
    engine = external_databases.make_engine(f"sqlite:///{database}")
    row = live_row(engine, Key(Kind.CUSTOMER, "10000000"))
    engine.dispose()
    assert row is not None
    assert row["first_name"] == "Ada"
    assert [(t["status"], t["call"]) for t in lines(path, "trigger")] == [(503, 1), (200, 2)]
    assert lines(path, "call")[0]["why"] == "work"
    checked = CliRunner().invoke(simulator_main, ["assumptions", "--check", str(path)])
    assert "confirmed  trigger.success-is-200" in checked.output


def test_reads_only_asks_and_ends(simulator: Simulator, run: Run, tmp_path: Path) -> None:
    browser = Browser.of(simulator.app.test_client())
    browser.submit("/agent/customers/new", firstname="Ada", lastname="Byron")
    path = tmp_path / "recording.jsonl"
    arguments = ["--output", str(path), "--read", "customer:10000000", "--probe", "--reads-only"]
    done = run(
        *arguments,
        CRM_API_URL=simulator.url,
        CRM_API_CA=str(simulator.ca_path),
        PASSWORD="crmapi-demo",
    )
    assert done.exit_code == 0, done.output
    assert "has 0 triggers and" in done.output
    assert {"read", "list", "not-found", "raw"} <= {call["why"] for call in lines(path, "call")}


def test_no_file_is_overwritten_unless_it_is_said(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "recording.jsonl"
    path.write_text("precious\n")
    asked = ("--output", str(path), "--read", "case:1", "--reads-only")
    done = run(*asked)
    assert (done.exit_code, path.read_text()) == (2, "precious\n")
    assert "is there already. Name another file, or add --overwrite." in done.output
    assert run(*asked, "--overwrite").exit_code == 0
    # The CRM API cannot be reached; that is recorded, too.
    assert [call["status"] for call in lines(path, "call")] == [None]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--read", "10000000"], "'10000000' is no record; write one like customer:10000000."),
        (["--read", "lead:1"], "'lead:1' is no record"),
        (["--for", "soon"], "'soon' is no duration; write one like 90s, 10m or 2h."),
        (["--for", "0m"], "'0m' is no duration"),
        (["--refuse-first", "99"], "99 is not in the range"),
        (["--reads-only"], "--reads-only needs something to read"),
    ],
)
def test_what_was_typed_wrong_is_named(
    run: Run, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    path = tmp_path / "recording.jsonl"
    done = run("--output", str(path), *arguments)
    assert done.exit_code == 2
    assert sentence in done.output
    assert not path.exists()


def test_a_file_that_cannot_be_written_is_named(run: Run, tmp_path: Path) -> None:
    done = run("--output", str(tmp_path / "no" / "file"), "--read", "case:1", "--reads-only")
    assert done.exit_code == 2
    assert "cannot be written: No such file or directory." in done.output


def test_where_the_receiver_runs_already_no_file_is_begun(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("--output", str(tmp_path / "r"), PORT=str(port))
    assert done.exit_code == 2
    assert f"Port {port} on 127.0.0.1 cannot be used" in done.output
    assert not (tmp_path / "r").exists()
