"""A disk that can be filled, and a PostgreSQL server of one's own that can be restarted.

Both skip in a line where the machine does not allow them.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.served_receiver import children, free_port


class SmallDisk:
    """A folder on a disk of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Use up all the room there is."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (65_536, 4096, 1):
                try:
                    while file.write(b"x" * size) == size:
                        pass
                except OSError:
                    continue

    def make_room(self) -> None:
        """As before it was filled."""
        self._ballast.unlink()


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """A disk in memory, mounted at a folder."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0777", "tmpfs", str(folder)]
    if not _succeeds(*mount):
        pytest.skip("A small disk cannot be mounted here: that takes root.")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Cluster:
    """A PostgreSQL server of one's own."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.port = free_port()
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"
        self._folder = folder
        self._programs = programs
        self._run("initdb", "--auth=trust", "--wal-segsize=1", "--no-sync", "-N", "--locale=C")
        with (folder / "postgresql.conf").open("a") as settings:
            settings.write(
                f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nmax_connections = 40\n"
                "unix_socket_directories = ''\nmin_wal_size = 2MB\nmax_wal_size = 4MB\n"
                "shared_buffers = 8MB\n"
            )

    def start(self) -> bool:
        """Whether it takes connections now."""
        return self._run("pg_ctl", "start", "-w", "-l", "/dev/null", "-o", "-F", check=False) == 0

    def restart(self, how: str) -> None:
        """how: smart, fast, or immediate as after a crash."""
        self._run("pg_ctl", "restart", "-w", "-l", "/dev/null", "-m", how)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It does nothing meanwhile, as on a machine that was paused; its connections stay."""
        server = int((self._folder / "postmaster.pid").read_text().split()[0])
        processes = [server, *children(server)]
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)

    def stop(self) -> None:
        """It may have stopped by itself."""
        self._run("pg_ctl", "stop", "-m", "immediate", check=False)

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        command = [str(self._programs / program), "-D", str(self._folder), *arguments]
        return subprocess.run(
            ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command],
            check=check,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ).returncode


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A server that runs, in a folder that everybody can reach; stopped at the end."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not versions or not _succeeds("setpriv", "--reuid=postgres", "true"):
        pytest.skip("No PostgreSQL server of one's own: that takes its programs, and root.")
    folder.mkdir()
    shutil.chown(folder, "postgres")
    folder.chmod(0o700)
    own = Cluster(folder, versions[-1].parent)
    assert own.start()
    try:
        yield own
    finally:
        own.stop()


def _succeeds(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
