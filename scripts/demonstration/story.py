"""The demo from beginning to end: start, fill, set the triggers, work, an outage, compare.

In: options, a working folder. Out: the exit code; every process that was started is gone when
`tell` returns or raises, whatever happened.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from scripts.demonstration.agents import Script, perform, set_triggers, sign_in
from scripts.demonstration.compare import compare
from scripts.demonstration.console import Console, PageFailed
from scripts.demonstration.interrupt import Interrupt
from scripts.demonstration.known import read_known
from scripts.demonstration.observe import Figures, delivered_events, observe, open_read_only
from scripts.demonstration.parts import CUSTOMERS, RETRY_SCHEDULE, Parts, prepare_parts
from scripts.demonstration.processes import (
    CannotStart,
    Program,
    ProgramEnded,
    output_of,
    run_to_end,
    stop_all,
    wait_until_it_answers,
)
from scripts.demonstration.screen import Screen, comparison_table
from scripts.demonstration.typing_in import AGENTS, Typist
from scripts.demonstration.verdict import what_fails

_KILL_AFTER = 0.45  # share of the actions
_ACTIONS_WITHOUT_RECEIVER = 25
_FAILING_TIMEOUT_S = 15.0
_SETTLE_TIMEOUT_S = 180.0

_LOOK_EVERY_S = 0.25
_END_NOTICED_S = 1.0  # that a program has ended is known a moment after its connections break


@dataclass(frozen=True)
class Options:
    """What the demo was asked for."""

    actions: int
    seed: int
    outage: bool
    port_base: int
    secret: str | None = None  # of the trigger URLs; None: made for this run alone


class Story:
    """One run of the demo."""

    def __init__(
        self, options: Options, folder: Path, screen: Screen, interrupt: Interrupt
    ) -> None:
        self._options = options
        self._screen = screen
        self._interrupt = interrupt
        self._parts = prepare_parts(folder, options.port_base, options.seed, options.secret)
        self._looked_at = 0.0

    @property
    def parts(self) -> Parts:
        """What it starts, and where each answers."""
        return self._parts

    @contextmanager
    def tell(self) -> Iterator[int]:
        """Run it all; the exit code, 0 or 1, while the three programs are still up.

        Raises CannotStart, ProgramEnded, PageFailed or Interrupted.
        """
        try:
            with self._screen.live():
                self._start()
                self._work()
                self._settle()
            yield self._judge()
        except PageFailed:
            self._interrupt.pause(_END_NOTICED_S)
            for program in self._parts.running:
                program.check()  # why its pages fail says more than that they fail
            raise
        finally:
            stop_all(self._parts.running)

    def stay_up(self) -> None:
        """Keep the programs up and say where to look; ends by Interrupted or ProgramEnded."""
        parts = self._parts
        self._screen.say(
            "\nOpen (the certificates are made for this demo, so the browser will warn):\n"
            f"  Agent Console        {parts.simulator_url}/agent/customers\n"
            f"  Trigger deliveries   {parts.simulator_url}/deliveries\n"
            f"  External CRM         {parts.dashboard_url}/\n"
            "Ctrl-C ends the demo."
        )
        while True:
            self._watch(_LOOK_EVERY_S)

    def _start(self) -> None:
        parts = self._parts
        self._screen.enter(f"Filling the Local CRM with {CUSTOMERS} customers.")
        try:
            run_to_end((parts.seed, parts.migrate), self._interrupt)
            for program in parts.running:
                self._start_program(program)
            for program in parts.running:
                self._wait_until_it_answers(program)
        except ProgramEnded as error:
            raise CannotStart(str(error)) from error

    def _start_program(self, program: Program) -> None:
        program.start()
        self._screen.enter(f"Started the {program.name} (process group {program.pid}).")

    def _wait_until_it_answers(self, program: Program) -> None:
        url = self._parts.url_of(program)
        wait_until_it_answers(program, url, self._parts.certificates.ca, self._interrupt)
        self._screen.enter(f"The {program.name} answers at {url}.")

    def _work(self) -> None:
        """The triggers are set, then agents work through the forms."""
        with ExitStack() as stack:
            browsers = [stack.enter_context(self._browser()) for _ in AGENTS]
            self._screen.enter("Setting the CRM triggers in Configuration Manager.")
            set_triggers(browsers[0], self._parts.trigger_urls())
            for browser, agent_id in zip(browsers, AGENTS, strict=True):
                sign_in(browser, agent_id)
            self._screen.enter(
                f"Agents work in the Agent Console: {self._options.actions} actions."
            )
            self._act_all(browsers, self._script())

    def _act_all(self, browsers: list[Console], script: Script) -> None:
        """All actions; somewhere in the middle the receiver is away for a while."""
        actions = self._options.actions
        kill_at = round(actions * _KILL_AFTER) if self._options.outage else actions
        restart_at = min(kill_at + _ACTIONS_WITHOUT_RECEIVER, actions)
        for number in range(actions):
            if number == kill_at:
                self._kill_receiver()
            if number == restart_at:
                self._restart_receiver(restart_at - kill_at)
            turn = number % len(browsers)
            action = script.next_action()
            script.done(action, perform(browsers[turn], action))
            self._screen.act(AGENTS[turn], str(action))
            self._watch(0)
        if kill_at < actions <= restart_at:
            self._restart_receiver(actions - kill_at)

    def _kill_receiver(self) -> None:
        group = self._parts.receiver.pid
        self._parts.receiver.kill()
        self._screen.enter(
            f"The receiver is away: SIGKILL to its whole process group {group}. "
            f"The simulator retries on its schedule “{RETRY_SCHEDULE}”."
        )

    def _restart_receiver(self, actions_meanwhile: int) -> None:
        """Start it again once the triggers of the outage have all failed, so that all are retried.

        actions_meanwhile: how many triggers the outage caused; each action fires one.
        """
        self._wait_for(lambda figures: figures.failing >= actions_meanwhile, _FAILING_TIMEOUT_S)
        self._start_program(self._parts.receiver)
        self._wait_until_it_answers(self._parts.receiver)

    def _settle(self) -> None:
        self._screen.enter("The agents are done. Waiting until every trigger has taken effect.")
        self._wait_for(lambda figures: figures.settled, _SETTLE_TIMEOUT_S)

    def _judge(self) -> int:
        """Compare, show what came of it, and give the exit code."""
        figures = self._look()
        with self._databases() as (local, external):
            comparison = compare(local, external)
            delivered = delivered_events(local)
        screen = self._screen
        screen.say(
            f"{figures.sent} triggers sent, {figures.retried} of them more than once (schedule "
            f"“{RETRY_SCHEDULE}”), {figures.received} received, {figures.applied} applied."
        )
        screen.say(output_of(self._parts.status, self._interrupt))
        screen.console.print(comparison_table(comparison))
        for sentence in comparison.differences:
            screen.say(sentence)
        failures = what_fails(comparison, delivered, figures, self._options.actions)
        for sentence in failures:
            screen.say(sentence)
        if not failures:
            screen.say("Equal: the External CRM shows what the Local CRM holds.")
        return 1 if failures else 0

    def _watch(self, seconds: float) -> None:
        """Let time pass with an eye on programs and figures."""
        for program in self._parts.running:
            program.check()
        if time.monotonic() - self._looked_at >= _LOOK_EVERY_S:
            self._look()
        self._interrupt.pause(seconds)

    def _look(self) -> Figures:
        """The present figures, shown as well."""
        try:
            with self._databases() as (local, external):
                self._screen.show(observe(local, external, datetime.now(UTC)))
        except sqlite3.OperationalError:
            pass  # locked for a moment, e.g. while a restarted program recovers its file
        self._looked_at = time.monotonic()
        return self._screen.figures

    def _wait_for(self, condition: Callable[[Figures], bool], timeout_s: float) -> None:
        """Return when the figures fulfil the condition, or when the time is up."""
        until = time.monotonic() + timeout_s
        while not condition(self._look()) and time.monotonic() < until:
            self._watch(0.1)

    @contextmanager
    def _databases(self) -> Iterator[tuple[sqlite3.Connection, sqlite3.Connection]]:
        parts = self._parts
        with (
            open_read_only(parts.local_database) as local,
            open_read_only(parts.external_database) as external,
        ):
            yield local, external

    @contextmanager
    def _browser(self) -> Iterator[Console]:
        console = Console(self._parts.simulator_url, self._parts.certificates.ca)
        try:
            yield console
        finally:
            console.close()

    def _script(self) -> Script:
        with self._databases() as (local, _):
            known = read_known(local)
        seed = self._options.seed
        return Script(known, Typist(seed, datetime.now(UTC).date()), Random(seed))
