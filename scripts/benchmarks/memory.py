"""How large the receiver's processes are while very many triggers pass through them.

In: an empty database, how many triggers. Out: megabytes of web process and worker, ten times.
"""

import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from external_crm.db import MIGRATIONS as EXTERNAL_CRM_MIGRATIONS
from external_crm.db import make_engine, read_session
from receiver import counts
from receiver.db import MIGRATIONS
from receiver.models import State
from scripts.benchmarks import wrk
from scripts.benchmarks.processes import SECRET, canned, free_port, process, wait_for

SECONDS = 3  # of load at a time
NAMES = 4_000  # records that such a load is about
BACKLOG = 50_000  # above it the worker has the machine for itself


def watch(database_url: str, triggers: int) -> dict[str, list[float]]:
    """RSS in megabytes after each tenth, of `web` as it takes triggers and of `worker` as it
    brings them to rows."""
    engine = make_engine(database_url)
    EXTERNAL_CRM_MIGRATIONS.upgrade(engine)
    MIGRATIONS.upgrade(engine)
    sizes: dict[str, list[float]] = {"web": [], "worker": []}
    with ExitStack() as stack:
        stack.callback(engine.dispose)
        port = free_port()
        settings = {
            "DATABASE_URL": database_url,
            "SECRET": SECRET,
            "PORT": str(port),
            "CRM_API_URL": stack.enter_context(canned("crm-api")),
            "TENANT": "t",
            "USERNAME": "u",
            "PASSWORD": "p",
        }
        environment = {f"CRM_RECEIVER_{name}": value for name, value in settings.items()}
        pid = stack.enter_context(process(["-m", "receiver", "serve"], environment))
        wait_for(port, pid)
        processes = {"web": _granian(_child(pid, "web")), "worker": _child(pid, "work")}
        received = done = first_id = 0
        while done < triggers:
            if received < triggers and received - done < BACKLOG:
                url = f"http://127.0.0.1:{port}/8x8/{SECRET}"
                first_id += NAMES
                received += wrk.load(url, SECONDS, first_id, NAMES).answered
            else:
                signal.sigtimedwait([signal.SIGCHLD], 1.0)
            with read_session(engine) as session:
                done = counts.read(session).number(State.DONE)
            for name, number in (("web", received), ("worker", done)):
                while len(sizes[name]) < min(10, number * 10 // triggers):
                    sizes[name].append(_megabytes(processes[name]))
            print(f"{received:,} received, {done:,} done, {sizes}", file=sys.stderr)
    return sizes


def _megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _child(pid: int, command: str) -> int:
    """The child of the supervisor that runs this command."""
    return next(
        child
        for child in _children(pid)
        if command in Path(f"/proc/{child}/cmdline").read_text().split("\0")
    )


def _granian(pid: int) -> int:
    """The largest child of the web process: the one that answers."""
    return max(_children(pid), key=_megabytes)
