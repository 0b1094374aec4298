"""Programs started, killed and stopped as whole process groups.

In: a command, its environment, a file for its log. Out: a running process group, and none after
`stop`. Each program leads a session of its own, so that Ctrl-C reaches the demo alone and the
demo decides in which order to stop what it started.

    CannotStart      a program or a port keeps the demo from beginning; exit code 2
    ProgramEnded     a program failed, or ended by itself although it should be running
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import requests

from scripts.demonstration.interrupt import Interrupt

_STOP_TIMEOUT_S = 8.0
_GROUP_GONE_TIMEOUT_S = 3.0


class CannotStart(Exception):
    """The demo cannot begin; the message says why and what to do."""


class ProgramEnded(Exception):
    """A program failed or ended by itself; the message names its log."""


class Program:
    """One program: not started, running, killed or stopped; it can be started again."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> None:
        self.name = name
        self.command = list(command)
        self.environment = dict(environment)
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The id of its process, and of its process group; 0 when it is not running."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Run it as the leader of a new session; its output is appended to its log."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ended(self) -> int | None:
        """Its exit code if it ended by itself, else None."""
        return self._process.poll() if self._process else None

    def check(self) -> None:
        """Raise ProgramEnded if it ended by itself."""
        code = self.ended()
        if code is not None:
            raise ProgramEnded(f"The {self.name} ended with code {code}. {self.last_words()}")

    def kill(self) -> None:
        """SIGKILL to the whole process group; returns when it is gone."""
        if self._process is None:
            return
        _signal_group(self._process.pid, signal.SIGKILL)
        self._process.wait()
        _wait_until_group_is_gone(self._process.pid)
        self._process = None

    def ask_to_stop(self) -> None:
        """SIGTERM to the program, which stops its own children."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Ask it to stop, then kill what is left of its group."""
        if self._process is None:
            return
        self.ask_to_stop()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.kill()

    def last_words(self) -> str:
        """The last line of its log, and where the log is."""
        lines = self.log.read_text(errors="replace").split("\n") if self.log.exists() else []
        spoken = [line.strip() for line in lines if line.strip()]
        said = f'It said last: "{spoken[-1][:300]}". ' if spoken else ""
        return f"{said}Its log is {self.log}."


def run_to_end(programs: Sequence[Program], interrupt: Interrupt) -> None:
    """Run programs that end by themselves, side by side; raises ProgramEnded if one fails."""
    for program in programs:
        program.start()
    try:
        while any(program.ended() is None for program in programs):
            interrupt.pause(0.05)
        codes = [program.ended() for program in programs]
    finally:
        stop_all(programs)
    for program, code in zip(programs, codes, strict=True):
        if code != 0:
            raise ProgramEnded(f"The {program.name} ended with code {code}. {program.last_words()}")


def output_of(program: Program, interrupt: Interrupt) -> str:
    """What a program says that ends by itself; raises ProgramEnded if it fails."""
    run_to_end((program,), interrupt)
    return program.log.read_text(errors="replace").rstrip()


def refuse_ports_in_use(host: str, ports: Sequence[int]) -> None:
    """Raise CannotStart with a sentence if something listens on one of the ports."""
    for port in ports:
        with socket.socket() as probe:
            # Connections of an earlier demo that linger in TIME_WAIT are no hindrance.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise CannotStart(
                    f"Port {port} on {host} cannot be used ({error.strerror}). "
                    f"Choose three others with --port-base N: the demo uses N, N+1 and N+2."
                ) from error


def wait_until_it_answers(
    program: Program, url: str, ca: Path | None, interrupt: Interrupt, timeout_s: float = 30.0
) -> None:
    """Return when `url` gives any HTTP answer; raises ProgramEnded or CannotStart."""
    until = time.monotonic() + timeout_s
    with requests.Session() as session:
        session.trust_env = False
        while time.monotonic() < until:
            program.check()
            try:
                session.get(url, verify=str(ca) if ca else True, timeout=2, allow_redirects=False)
            except requests.RequestException:
                interrupt.pause(0.1)
            else:
                # Something else may have taken the port and answered in its place.
                program.check()
                return
    raise CannotStart(
        f"The {program.name} does not answer at {url} after {timeout_s:.0f} s. "
        f"{program.last_words()}"
    )


def stop_all(programs: Sequence[Program]) -> None:
    """Stop them all at the same time; afterwards none of their processes is left."""
    for program in programs:
        program.ask_to_stop()
    for program in programs:
        program.stop()


def _signal_group(group: int, number: int) -> bool:
    """Send a signal to a group; whether there was anybody to receive it."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def _wait_until_group_is_gone(group: int) -> None:
    """Bounded, because a container without a reaping init keeps dead orphans for ever."""
    until = time.monotonic() + _GROUP_GONE_TIMEOUT_S
    while _signal_group(group, 0) and time.monotonic() < until:
        time.sleep(0.01)
