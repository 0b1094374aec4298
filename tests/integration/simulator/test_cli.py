"""The command crm-simulator, as a user runs it: processes, sentences, exit codes."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from simulator.cli import main
from simulator.server import Simulator
from simulator.settings import Settings
from tests.tls_receiver import PATIENCE_S

COMMAND = (sys.executable, "-m", "simulator")


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command run to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S * 2,
        env={**os.environ, **variables},
        check=False,
    )


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 2 and one sentence that says what to do."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("Error: ")
    for word in words:
        assert word in line


def test_serve_says_where_it_listens_and_ends_on_sigterm(sim_settings: Settings) -> None:
    serving = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", "--data-dir", str(sim_settings.data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert serving.stdout is not None
    try:
        said = re.fullmatch(
            r"Simulator listens on (https://127\.0\.0\.1:\d+)\n", serving.stdout.readline()
        )
        assert said is not None
        ca = str(sim_settings.data_dir / "ca.pem")
        assert requests.get(said[1], verify=ca, timeout=PATIENCE_S).status_code == 200
    finally:
        serving.send_signal(signal.SIGTERM)
        rest, errors = serving.communicate(timeout=PATIENCE_S)
    assert (serving.returncode, errors) == (0, "")
    summary = r"0 logical events, digest [0-9a-f]{64}, chaos seed [0-9a-f]{16}\n"
    assert re.fullmatch(summary, rest)


def test_a_ready_file_holds_the_url_as_long_as_it_serves(
    sim_settings: Settings, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    ready.write_text("of an earlier run\n")
    data_dir = ("--data-dir", str(sim_settings.data_dir))
    serving = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", *data_dir, "--ready-file", str(ready)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert serving.stdout is not None
    try:
        said = serving.stdout.readline()
        assert ready.read_text() == said.removeprefix("Simulator listens on ")
    finally:
        serving.send_signal(signal.SIGTERM)
        serving.communicate(timeout=PATIENCE_S)
    assert (serving.returncode, ready.exists()) == (0, False)
    done = run("serve", *data_dir, "--port", "0", "--ready-file", str(tmp_path / "no" / "file"))
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: {tmp_path / 'no' / 'file'} cannot be written")
    assert "--ready-file" in done.stderr


def test_a_port_in_use_is_one_sentence_and_exit_code_2(
    simulator: Simulator, tmp_path: Path
) -> None:
    port = simulator.url.rpartition(":")[2]
    done = run("serve", "--port", port, "--data-dir", str(tmp_path / "other"))
    assert_refused(done, f"Port {port} on 127.0.0.1", "--port or CRM_SIM_PORT")


def test_an_unusable_database_is_one_sentence_and_exit_code_2(
    sim_settings: Settings, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.db"
    broken.write_text("this is no database\n" * 100)
    data_dir = ("--data-dir", str(sim_settings.data_dir))
    done = run("serve", *data_dir, CRM_SIM_DATABASE=str(broken), CRM_SIM_PORT="0")
    assert_refused(done, str(broken), "CRM_SIM_DATABASE")


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"CRM_SIM_PORT": "many"}, "CRM_SIM_PORT cannot be used: Input should be a valid integer"),
        (
            {"CRM_SIM_RETRY_SCHEDULE": "slow"},
            "CRM_SIM_RETRY_SCHEDULE cannot be used: ",
        ),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_exit_code_2(
    variables: dict[str, str], sentence: str
) -> None:
    done = CliRunner(env=variables).invoke(main, ["serve"])
    assert done.exit_code == 2
    assert done.stderr.startswith(f"Error: {sentence}")
    assert len(done.stderr.splitlines()) == 1


def test_seed_fills_the_local_crm_and_says_how_much(sim_settings: Settings) -> None:
    done = run("seed", "--customers", "20", "--data-dir", str(sim_settings.data_dir))
    assert done.returncode == 0, done.stderr
    assert re.match(r"Added 20 Customer records, \d+ Case records, \d+ Followup ", done.stdout)
    with sqlite3.connect(sim_settings.database_path) as database:
        assert database.execute("SELECT count(*) FROM customers").fetchone() == (20,)
    database.close()


def test_assumptions_prints_the_ledger() -> None:
    done = CliRunner().invoke(main, ["assumptions"])
    assert done.exit_code == 0
    assert "trigger.retry-schedule" in done.stdout


def test_assumptions_can_be_listed_by_grade() -> None:
    for grade in ("A", "a", "C", "D"):
        done = CliRunner().invoke(main, ["assumptions", "--grade", grade])
        assert done.exit_code == 0
        grades = {row.split(" | ")[2] for row in done.stdout.splitlines() if row.startswith("| `")}
        assert grades == {grade.upper()}
    assert CliRunner().invoke(main, ["assumptions", "--grade", "B"]).exit_code == 2
