"""receiver/README.md and receiver/deploy/: what they tell a new user to do works."""

import re
import subprocess
from pathlib import Path

import trustme
from click.testing import CliRunner

import receiver
from receiver.cli import main
from receiver.settings import PREFIX, Settings
from tests.programs import require

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
    logged |= {"custom_field_appeared", "custom_field_vanished"}  # told as values
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
    program = require("nginx")
    leaf = trustme.CA().issue_cert("crm.example.com")
    leaf.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    server = re.sub(
        r"/etc/letsencrypt/\S+\.pem",
        str(tmp_path / "both.pem"),
        (DEPLOY / "nginx.conf").read_text(),
    )
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ {server}\n}}"
    )
    checked(program, "-t", "-q", "-c", str(tmp_path / "nginx.conf"))


def test_caddy_takes_its_file() -> None:
    path = str(DEPLOY / "Caddyfile")
    checked(require("caddy"), "validate", "--adapter", "caddyfile", "--config", path)


def checked(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
