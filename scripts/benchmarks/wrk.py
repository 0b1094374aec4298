"""One round of load by wrk, every request naming another record.

In: a URL, how long, and where to count from. Out: how many were answered with 200, and how fast.
"""

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 64

_SCRIPT = """
local threads = 0
function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end
function init(args)
  first_id = tonumber(args[1]) + number * 50000000
  names = tonumber(args[2])
  sent = 0
  head = "GET " .. wrk.path .. "?AccountID="
  tail = " HTTP/1.1\\r\\nHost: " .. wrk.headers["Host"] .. "\\r\\n\\r\\n"
end
function request()
  sent = sent + 1
  return head .. string.format("%d", first_id + (names > 0 and sent % names or sent)) .. tail
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\n{"requests": %d, "refused": %d, "broken": %d, "us": %d, "p50": %d, "p99": %d}\\n',
    summary.requests, e.status, e.connect + e.read + e.write + e.timeout, summary.duration,
    latency:percentile(50), latency:percentile(99)))
end
"""


class NoWrk(Exception):
    """wrk is not there; the message says how to get it."""


@dataclass(frozen=True)
class Round:
    """What wrk saw."""

    answered: int  # with 200
    refused: int  # with anything else
    broken: int  # connections and timeouts
    per_second: float
    p50_ms: float
    p99_ms: float


def check() -> None:
    """Raise NoWrk unless it can be run."""
    if shutil.which("wrk") is None:
        raise NoWrk("wrk makes the load and is not installed: apt-get install wrk")


def version() -> str:
    """As its first line says it."""
    said = subprocess.run(["wrk", "-v"], check=False, capture_output=True, text=True)
    return " ".join((said.stdout + said.stderr).split()[:2])


def load(url: str, seconds: int, first_id: int, names: int = 0) -> Round:
    """Call `url` for so long over 64 connections that stay open, AccountID counting up.

    names: how many AccountIDs there are, each called again and again; 0: as many as calls.
    """
    with tempfile.TemporaryDirectory(prefix="bench-wrk-") as folder:
        script = Path(folder) / "ids.lua"
        script.write_text(_SCRIPT)
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s"]
        done = subprocess.run(
            [*command, "-s", str(script), url, "--", str(first_id), str(names)],
            check=True,
            capture_output=True,
            text=True,
        )
    said = json.loads(done.stdout.splitlines()[-1])
    answered = said["requests"] - said["refused"]
    return Round(
        answered=answered,
        refused=said["refused"],
        broken=said["broken"],
        per_second=answered / (said["us"] / 1e6),
        p50_ms=said["p50"] / 1000,
        p99_ms=said["p99"] / 1000,
    )
