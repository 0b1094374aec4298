"""receiver/README.md and receiver/deploy/: what they tell a new user to do works."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

import receiver
from receiver.settings import PREFIX, Settings
from simulator.server import Simulator
from tests.forms import Browser
from tests.served_receiver import SECRET, Serving

FOLDER = Path(receiver.__file__).parent
README = (FOLDER / "README.md").read_text()
DEPLOY = FOLDER / "deploy"


def test_every_command_of_the_page_works_in_its_order(simulator: Simulator, tmp_path: Path) -> None:
    """All blocks marked sh; the others are for root: users, systemd, firewall."""
    Browser.of(simulator.app.test_client()).submit(
        "/agent/customers/new", firstname="Ada", lastname="Byron"
    )
    settings = {
        "CRM_API_URL": simulator.url,
        "CRM_API_CA": str(simulator.ca_path),
        "TENANT": "demo",
        "USERNAME": "crmapi",
        "PASSWORD": "crmapi-demo",
        "WEB_THREADS": "4",
    }
    url = f"sqlite:///{tmp_path / 'external.db'}"
    own = {f"{PREFIX}{name}": value for name, value in settings.items()}
    own |= {f"{PREFIX}SECRET": SECRET, f"{PREFIX}DATABASE_URL": url}
    own["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    blocks = re.findall(r"```sh\n(.*?)```", README, re.S)
    before, after = blocks[:2], blocks[2:]
    for block in before:
        sh(block.replace(" --strict", ""), own)  # a test's folder may be kept in memory
    serving = Serving(url, **settings)
    try:
        serving.says("Receiver listens", "Worker reads")
        said = [sh(wait_for_worker(b).replace(":8802", f":{serving.port}"), own) for b in after]
    finally:
        serving.close()
    assert '"ready":true' in said[0]
    assert "crm_receiver_store_up 1.0" in said[0]
    assert "<FIRSTNAME>Ada</FIRSTNAME>" in said[0]
    assert '"first_name": "Ada"' in said[0]
    assert f"https://crm.example.com/8x8/{SECRET}/customer/create" in said[0]
    assert "circuit    closed" in said[1]


def wait_for_worker(block: str) -> str:
    """A worker says that it is there a moment after it says that it begins."""
    return block.replace("curl -fsS", "curl -fsS --retry 20 --retry-all-errors --retry-delay 1")


def sh(script: str, settings: dict[str, str]) -> str:
    """What it prints; it must succeed as a whole."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CRM_")}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=clean | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_page_names_every_event() -> None:
    said = set(re.findall(r"`([a-z_ ]+)`", README.partition("## Events")[2]))
    logged: set[str] = set()
    for module in FOLDER.glob("*.py"):
        logged |= set(re.findall(r'log\.\w+\(\s*"([^"]+)"', module.read_text()))
    assert len(logged) > 15
    assert logged - said == set()


def test_the_page_names_every_metric(simulator: Simulator) -> None:
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


def require(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed.")
    return found


def checked(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
