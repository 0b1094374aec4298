"""Real processes, killed at every failpoint while agents work: nothing lost, nothing doubled.

Simulator, receiver web and worker each live several lives; each life but the last ends by SIGKILL
at the next failpoint, and whoever watches starts the program again, as systemd would.
"""

import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import select

from external_crm import audit
from external_crm.db import make_engine, read_session
from external_crm.models import AuditEntry
from receiver import failpoints as receiver_failpoints
from scripts.demonstration.agents import Action, Script, perform, set_triggers, sign_in
from scripts.demonstration.compare import compare
from scripts.demonstration.console import Console, PageFailed
from scripts.demonstration.interrupt import Interrupt
from scripts.demonstration.known import read_known
from scripts.demonstration.observe import observe, open_read_only
from scripts.demonstration.parts import Parts, prepare_parts
from scripts.demonstration.processes import Program, run_to_end
from scripts.demonstration.typing_in import Typist
from simulator import failpoints as simulator_failpoints
from tests.ports import free_port_base

ENOUGH_S = 240  # a run that hangs must not hang the suite
ROUNDS_AT_MOST = 1000
AGENTS = 4


class Mortal:
    """A program and the failpoints that its lives end at, the last life without one.

    Each is passed a few times before it kills: there is something in flight then.
    """

    def __init__(self, program: Program, variable: str, points: list[str]) -> None:
        self.program = program
        self._variable = variable
        self._left = [f"{point}:{4 + number % 3}" for number, point in enumerate(points)]
        self.died_at: list[str] = []

    @property
    def is_in_its_last_life(self) -> bool:
        return not self._left

    def start(self) -> None:
        self.program.environment[self._variable] = self._left[0] if self._left else ""
        self.program.start()

    def revive(self) -> None:
        """Start the next life if this one has ended; it may end only where it should."""
        if self.program.ended() is None:
            return
        if self.is_in_its_last_life:
            self.program.check()
        self.program.kill()  # what is left of its process group
        self.died_at.append(self._left.pop(0).partition(":")[0])
        self.start()


class Stage:
    """Three mortal programs and an agent who works, whatever happens."""

    def __init__(self, folder: Path) -> None:
        self.parts: Parts = prepare_parts(folder, free_port_base(), seed=7)
        environment = {**self.parts.receiver.environment, "CRM_SIM_LEASE_S": "2"}

        def program(name: str, *arguments: str) -> Program:
            command = [sys.executable, "-m", *arguments]
            return Program(name, command, environment, folder / f"{name}.log")

        points = list(receiver_failpoints.POINTS)
        variable = "CRM_RECEIVER_FAILPOINT"
        self.simulator = Mortal(
            program("simulator", "simulator", "serve", "--retry-schedule", "quick"),
            "CRM_SIM_FAILPOINT",
            list(simulator_failpoints.POINTS),
        )
        self.web = Mortal(program("web", "receiver", "web"), variable, points[:2])
        self.work = Mortal(program("work", "receiver", "work"), variable, points[2:])
        self.mortals = (self.simulator, self.web, self.work)
        self.consoles = [
            Console(self.parts.simulator_url, self.parts.certificates.ca) for _ in range(AGENTS)
        ]
        self.agents = ThreadPoolExecutor(AGENTS, "agent")

    def start(self) -> None:
        run_to_end([self.parts.migrate], Interrupt())
        for mortal in self.mortals:
            mortal.start()
        self.until(self._triggers_are_set, "The simulator does not answer.")

    def stop(self) -> None:
        self.agents.shutdown()
        for console in self.consoles:
            console.close()
        for mortal in self.mortals:
            mortal.program.stop()

    def revive(self) -> None:
        for mortal in self.mortals:
            mortal.revive()

    def work_until_all_have_died(self) -> None:
        """Agents act, several at a time, until every failpoint was reached."""
        rng, typist = Random(7), Typist(7, datetime.now(UTC).date())
        script: Script | None = None
        for _ in range(ROUNDS_AT_MOST):
            self.revive()
            if all(mortal.is_in_its_last_life for mortal in self.mortals):
                return
            if script is None:
                with open_read_only(self.parts.local_database) as local:
                    script = Script(read_known(local), typist, rng)
            actions = [script.next_action() for _ in self.consoles]
            numbers = list(self.agents.map(_try_to_perform, self.consoles, actions))
            for action, number in zip(actions, numbers, strict=True):
                if number is not None:
                    script.done(action, number)
            if None in numbers:
                script = None  # nobody knows what was done: look anew
                self.until(self._is_up, "The simulator does not come back.")
        left = {mortal.program.name: mortal.died_at for mortal in self.mortals}
        raise AssertionError(f"Some failpoints were never reached; died at: {left}")

    def until(self, holds: Callable[[], bool], otherwise: str) -> None:
        """Wait, starting again what has ended."""
        deadline, pause = time.monotonic() + ENOUGH_S, threading.Event()
        while not holds():
            assert time.monotonic() < deadline, otherwise
            self.revive()
            pause.wait(0.05)

    def is_settled(self) -> bool:
        with (
            open_read_only(self.parts.local_database) as local,
            open_read_only(self.parts.external_database) as external,
        ):
            return observe(local, external, datetime.now(UTC)).settled

    def _triggers_are_set(self) -> bool:
        try:
            set_triggers(self.consoles[0], self.parts.trigger_urls())
        except PageFailed:
            return False
        return True

    def _is_up(self) -> bool:
        try:
            sign_in(self.consoles[0], "ag1001")
        except PageFailed:
            return False
        return True


