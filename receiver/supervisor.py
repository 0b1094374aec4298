"""`crm-receiver serve`: web process and workers as one process group.

In: settings; the children read them again from the environment. Out: an exit code, after a
signal. A child that ends is started again, after a longer wait each time. The port is held from
before the first child until the end, so that nobody takes it while the web process is away.
Killed here, even with SIGKILL: the children's lifelines close and they end at once.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from queue import Empty, SimpleQueue

import structlog

from receiver.port import reserve
from receiver.settings import PREFIX, Settings

log = structlog.get_logger()

GRACE_S = 35.0  # longer than the web process takes to answer what is in flight
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 15.0
SETTLED_S = 60.0  # who ran for so long begins again with the shortest wait
_ASKED_TO_END = "asked to end"


def serve(settings: Settings, also: Mapping[str, str] | None = None, end_after_s: float = 0) -> int:
    """Run until SIGTERM or Ctrl-C; the exit code to end with. Raises Misconfigured.

    also: what else the children find in their environment. end_after_s: 0 for no such end.
    """
    happened: SimpleQueue[str] = SimpleQueue()  # its put may be called in a signal handler
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, lambda *_: happened.put(_ASKED_TO_END))
    signal.signal(signal.SIGCHLD, lambda *_: happened.put("a child ended"))
    with reserve(settings.host, settings.port) as reserved:
        port = {f"{PREFIX}PORT": str(reserved.getsockname()[1])}
        environment = os.environ | dict(also or {}) | port
        children = [
            Child("web", ["web", "--supervised"], environment),
            *(
                Child(f"work-{n}", ["work", "--supervised"], environment)
                for n in range(1, settings.work_processes + 1)
            ),
        ]
        signal.setitimer(signal.ITIMER_REAL, end_after_s)
        _run(children, happened)
        _stop(children)
    return 0


class Child:
    """One process that is to run: running, or due to be started again."""

    def __init__(self, name: str, arguments: Sequence[str], environment: dict[str, str]) -> None:
        self.name = name
        self.process: subprocess.Popen[bytes] | None = None
        self.start_at = 0.0  # monotonic
        self._arguments = arguments
        self._environment = environment
        self._started_at = 0.0
        self._failures = 0  # in a row
        self._restarts = -1  # the first start is none

    def tend(self, now: float) -> None:
        """Start it if it is due; notice that it ended."""
        if self.process is not None and self.process.poll() is not None:
            self._note_end(self.process.returncode, now)
        if self.process is None and now >= self.start_at:
            self._start(now)

    def _start(self, now: float) -> None:
        self._started_at = now
        place = ["--slot", self.name, "--restarts", str(self._restarts + 1)]
        try:
            self.process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", "receiver", *self._arguments, *place],
                stdin=subprocess.PIPE,  # its lifeline: closes when this process ends
                env=self._environment,
            )
        except OSError as error:  # no memory, no descriptors: the other children go on
            wait_s = self._back_off(now)
            log.error(
                "process not started",
                process=self.name,
                reason=error.strerror,
                tries_again_in_s=wait_s,
            )
            return
        self._restarts += 1

    def _note_end(self, code: int, now: float) -> None:
        self.close()
        wait_s = self._back_off(now)
        log.error("process ended", process=self.name, code=code, starts_again_in_s=wait_s)

    def _back_off(self, now: float) -> float:
        """Seconds until the next start, longer after each failure."""
        settled = now - self._started_at >= SETTLED_S
        self._failures = 1 if settled else self._failures + 1
        wait_s: float = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(self._failures - 1, 10))
        self.start_at = now + wait_s
        return wait_s

    def close(self) -> None:
        """Forget a process that ended."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
        self.process = None


def _run(children: Sequence[Child], happened: "SimpleQueue[str]") -> None:
    """Keep the children running until a signal comes."""
    while True:
        now = time.monotonic()
        for child in children:
            child.tend(now)
        due = [child.start_at for child in children if child.process is None]
        try:
            event = happened.get(timeout=max(0.0, min(due) - now) if due else None)
        except Empty:
            continue
        if event == _ASKED_TO_END:
            return


def _stop(children: Sequence[Child]) -> None:
    """Ask all to end, and make those end that do not."""
    running = [child for child in children if child.process is not None]
    deadline = time.monotonic() + GRACE_S
    for child in running:
        if child.process is not None:
            child.process.terminate()
    for child in running:
        if child.process is None:
            continue
        try:
            child.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.error("process killed", process=child.name, reason="It did not end in time.")
            child.process.kill()
            child.process.wait()
        child.close()
