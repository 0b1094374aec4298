"""`crm-receiver status --watch` in a terminal: it follows what happens, until Ctrl-C."""

import os
import select
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.integration.receiver.test_cli import receiver_settings, run
from tests.served_receiver import LONGEST_S, SECRET, Serving


def shows(watch: "subprocess.Popen[bytes]", *lines: str) -> None:
    """Return once it showed all of these."""
    assert watch.stdout is not None
    missing = {line.encode() for line in lines}
    while missing:
        assert select.select([watch.stdout], [], [], LONGEST_S)[0], f"It never showed {missing}."
        shown = watch.stdout.readline()
        assert shown, f"It ended before it showed {missing}."
        missing.discard(shown.rstrip())


def test_watch_follows_what_happens(tmp_path: Path) -> None:
    database = tmp_path / "external.db"
    assert run(database, "migrate").exit_code == 0
    watch = subprocess.Popen(
        [sys.executable, "-m", "receiver", "status", "--watch", "--every", "0.1"],
        env=os.environ | receiver_settings(database, {}),
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    serving = Serving(f"sqlite:///{database}", WEB_THREADS="4")
    try:
        shows(watch, "received   0", "oldest     nothing waits", "circuit    closed")
        serving.says("Receiver listens")
        url = f"http://127.0.0.1:{serving.port}/8x8/{SECRET}?AccountID=A1"
        with urllib.request.urlopen(url, timeout=30) as answer:
            assert answer.status == 200
        shows(watch, "received   1")
        serving.close()
        database.rename(tmp_path / "away")
        shows(watch, "The database cannot be used: the database file is gone.")
        (tmp_path / "away").rename(database)
        shows(watch, "received   1")
        watch.send_signal(signal.SIGINT)
        assert watch.wait(LONGEST_S) == 0
    finally:
        serving.close()
        watch.kill()
        watch.wait()
        assert watch.stdout is not None
        watch.stdout.close()
