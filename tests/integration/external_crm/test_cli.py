"""`external-crm` as an operator calls it: what it prints, and with what code it ends."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from external_crm.cli import main


def run(database: str, *arguments: str) -> Result:
    """The command, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("EXTERNAL_CRM_")]:
            patch.delenv(name)
        return CliRunner().invoke(main, arguments, env={"EXTERNAL_CRM_DATABASE_URL": database})


@pytest.fixture
def database(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'external.db'}"
    assert run(url, "migrate").stdout == "The database is up to date.\n"
    return url


def test_a_database_without_tables_says_which_command(tmp_path: Path) -> None:
    done = run(f"sqlite:///{tmp_path / 'new.db'}", "serve")
    assert done.exit_code == 2
    assert done.stderr.endswith("Run `external-crm migrate`.\n")
    assert done.stderr.count("\n") == 1


def test_a_port_in_use_is_one_sentence(database: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(database, "serve", "--port", str(port))
    assert done.exit_code == 2
    assert done.stderr == (
        f"Port {port} on 127.0.0.1 cannot be used: Address already in use. End what listens "
        "there, or choose another with --port or EXTERNAL_CRM_PORT.\n"
    )


@pytest.mark.parametrize("url", ["nonsense", "", "mysql://x", "sqlite:////nowhere/x"])
def test_a_database_that_cannot_be_used_names_the_setting(url: str) -> None:
    done = run(url, "serve")
    assert done.exit_code == 2
    assert done.stderr.endswith(" It is set by EXTERNAL_CRM_DATABASE_URL.\n")
    assert done.stderr.count("\n") == 1


def test_serve_ends_at_sigterm(database: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "external_crm", "serve", "--port", "0"],
        env={**os.environ, "EXTERNAL_CRM_DATABASE_URL": database, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as serving:
        assert serving.stdout is not None
        assert serving.stdout.readline().startswith("Dashboard listens on http://127.0.0.1:")
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(timeout=20) == 0
