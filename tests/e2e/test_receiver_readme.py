"""receiver/README.md and receiver/deploy/: what they tell a new user to do works."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner

import receiver
from receiver.cli import main
from receiver.settings import PREFIX, Settings
from tests.programs import require
from tests.served_receiver import free_port

FOLDER = Path(receiver.__file__).parent
README = (FOLDER / "README.md").read_text()
DEPLOY = FOLDER / "deploy"


def test_the_page_names_every_event_and_no_other() -> None:
    section = README.partition("## Events")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    said = {event for row in rows for event in re.findall(r"`([a-z_ ]+)`", row)}
    logged: set[str] = set()
    for module in FOLDER.glob("*.py"):
        logged |= set(re.findall(r'log\.\w+\(\s*"([^"]+)"', module.read_text()))
    logged |= {"custom_field_appeared", "custom_field_vanished"}  # told as values, as these are
    logged |= {"lease not extended", "no heartbeat", "no upkeep"}
    assert logged == said


def test_every_file_that_the_page_links_comes_with_the_wheel() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", README):
        name = link.removeprefix("deploy/")
        printed = CliRunner().invoke(main, ["deploy", name])
        assert printed.output == (FOLDER / link).read_text()
    listed = CliRunner().invoke(main, ["deploy"]).output
    assert {path.name for path in DEPLOY.iterdir()} <= set(listed.split())
    assert CliRunner().invoke(main, ["deploy", "apache.conf"]).exit_code == 2


def test_the_page_names_every_metric() -> None:
    source = (FOLDER / "metrics.py").read_text()
    named = set(re.findall(r'_(?:gauge|counter)\("(\w+)"', source))
    missing = {name for name in named if name not in README}
    assert missing == set()


def test_the_example_settings_are_settings() -> None:
    lines = (DEPLOY / "receiver.env").read_text().splitlines()
    names = [line.partition("=")[0] for line in lines if not line.startswith("#")]
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert set(names) <= known


def test_the_unit_is_one(tmp_path: Path) -> None:
    program = require("systemd-analyze")
    unit = (DEPLOY / "crm-receiver.service").read_text()
    unit = unit.replace("/opt/crm-receiver/bin/crm-receiver", "/bin/true")
    (tmp_path / "crm-receiver.service").write_text(unit.replace("User=crm-receiver\n", ""))
    checked(program, "verify", "--man=no", str(tmp_path / "crm-receiver.service"))


def test_nginx_takes_its_file(tmp_path: Path) -> None:
    checked(require("nginx"), "-t", "-q", "-c", nginx_file(tmp_path, 443))


def test_caddy_takes_its_file() -> None:
    path = str(DEPLOY / "Caddyfile")
    checked(require("caddy"), "validate", "--adapter", "caddyfile", "--config", path)


@pytest.mark.parametrize("program", ["nginx", "caddy"])
def test_no_proxy_logs_the_secret_not_even_if_the_receiver_is_away(
    program: str, tmp_path: Path
) -> None:
    port = free_port()
    command = {
        "nginx": lambda: ["-g", "daemon off;", "-c", nginx_file(tmp_path, port)],
        "caddy": lambda: ["run", "--adapter", "caddyfile", "--config", caddy_file(tmp_path, port)],
    }[program]()
    home = os.environ | {"XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    with (tmp_path / "said").open("w") as said:
        proxy = subprocess.Popen([require(program), *command], env=home, stdout=said, stderr=said)
    try:
        listening = ("--retry", "60", "--retry-connrefused", "--retry-delay", "1")
        assert status(f"https://127.0.0.1:{port}/readyz", *listening) == "404"
        assert status(f"https://127.0.0.1:{port}/8x8/a-secret/task/edit?AccountID=1") == "502"
        assert status(f"https://127.0.0.1:{port}/livez") == "502"
    finally:
        proxy.terminate()
        proxy.wait(60)
    told = (tmp_path / "said").read_text()
    assert "refused" in told  # what keeps a proxy from the receiver is told nevertheless
    assert "a-secret" not in told


def status(url: str, *options: str) -> str:
    """What curl is answered with."""
    curl = [require("curl"), "-sk", "-o", "/dev/null", "-w", "%{http_code}", *options, url]
    return subprocess.run(curl, check=True, capture_output=True, text=True).stdout


def nginx_file(folder: Path, port: int) -> str:
    """The server in a whole configuration, which logs what it would without any setting."""
    temporary = " ".join(
        f"{name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    server = re.sub(
        r"/etc/letsencrypt/\S+\.pem",
        str(certificate(folder)),
        (DEPLOY / "nginx.conf").read_text(),
    )
    server = server.replace("443 ssl", f"127.0.0.1:{port} ssl").replace(":8802", ":9")
    whole = f"pid {folder}/pid; error_log stderr; events {{}} http {{ {temporary}\n{server}\n}}"
    (folder / "nginx.conf").write_text(whole)
    return str(folder / "nginx.conf")


def caddy_file(folder: Path, port: int) -> str:
    """The site at a port of this machine."""
    both = certificate(folder)
    text = (DEPLOY / "Caddyfile").read_text().replace(":8802", ":9")
    text = text.replace("{\n", "{\n\tadmin off\n\tauto_https disable_redirects\n", 1)
    site = f"https://127.0.0.1:{port} {{\n\ttls {both} {both}\n"
    (folder / "Caddyfile").write_text(text.replace("crm.example.com {\n", site))
    return str(folder / "Caddyfile")


def certificate(folder: Path) -> Path:
    """Certificate and key in one file."""
    both = folder / "both.pem"
    leaf = trustme.CA().issue_cert("crm.example.com", "127.0.0.1")
    leaf.private_key_and_cert_chain_pem.write_to_path(both)
    return both


def checked(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