def _try_to_perform(console: Console, action: Action) -> str | None:
    """The record's id, or None where nobody knows whether it was done."""
    try:
        return perform(console, action)
    except PageFailed:
        return None


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    try:
        yield stage
    finally:
        stage.stop()


# The agents' own client leaves a socket to the collector when a kill cuts its handshake short.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket")
def test_killed_at_every_failpoint_under_load_nothing_is_lost_and_nothing_doubled(
    stage: Stage,
) -> None:
    stage.start()
    stage.work_until_all_have_died()
    died_at = [point for mortal in stage.mortals for point in mortal.died_at]
    assert died_at == [*simulator_failpoints.POINTS, *receiver_failpoints.POINTS]
    stage.until(stage.is_settled, "The triggers never come to rest.")
    with (
        open_read_only(stage.parts.local_database) as local,
        open_read_only(stage.parts.external_database) as external,
    ):
        comparison = compare(local, external)
        assert comparison.equal, comparison
        assert states(external, "inbox_triggers") == {"done"}
        assert states(local, "deliveries") == {"delivered"}
        # Every delivery was stored, at least once, and no change has two audit entries.
        sent = count(local, "SELECT lower(kind), record_id FROM deliveries")
        stored = count(
            external, "SELECT kind, record_id FROM inbox_triggers WHERE cause = 'trigger'"
        )
        assert not sent - stored
        versions = count(local, "SELECT lower(kind), record_id FROM record_versions")
        entries = count(external, "SELECT kind, record_id FROM audit_entries")
        assert entries
        assert not entries - versions
    engine = make_engine(f"sqlite:///{stage.parts.external_database}")
    with read_session(engine) as session:
        for record in entries:
            found = session.scalars(
                select(AuditEntry)
                .where(AuditEntry.kind == record[0], AuditEntry.record_id == record[1])
                .order_by(AuditEntry.number)
            ).all()
            assert audit.verify(found) is None
            assert all(entry.before != entry.after for entry in found)
    engine.dispose()


def states(connection: sqlite3.Connection, table: str) -> set[str]:
    return {state for (state,) in connection.execute(f"SELECT DISTINCT lower(state) FROM {table}")}


def count(connection: sqlite3.Connection, query: str) -> Counter[tuple[str, str]]:
    """How many rows there are of each record."""
    return Counter((kind, record_id) for kind, record_id in connection.execute(query))
