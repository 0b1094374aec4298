"""`crm-receiver` as an operator calls it: what it prints, and with what code it ends."""

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner, Result

from receiver.cli import main

SECRET = "a-secret-of-24-characters"
ENV = {
    "SECRET": SECRET,
    "CRM_API_URL": "https://127.0.0.1:9",
    "TENANT": "demo",
    "USERNAME": "crmapi",
    "PASSWORD": "hush-hush",
    "PORT": "0",
}


def run(database: Path, *arguments: str, **settings: str) -> Result:
    """The command, in this process; an empty setting is left out."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("CRM_")]:
            patch.delenv(name)
        return CliRunner().invoke(main, list(arguments), env=receiver_settings(database, settings))


def receiver_settings(database: Path, settings: dict[str, str]) -> dict[str, str]:
    own = {**ENV, "DATABASE_URL": f"sqlite:///{database}", **settings}
    return {f"CRM_RECEIVER_{name}": value for name, value in own.items() if value}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "external.db"
    assert run(path, "migrate").exit_code == 0
    return path


def test_migrate_can_be_repeated(database: Path) -> None:
    again = run(database, "migrate")
    assert (again.exit_code, again.stdout) == (0, "The database is up to date.\n")


@pytest.mark.parametrize("command", ["serve", "web", "work", "status"])
def test_a_database_without_tables_says_which_command(tmp_path: Path, command: str) -> None:
    done = run(tmp_path / "new.db", command)
    assert done.exit_code == 2
    assert done.stderr.endswith("Run `crm-receiver migrate`.\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"SECRET": ""}, "CRM_RECEIVER_SECRET is not set."),
        ({"SECRET": "short"}, "CRM_RECEIVER_SECRET must have 16 or more characters"),
        ({"CRM_API_URL": ""}, "CRM_RECEIVER_CRM_API_URL is not set"),
        ({"TENANT": ""}, "CRM_RECEIVER_TENANT is not set"),
        ({"USERNAME": ""}, "CRM_RECEIVER_USERNAME is not set"),
        ({"PASSWORD": ""}, "CRM_RECEIVER_PASSWORD is not set"),
        ({"TLS_CERT": "/nowhere.pem"}, "CRM_RECEIVER_TLS_KEY is not set"),
        ({"CRM_API_CA": "/nowhere.pem"}, "CRM_RECEIVER_CRM_API_CA /nowhere.pem cannot be read"),
        ({"PORT": "many"}, "CRM_RECEIVER_PORT is not usable"),
        ({"PORT": "70000"}, "CRM_RECEIVER_PORT is not usable"),
        ({"SCHEDULE": "lazy"}, "CRM_RECEIVER_SCHEDULE is not usable"),
        ({"DATABASE_URL": "mysql://x"}, "The database must be SQLite or PostgreSQL"),
        ({"DATABASE_URL": "nonsense"}, "The database URL is not usable"),
        ({"REFUSED_CODES": "1001"}, "CRM_RECEIVER_REFUSED_CODES is not usable"),
        (
            {"DATABASE_URL": "sqlite:////nowhere/x"},
            "The database sqlite:////nowhere/x cannot",
        ),
    ],
)
def test_a_half_configured_receiver_says_what_to_set(
    database: Path, settings: dict[str, str], sentence: str
) -> None:
    done = run(database, "serve", **settings)
    assert done.exit_code == 2
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1
    assert "hush-hush" not in done.stderr


def test_a_key_that_does_not_fit_its_certificate_is_a_sentence(
    database: Path, tmp_path: Path
) -> None:
    ca = trustme.CA()
    one, other = ca.issue_cert("127.0.0.1"), ca.issue_cert("127.0.0.1")
    one.cert_chain_pems[0].write_to_path(tmp_path / "cert")
    other.private_key_pem.write_to_path(tmp_path / "key")
    done = run(database, "web", TLS_CERT=str(tmp_path / "cert"), TLS_KEY=str(tmp_path / "key"))
    assert done.exit_code == 2
    assert "cannot be used: the key belongs to another certificate." in done.stderr


@pytest.mark.parametrize("command", ["web", "serve"])
def test_a_port_in_use_is_a_sentence(database: Path, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(database, command, PORT=str(port))
    assert (done.exit_code, done.stdout) == (2, "")  # no worker was started either
    assert done.stderr == (
        f"Port {port} on 127.0.0.1 cannot be used: Address already in use. "
        "End what listens there, or set CRM_RECEIVER_PORT.\n"
    )


def test_urls_prints_what_goes_into_which_box(database: Path) -> None:
    done = run(database, "urls", "--base", "https://crm.example.com/")
    lines = done.stdout.splitlines()
    assert len(lines) == 14
    assert lines[0] == f"Customer Create  https://crm.example.com/8x8/{SECRET}/customer/create"
    assert lines[12] == f"or all boxes     https://crm.example.com/8x8/{SECRET}"
    assert lines[13].startswith("Prefer a URL for each box")


def test_urls_must_be_https(database: Path) -> None:
    done = run(database, "urls", "--base", "http://crm.example.com")
    assert done.exit_code == 2
    assert done.stderr.startswith("--base must begin with https://")


@pytest.mark.parametrize(
    "base", ["https://", "https://a b", "https://a/?x=1", "https://a/#x", "https://a:many"]
)
def test_a_base_that_makes_no_url_is_a_sentence(database: Path, base: str) -> None:
    done = run(database, "urls", "--base", base)
    assert done.exit_code == 2
    assert done.stderr.startswith("--base must be a server")
    assert done.stdout == ""


def test_help_names_every_setting_with_its_default(database: Path) -> None:
    told = run(database, "--help").stdout
    assert "CRM_RECEIVER_PORT\n        Port to listen on. [default: 8802]" in told
    assert '[default: ["1001"' in told.replace("\n        ", " ")


def test_status_counts_and_names_what_is_on_hold(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute(
            "INSERT INTO receiver_holds (name, since, reason) VALUES"
            " ('tombstones', '2026-03-02T09:00:00.000000+00:00', 'Too many records vanished.')"
        )
    connection.close()
    done = run(database, "status")
    names = ["received", "waiting", "retrying", "settling", "done", "dead", "dropped", "rejected"]
    assert done.stdout.splitlines()[:8] == [f"{name:<10} 0" for name in names]
    assert "on hold    tombstones since 2026-03-02 09:00:00 UTC" in done.stdout
    resumed = run(database, "tombstones", "resume")
    assert resumed.stdout == "Tombstones go on; 0 triggers that were held are due now.\n"
    assert "on hold" not in run(database, "status").stdout


def test_status_says_how_the_crm_api_is_called(database: Path) -> None:
    said = run(database, "status").stdout
    assert "circuit    closed\nbudget     no limit\n" in said
    with sqlite3.connect(database) as connection:
        connection.execute(
            "INSERT INTO receiver_holds (name, since, until, reason) VALUES"
            " ('circuit', '2026-03-02T09:00:00.000000+00:00', '2026-03-02T09:00:30.000000+00:00',"
            " 'HTTP 503.')"
        )
        connection.execute(
            "INSERT INTO receiver_api_use (id, failures, tokens, refilled_at)"
            " VALUES (1, 5, -3.0, '2099-03-02T09:00:00.000000+00:00')"
        )
    connection.close()
    said = run(database, "status", API_CALLS_PER_S="5").stdout
    assert "circuit    open\nbudget     5 calls a second, 0 to spare\n" in said
    assert "One record probes at 2026-03-02 09:00:30 UTC." in said


def test_serve_ends_both_processes_at_sigterm(database: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "receiver", "serve"],
        env=os.environ | receiver_settings(database, {"PORT": str(free_port())}),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as serving:
        assert serving.stdout is not None
        said = {serving.stdout.readline()[:8], serving.stdout.readline()[:8]}
        assert said == {"Receiver", "Worker r"}
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(timeout=40) == 0
    with pytest.raises(ProcessLookupError):  # nobody of the group is left
        os.killpg(serving.pid, 0)


def test_silent_clients_do_not_keep_others_out(database: Path) -> None:
    """As many as the web process lets in at a time, and not a byte from any of them."""
    port = free_port()
    with (
        subprocess.Popen(
            [sys.executable, "-m", "receiver", "web"],
            env=os.environ | receiver_settings(database, {"PORT": str(port), "WEB_THREADS": "1"}),
            stdout=subprocess.PIPE,
            text=True,
        ) as web,
        contextlib.ExitStack() as silent,
    ):
        assert web.stdout is not None
        assert web.stdout.readline().startswith("Receiver listens")
        for _ in range(10):
            silent.enter_context(socket.create_connection(("127.0.0.1", port)))
        url = f"http://127.0.0.1:{port}/8x8/{SECRET}?AccountID=1"
        with urllib.request.urlopen(url, timeout=30) as response:
            assert response.status == 200
        web.terminate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
