"""The lines of `crm-simulator env`: clients in several languages trust the simulator by them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from simulator import trust
from simulator.server import Simulator

_NODE = """
require("https").get(process.argv[1], (reply) => {
  console.log(reply.statusCode);
  reply.resume();
}).on("error", (error) => { console.log(error.code); });
"""
_JAVA = """
class Ask {
    public static void main(String[] given) throws Exception {
        var connection = (java.net.HttpURLConnection) new java.net.URL(given[0]).openConnection();
        System.out.println(connection.getResponseCode());
    }
}
"""
_PYTHON = "import requests, sys; print(requests.get(sys.argv[1]).status_code)"
_CURL = ["curl", "-s", "-o", os.devnull, "-w", "%{http_code}"]


@pytest.fixture
def environment(simulator: Simulator) -> dict[str, str]:
    """A shell's environment after `eval "$(crm-simulator env)"`."""
    lines = trust.export_lines(trust.variables(simulator.url, simulator.ca_path))
    script = "\n".join([*lines, "env -0"])
    told = subprocess.run(["sh", "-c", script], capture_output=True, check=True, text=True).stdout
    return dict(line.split("=", 1) for line in told.split("\0") if line)


@pytest.mark.parametrize("client", ["python", "curl", "node", "java"])
def test_a_client_trusts_the_simulator(
    simulator: Simulator, environment: dict[str, str], client: str, tmp_path: Path
) -> None:
    program = {"python": "python3"}.get(client, client)
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed.")
    (tmp_path / "Ask.java").write_text(_JAVA)
    command = {
        "python": [shutil.which("python3") or "", "-c", _PYTHON],
        "curl": _CURL,
        "node": ["node", "-e", _NODE],
        "java": ["java", str(tmp_path / "Ask.java")],
    }[client]
    if client == "python":
        command[0] = sys.executable
    done = subprocess.run(
        [*command, f"{simulator.url}/deliveries"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == "200", done.stderr


def test_over_plain_http_there_is_nothing_to_trust() -> None:
    assert trust.variables("http://127.0.0.1:1", None) == {"CRM_SIM_URL": "http://127.0.0.1:1"}


def test_a_path_with_spaces_reaches_the_shell_whole() -> None:
    assert trust.export_lines({"A": "/with space/it's"}) == [
        """export A='/with space/it'"'"'s'""",
    ]
