"""`crm-receiver serve`: the web process and the worker as one process group.

In: the environment, which both read themselves. Out: an exit code. One ends, all end; killed
here, even with SIGKILL, both children end by the kernel's hand.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from types import FrameType

import click

from receiver.web import die_with_parent

GRACE_S = 35.0  # longer than the web process takes to answer what is in flight


def serve() -> int:
    """Run both until one ends or a signal comes; the exit code to end with."""
    asked = threading.Event()
    ended = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        asked.set()
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    children = {name: _start(name) for name in ("web", "work")}
    for child in children.values():
        threading.Thread(target=_wait_and_tell, args=(child, ended), daemon=True).start()
    ended.wait()
    first = next((n for n, c in children.items() if c.poll() is not None), None)
    _stop(children)
    if asked.is_set() or first is None:
        return 0
    code = children[first].returncode
    if code != 2:  # with 2 it has said itself what is wrong
        click.echo(f"The {first} process ended by itself ({code}); its log says why.", err=True)
    return 2 if code == 2 else 1


def _wait_and_tell(child: "subprocess.Popen[bytes]", ended: threading.Event) -> None:
    child.wait()
    ended.set()


def _start(command: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "receiver", command],
        preexec_fn=die_with_parent,  # noqa: PLW1509 - no thread has been started yet
        env=os.environ,
    )


def _stop(children: "dict[str, subprocess.Popen[bytes]]") -> None:
    for child in children.values():
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    for child in children.values():
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
