"""A machine on which the receiver's page is followed: in a folder, with processes for systemd.

In: blocks of the page. Out: what they print. Paths under /opt, /etc and /usr/local/bin lead into
the folder; PostgreSQL's role and database, and the port, are names of this test's own. What needs
systemd or a firewall is done here in its stead, or left out.
"""

import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy import make_url

from tests.external_databases import POSTGRESQL_URL
from tests.served_receiver import LONGEST_S, free_port

ROLE = f"crm_receiver_page_{os.getpid()}"
DATABASE = f"external_crm_page_{os.getpid()}"
_LEFT_OUT = ("journalctl ", "ufw ")
_OWN_VARIABLES = ("CRM_", "EXTERNAL_CRM_", "PYTHON", "VIRTUAL_ENV", "COV_")


class Service:
    """A process in the foreground that says on its output what it does."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.said = ""
        self._read_to = 0

    def says(self, *sentences: str) -> None:
        """Return once it said all of these since the last time, in any order."""
        assert self._process.stdout is not None
        while not all(sentence in self.said[self._read_to :] for sentence in sentences):
            readable, _, _ = select.select([self._process.stdout], [], [], LONGEST_S)
            more = os.read(self._process.stdout.fileno(), 65_536) if readable else b""
            assert more, f"It did not say {sentences}: {self.said}"
            self.said += more.decode()
        ends = [self.said.index(one, self._read_to) + len(one) for one in sentences]
        self._read_to = max(ends)

    def stop(self) -> None:
        """End it as systemd does."""
        assert self._process.stdout is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self.said += self._process.stdout.read().decode()
        self._process.stdout.close()
        self._process.wait(60)


class ProductionHost:
    """Where the page is followed; `close` leaves nothing behind but the folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.port, self.https_port = free_port(), free_port()
        self.receiver: Service | None = None
        self.nginx: Service | None = None
        self.url = make_url(POSTGRESQL_URL)
        for folder in ("home", "opt", "etc/systemd/system", "etc/nginx/conf.d", "bin", "tools"):
            (root / folder).mkdir(parents=True)
        for name in ("passwd", "group", "shadow", "gshadow"):
            (root / "etc" / name).touch()
        (root / "tools" / "python3").symlink_to(sys.executable)
        plain = {n: v for n, v in os.environ.items() if not n.startswith(_OWN_VARIABLES)}
        server = {
            "PGHOST": self.url.host or "127.0.0.1",
            "PGPORT": str(self.url.port or 5432),
            "PGUSER": self.url.username or "postgres",
            "PGPASSWORD": str(self.url.password or ""),
        }
        path = f"{root}/bin:{root}/tools:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
        pip = {"PIP_NO_COMPILE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_QUIET": "2"}
        self.environment = plain | server | pip | {"PATH": path}

    def own(self, text: str) -> str:
        """The page's words with this test's places and names."""
        for there, here in (("/usr/local/bin", "bin"), ("/opt", "opt"), ("/etc", "etc")):
            text = re.sub(rf"(?<![\w.]){there}/", f"{self.root / here}/", text)
        text = re.sub(r"\bcrm_receiver\b(?! \{|;)", ROLE, text)
        text = re.sub(r"\bexternal_crm\b", DATABASE, text)
        return text.replace(":8802", f":{self.port}").replace("/tmp/8x8", f"{self.root}/8x8")  # noqa: S108

    def run(self, block: str) -> str:
        """What a block prints; each of its commands must succeed."""
        lines = block.replace("\\\n", " ").splitlines()
        said = [self._run(self.own(line.removeprefix("# "))) for line in lines if line.strip()]
        return "".join(said)

    def _run(self, line: str) -> str:
        if line.startswith(_LEFT_OUT):
            return ""
        if line.startswith("systemctl "):
            return self._systemctl(line)
        if line.startswith("set -a"):
            file = re.search(r"\S+/receiver\.env", line)
            assert file is not None
            self.environment |= read_environment(Path(file[0]))
            return ""
        return self._shell(*self._as_here(line))

    def _as_here(self, line: str) -> tuple[str, str]:
        """A command as it can be run here, and what is typed into it."""
        if line.startswith("useradd "):
            may = os.geteuid() == 0 and shutil.which("useradd")
            return (line.replace("useradd", f"useradd --prefix {self.root}") if may else ":"), ""
        if line.startswith("nginx "):
            return f"{line} -q -c {self._nginx_conf()}", ""
        line = line.removeprefix("sudo -u postgres ").removeprefix("runuser -u crm-receiver -- ")
        typed = "secret-of-the-role\n" * 2 if "--pwprompt" in line else ""
        return line, typed

    def _shell(self, line: str, typed: str = "") -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=self.root / "home",
            env=self.environment,
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,  # no terminal to ask for a password on
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _systemctl(self, line: str) -> str:
        if line == "systemctl reload nginx":
            command = ["nginx", "-g", "daemon off;", "-c", str(self._nginx_conf())]
            self.nginx = Service(command, self.environment)
        elif line.startswith(("systemctl enable --now", "systemctl start")):
            self._start()
        elif line == "systemctl stop crm-receiver" and self.receiver is not None:
            self.receiver.stop()
        else:
            raise AssertionError(f"The page has a command that this test does not know: {line}")
        return ""

    def _start(self) -> None:
        """What the unit says, in the environment that it says."""
        unit = self.own((self.root / "etc/systemd/system/crm-receiver.service").read_text())
        settings = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line)
        file = Path(settings["EnvironmentFile"])
        environment = self.environment | read_environment(file)
        self.receiver = Service(shlex.split(settings["ExecStart"]), environment)
        self.receiver.says("Receiver listens", "Worker reads")

    def _nginx_conf(self) -> Path:
        """A whole configuration around the file that the page puts into conf.d."""
        site = self.root / "etc/nginx/conf.d/crm-receiver.conf"
        text = self.own(site.read_text()).replace("443 ssl", f"127.0.0.1:{self.https_port} ssl")
        site.write_text(text)
        temporary = " ".join(
            f"{name}_temp_path {self.root}/{name};"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        whole = self.root / "nginx.conf"
        whole.write_text(
            f"pid {self.root}/nginx.pid; error_log stderr; worker_processes 1; events {{}}\n"
            f"http {{ {temporary} include {site}; }}\n"
        )
        return whole

    def edit(self, file: str, change: Callable[[str], str]) -> None:
        """Fill a file in, as the page says."""
        path = self.root / file
        path.write_text(change(self.own(path.read_text())))

    def close(self) -> None:
        """End the processes, remove role and database."""
        for service in (self.nginx, self.receiver):
            if service is not None:
                service.stop()
        for command in (
            f"dropdb --if-exists --force {DATABASE}",
            f"dropuser --if-exists {ROLE}",
        ):
            self._shell(command)


def read_environment(file: Path) -> dict[str, str]:
    """The variables of a settings file."""
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)
