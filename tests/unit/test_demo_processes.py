"""Programs of the demo as process groups: nothing of them is left, and their end is a sentence."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.demonstration.interrupt import Interrupt, Interrupted
from scripts.demonstration.processes import (
    CannotStart,
    Program,
    ProgramEnded,
    refuse_ports_in_use,
    run_to_end,
    stop_all,
)

# Tells its own and its child's process id, then both wait to be ended.
_WITH_CHILD = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def with_child(tmp_path: Path) -> Iterator[Program]:
    """A program that runs together with a child."""
    program = _program(tmp_path, _WITH_CHILD)
    program.start()
    while not program.log.read_text().endswith("\n"):
        assert program.ended() is None
    yield program
    program.kill()


def test_kill_ends_the_whole_group(with_child: Program) -> None:
    group, child = with_child.pid, int(with_child.log.read_text())

    with_child.kill()

    assert with_child.pid == 0
    for process in (group, child):
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_stop_leaves_nothing_of_a_group_whose_leader_forgets_its_child(with_child: Program) -> None:
    child = int(with_child.log.read_text())

    stop_all((with_child,))

    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_a_killed_program_is_not_taken_for_one_that_ended_by_itself(with_child: Program) -> None:
    with_child.kill()

    with_child.check()


def test_a_program_that_fails_is_told_with_its_last_words_and_its_log(tmp_path: Path) -> None:
    program = _program(tmp_path, "import sys; sys.exit('The disk is full.')")

    with pytest.raises(ProgramEnded) as failed:
        run_to_end((program,), Interrupt())

    assert str(failed.value) == (
        f'The part ended with code 1. It said last: "The disk is full.". Its log is {program.log}.'
    )


def test_an_interrupted_wait_leaves_no_process(tmp_path: Path) -> None:
    program = _program(tmp_path, "import time; time.sleep(600)")
    interrupt = Interrupt()
    interrupt.requested = True

    with pytest.raises(Interrupted):
        run_to_end((program,), interrupt)

    assert program.pid == 0


def test_a_port_in_use_is_a_sentence_that_names_the_option() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(CannotStart, match=f"Port {port} on 127.0.0.1 .* --port-base N"):
            refuse_ports_in_use("127.0.0.1", (port,))


def _program(folder: Path, code: str) -> Program:
    return Program("part", [sys.executable, "-c", code], dict(os.environ), folder / "part.log")
