"""The processes and databases of a benchmark: started, waited for, ended and removed.

In: what to run. Out: a URL, for as long as the context is entered. Killed here: the children end
with their parent, a database of PostgreSQL may be left.
"""

import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from external_crm.db import DatabaseUnusable, make_engine

SECRET = "a-secret-of-24-characters"  # noqa: S105 - of a database that lives for a minute
_numbers = itertools.count(1)
POSTGRESQL_URL = os.environ.get("BENCH_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1")


def canned(name: str, *arguments: str) -> AbstractContextManager[str]:
    """A server of canned.py."""
    port = free_port()
    command = ["-m", "scripts.benchmarks.canned", name, str(port), *arguments]
    return listening(command, port, {})


def receiver_web(database_url: str) -> AbstractContextManager[str]:
    """The receiver's web process."""
    port = free_port()
    settings = {"DATABASE_URL": database_url, "SECRET": SECRET, "PORT": str(port)}
    environment = {f"CRM_RECEIVER_{name}": value for name, value in settings.items()}
    return listening(["-m", "receiver", "web"], port, environment)


@contextmanager
def listening(command: list[str], port: int, environment: dict[str, str]) -> Iterator[str]:
    """The URL of a server in a process of its own."""
    with process(command, environment) as pid:
        wait_for(port, pid)
        yield f"http://127.0.0.1:{port}"


@contextmanager
def process(command: list[str], environment: dict[str, str]) -> Iterator[int]:
    """The id of a Python process, which is ended when this is left."""
    child = subprocess.Popen(
        [sys.executable, *command],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield child.pid
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait()


def cpu_seconds(pid: int) -> float:
    """What a process has computed so far, its children left out."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for(port: int, pid: int) -> None:
    """Until the process listens there. Raises RuntimeError where it ends instead."""
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        with socket.socket() as attempt:
            attempt.settimeout(1)
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        signal.sigtimedwait([signal.SIGCHLD], 0.05)
    raise RuntimeError(f"What should listen on port {port} ended at once.")


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def postgresql(versions: list[str] | None = None) -> Iterator[str | None]:
    """The URL of an empty database of its own, or None where there is no server.

    versions: takes the server's.
    """
    name = f"crm_trigger_kit_bench_{os.getpid()}_{next(_numbers)}"
    try:
        server = make_engine(f"{POSTGRESQL_URL}/postgres").execution_options(
            isolation_level="AUTOCOMMIT"
        )
        with server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
            version = connection.scalar(text("SHOW server_version"))
    except (DatabaseUnusable, DBAPIError):
        yield None
        return
    if versions is not None:
        versions.append(f"PostgreSQL {str(version).partition(' ')[0]}")
    try:
        yield f"{POSTGRESQL_URL}/{name}"
    finally:
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        server.dispose()
