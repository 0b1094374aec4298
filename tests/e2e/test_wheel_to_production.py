"""Someone who has the wheel and the page gets a running, monitored receiver on PostgreSQL."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

import pytest

import receiver
from simulator.client import delivered
from simulator.server import Simulator
from simulator.settings import Settings
from tests.external_databases import skip_without_postgresql
from tests.production_host import ProductionHost
from tests.programs import require
from tests.served_receiver import LONGEST_S
from tests.tls_receiver import Authority

FOLDER = Path(receiver.__file__).parent
PAGE = (FOLDER / "README.md").read_text()
HOPS = ["stored", "claimed", "fetched", "mapped", "applied", "finished"]


class Hook:
    """A webhook that keeps the alarms that it is sent."""

    def __init__(self) -> None:
        self.alarms: SimpleQueue[dict[str, Any]] = SimpleQueue()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()
                hook.alarms.put(json.loads(body))

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[ProductionHost]:
    """An empty machine with the wheel in the present folder."""
    skip_without_postgresql()
    for program in ("createuser", "nginx", "curl"):
        require(program)
    made = ProductionHost(tmp_path / "host")
    wheels = tmp_path / "wheels"
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(wheels)]
    subprocess.run([*build, str(FOLDER.parent)], check=True, capture_output=True)
    shutil.copy(next(wheels.glob("*.whl")), made.root / "home")
    yield made
    made.close()


@pytest.fixture
def sim(sim_settings: Settings) -> Iterator[Simulator]:
    # Generous: how quickly this machine answers is not what is tested.
    changes = {"retry_schedule": "quick", "trigger_timeout_s": 60.0}
    settings = sim_settings.model_copy(update=changes)
    with Simulator(settings) as running:
        yield running


def test_the_page_leads_from_the_wheel_to_a_receiver_that_is_watched(
    host: ProductionHost, sim: Simulator, hook: Hook, receiver_authority: Authority
) -> None:
    blocks = iter(re.findall(r"```(?:sh|console)\n(.*?)```", PAGE, re.S))
    ada = sim.agent.create_customer(firstname="Ada", lastname="Byron")

    host.run(next(blocks))  # install
    secret = host.run(next(blocks)).strip()  # the files, and a secret
    fill_in(host, sim, hook, secret)
    said = host.run(next(blocks).replace(" --strict", ""))  # a test's machine may do without fsync
    assert "A 200 on it outlasts" in said or "PostgreSQL runs with" in said
    assert "bad " not in said

    host.run(next(blocks))  # the unit
    certify(host, receiver_authority)
    host.run(next(blocks))  # the proxy
    checks = host.run(wait_for_worker(next(blocks)))
    assert '"ready":true' in checks
    assert "crm_receiver_store_up 1.0" in checks
    assert '"first_name": "Ada"' in checks

    paste(checks, host, sim)
    sim.agent.edit_customer(ada, lastname="Lovelace")
    sim.wait(delivered(ada), timeout_s=LONGEST_S)
    assert host.receiver is not None
    host.receiver.says('"event": "finished"')
    assert hops(host.receiver.said) == HOPS
    said = host.run(next(blocks))
    assert "received   1" in said
    assert 'applied_total{outcome="applied"} 1.0' in host.run(metrics(host))

    refused = sim.faults.add("expired_credentials")
    sim.agent.edit_customer(ada, lastname="King")
    alarm = hook.alarms.get(timeout=LONGEST_S)
    assert (alarm["alarm"], alarm["state"]) == ("credentials", "raised")
    assert 'on_hold{what="credentials"} 1.0' in host.run(metrics(host))
    sim.faults.clear(refused)

    stop, record, start, check = next(blocks).splitlines()
    host.run(stop)
    lost_without_it = sim.agent.create_customer(firstname="Grace", lastname="Hopper")
    host.run(record.replace("--for 30m", "--for 3s"))
    host.run(start)
    sim.wait(delivered(lost_without_it), timeout_s=LONGEST_S)
    assert "0 refuted" in host.run(check)
    assert next(blocks, None) is None


def fill_in(host: ProductionHost, sim: Simulator, hook: Hook, secret: str) -> None:
    """What the page tells to fill in; and whom to trust, which nobody need say of the real API."""
    values = {
        "A-SECRET-OF-16-CHARACTERS-OR-MORE": secret,
        "https://YOUR-CLUSTER.8x8.com": sim.url,
        "YOUR-TENANT": sim.settings.tenant,
        "YOUR-API-USER": sim.settings.api_username,
        "YOUR-API-PASSWORD": sim.settings.api_password.get_secret_value(),
        "https://chat.example.com/hooks/YOUR-HOOK": hook.url,
        "PASSWORD@127.0.0.1": f"secret-of-the-role@{host.url.host}:{host.url.port or 5432}",
    }

    def filled(text: str) -> str:
        for placeholder, value in values.items():
            assert placeholder in text
            text = text.replace(placeholder, value)
        return f"{text}CRM_RECEIVER_CRM_API_CA={sim.ca_path}\nCRM_RECEIVER_PORT={host.port}\n"

    host.edit("etc/crm-receiver/receiver.env", filled)


def certify(host: ProductionHost, authority: Authority) -> None:
    """A certificate where the proxy's file says it is."""
    folder = host.root / "etc/letsencrypt/live/crm.example.com"
    folder.mkdir(parents=True)
    leaf = authority.ca.issue_cert("crm.example.com", "127.0.0.1")
    leaf.private_key_pem.write_to_path(folder / "privkey.pem")
    leaf.cert_chain_pems[0].write_to_path(folder / "fullchain.pem")


def wait_for_worker(block: str) -> str:
    """A worker says that it is there a moment after it says that it begins."""
    return block.replace("curl -fsS", "curl -fsS --retry 20 --retry-all-errors --retry-delay 1")


def paste(printed: str, host: ProductionHost, sim: Simulator) -> None:
    """Each URL into its box, by the name that it has on this machine."""
    boxes = re.findall(r"^(\w+) (\w+) +https://crm\.example\.com(\S+)", printed, re.M)
    assert len(boxes) == 12
    for kind, event, path in boxes:
        sim.triggers.set(kind, event, f"https://127.0.0.1:{host.https_port}{path}")


def metrics(host: ProductionHost) -> str:
    return f"curl -fsS http://127.0.0.1:{host.port}/metrics"


def hops(log: str) -> list[str]:
    """The events of the trigger's way, in the order in which they were told."""
    events = [json.loads(line)["event"] for line in log.splitlines() if line.startswith("{")]
    return [event for event in events if event in HOPS]
