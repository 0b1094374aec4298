"""The examples beside the simulator do what they show, where a user would put them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tls_receiver import PATIENCE_S

EXAMPLES = Path(__file__).parents[3] / "simulator" / "examples"


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """The command run to its end, in a folder of its own, with the project's programs on PATH."""
    programs = Path(sys.executable).parent
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S * 10,
        env={
            **os.environ,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHON": sys.executable,
            "TMPDIR": str(folder),
        },
        check=False,
    )


def test_a_toy_receiver_is_tested_with_pytest(tmp_path: Path) -> None:
    for name in ("toy_receiver.py", "test_toy_receiver.py"):
        shutil.copy(EXAMPLES / name, tmp_path)
    done = run(tmp_path, sys.executable, "-m", "pytest", "-q", "-W", "error")
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_an_outage_of_30_hours_is_played_with_pytest(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "test_outage_of_30_hours.py", tmp_path)
    done = run(tmp_path, sys.executable, "-m", "pytest", "-q", "-W", "error")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_same_is_checked_from_a_shell(tmp_path: Path) -> None:
    done = run(tmp_path, "bash", str(EXAMPLES / "check_receiver.sh"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Customer 10000000 arrived, and so did its edit.\n"
    assert list(tmp_path.iterdir()) == []
