"""`scripts/demo` as a user runs it: a whole run, what it compares, and how it ends early."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.ports import are_free, free_port_base

ROOT = Path(__file__).parents[2]
DEMO = str(ROOT / "scripts" / "demo")
ENOUGH_S = 300  # a run that hangs must not hang the suite


@dataclass(frozen=True)
class Finished:
    """A demo that ran to its end."""

    code: int
    output: str
    folder: Path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One short run with an outage, its databases kept."""
    folder = tmp_path_factory.mktemp("demo") / "kept"
    arguments = ["--once", "--actions", "40", "--keep-data", str(folder)]
    run = _run(*arguments, "--port-base", str(free_port_base()))
    return Finished(run.returncode, run.stdout + run.stderr, folder)


@pytest.fixture
def databases(finished: Finished, tmp_path: Path) -> tuple[Path, Path]:
    """Copies of the Local CRM's and the External CRM's database that a test may spoil."""
    copies = tmp_path / "local.db", tmp_path / "external.db"
    for name, copy in zip(("local_crm.db", "external_crm.db"), copies, strict=True):
        with _open(finished.folder / name) as source, _open(copy) as target:
            source.backup(target)
    return copies


def test_a_run_with_an_outage_ends_equal(finished: Finished) -> None:
    assert finished.code == 0, finished.output
    assert "Equal: the External CRM shows what the Local CRM holds." in finished.output
    assert "SIGKILL to its whole process group" in finished.output
    assert "“quick”" in finished.output


def test_the_outage_made_deliveries_need_more_than_one_attempt(finished: Finished) -> None:
    with _open(finished.folder / "local_crm.db") as local:
        query = "SELECT count(*) FROM deliveries WHERE attempt_count > 1"
        (retried,) = local.execute(query).fetchone()

    assert retried >= 20


def test_no_process_of_a_finished_demo_is_left(finished: Finished) -> None:
    _assert_all_gone(finished.output)


def test_what_a_demo_left_compares_equal_again(databases: tuple[Path, Path]) -> None:
    assert _compare(databases) == 0


@pytest.mark.parametrize(
    "spoil",
    [
        "UPDATE cases SET subject = 'No' WHERE case_id = (SELECT min(case_id) FROM cases)",
        "DELETE FROM tasks WHERE task_id = (SELECT min(task_id) FROM tasks)",
        "INSERT INTO customers SELECT * FROM one",
    ],
    ids=["a field is corrupted", "a row is deleted", "a row is added"],
)
def test_a_spoilt_external_crm_is_not_equal(databases: tuple[Path, Path], spoil: str) -> None:
    with _open(databases[1]) as external:
        external.execute("CREATE TEMP TABLE one AS SELECT * FROM customers LIMIT 1")
        external.execute("UPDATE one SET account_id = '99999999'")
        assert external.execute(spoil).rowcount == 1
        external.commit()

    assert _compare(databases) == 1


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGINT, "Filling the Local CRM"),
        (signal.SIGINT, "Started the receiver"),
        (signal.SIGTERM, "Agents work"),
    ],
)
def test_a_demo_that_is_interrupted_leaves_no_process(
    tmp_path: Path, number: signal.Signals, moment: str
) -> None:
    base = free_port_base()
    arguments = ["--port-base", str(base), "--keep-data", str(tmp_path / "kept")]
    with _started(*arguments) as demo:
        output = _read_until(demo, moment)
        demo.send_signal(number)
        rest, _ = demo.communicate(timeout=ENOUGH_S)

    assert demo.returncode == 130
    assert "No process is left." in rest
    assert "Traceback" not in rest
    _assert_all_gone(output + rest)
    _assert_nothing_mentions(tmp_path)
    assert are_free(base)


def test_a_simulator_that_is_killed_ends_the_demo_with_a_sentence(tmp_path: Path) -> None:
    arguments = ["--once", "--keep-data", str(tmp_path / "kept")]
    with _started(*arguments, "--port-base", str(free_port_base())) as demo:
        output = _read_until(demo, "Agents work")
        (group,) = re.findall(r"simulator \(process group (\d+)", output)
        os.kill(int(group), signal.SIGKILL)
        rest, _ = demo.communicate(timeout=ENOUGH_S)

    assert demo.returncode == 1
    assert "The simulator ended with code -9." in rest
    assert "Traceback" not in rest
    _assert_nothing_mentions(tmp_path)


def test_a_demo_that_stays_up_shows_three_urls_that_answer(tmp_path: Path) -> None:
    arguments = ["--actions", "11", "--no-outage", "--keep-data", str(tmp_path / "kept")]
    with _started(*arguments, "--port-base", str(free_port_base())) as demo:
        output = _read_until(demo, "Ctrl-C ends the demo.")
        urls = re.findall(r"  (https?://\S+)$", output, re.MULTILINE)
        ca = str(tmp_path / "kept" / "certificates" / "ca.pem")
        answers = [requests.get(url, verify=ca, timeout=30).status_code for url in urls]
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate(timeout=ENOUGH_S)

    assert answers == [200, 200, 200]
    assert demo.returncode == 0, output + rest
    _assert_nothing_mentions(tmp_path)


def test_a_port_in_use_is_one_sentence() -> None:
    base = free_port_base()
    with socket.socket() as other:
        other.bind(("127.0.0.1", base + 1))
        other.listen()
        run = _run("--once", "--port-base", str(base))

    assert run.returncode == 2
    assert run.stderr.startswith(f"Port {base + 1} on 127.0.0.1 cannot be used")
    assert run.stderr.count("\n") == 1


def test_a_folder_that_holds_something_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")

    run = _run("--keep-data", str(tmp_path), "--port-base", str(free_port_base()))

    assert run.returncode == 2
    assert "is not empty" in run.stderr
    assert (tmp_path / "mine.txt").read_text() == "precious"


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DEMO, *arguments], capture_output=True, text=True, timeout=ENOUGH_S, check=False
    )


@contextmanager
def _started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A demo in the background; whatever the test does, it is gone afterwards."""
    demo = subprocess.Popen(
        [DEMO, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield demo
    finally:
        if demo.poll() is None:
            demo.send_signal(signal.SIGTERM)
            demo.communicate(timeout=ENOUGH_S)


def _read_until(demo: subprocess.Popen[str], moment: str) -> str:
    assert demo.stdout is not None
    lines = []
    for line in demo.stdout:
        lines.append(line)
        if moment in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


def _compare(databases: tuple[Path, Path]) -> int:
    return _run("compare", *(str(path) for path in databases)).returncode


def _assert_all_gone(output: str) -> None:
    for group in re.findall(r"process group (\d+)", output):
        with pytest.raises(ProcessLookupError):
            os.killpg(int(group), 0)


def _assert_nothing_mentions(folder: Path) -> None:
    """Every program of a demo has the working folder in its environment."""
    for process in Path("/proc").glob("[0-9]*"):
        if process.name != str(os.getpid()):
            assert str(folder).encode() not in _environment(process)


def _environment(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:  # gone, or somebody else's
        return b""


def _open(path: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(path))
