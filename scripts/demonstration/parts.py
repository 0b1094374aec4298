"""The three parts of the demo: their commands, variables, ports and addresses.

In: a working folder, the first of three ports, a seed. Out: programs that are ready to start, and
the addresses at which they will answer. Variables of the caller's shell that would configure a
part are left out, so that every demo runs alike.
"""

import os
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

from scripts.demonstration.certificates import Certificates, make_certificates
from scripts.demonstration.processes import Program

HOST = "127.0.0.1"
RETRY_SCHEDULE = "quick"
CUSTOMERS = 200
_OWN_PREFIXES = ("CRM_SIM_", "CRM_RECEIVER_", "EXTERNAL_CRM_")
BOXES = tuple(
    (kind, event)
    for kind in ("customer", "case", "followup", "task")
    for event in ("create", "edit", "delete")
)


@dataclass(frozen=True)
class Parts:
    """Everything the demo starts, and where it will find it."""

    folder: Path
    certificates: Certificates
    simulator: Program
    receiver: Program
    dashboard: Program
    seed: Program
    migrate: Program
    status: Program
    simulator_url: str
    receiver_url: str
    dashboard_url: str
    local_database: Path
    external_database: Path
    secret: str

    @property
    def running(self) -> tuple[Program, ...]:
        """The three that stay up."""
        return self.simulator, self.receiver, self.dashboard

    def url_of(self, program: Program) -> str:
        """Where one of the three answers."""
        urls = (self.simulator_url, self.receiver_url, self.dashboard_url)
        return urls[self.running.index(program)]

    def trigger_urls(self) -> dict[str, str]:
        """What to type into the twelve boxes, by the box's field name."""
        return {
            f"{kind}_{event}": f"{self.receiver_url}/8x8/{self.secret}/{kind}/{event}"
            for kind, event in BOXES
        }


def prepare_parts(folder: Path, port_base: int, seed: int, secret: str | None = None) -> Parts:
    """The parts with certificates, passwords and (unless given) a secret for this run alone."""
    certificates = make_certificates(folder / "certificates")
    secret, password = secret or secrets.token_urlsafe(24), secrets.token_urlsafe(16)
    local = folder / "local_crm.db"
    external = folder / "external_crm.db"
    simulator_url = f"https://{HOST}:{port_base}"
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(_OWN_PREFIXES)},
        **_simulator_variables(folder, local, port_base, certificates, password),
        **_receiver_variables(external, port_base + 1, certificates, secret),
        "CRM_RECEIVER_CRM_API_URL": simulator_url,
        "CRM_RECEIVER_PASSWORD": password,
        "EXTERNAL_CRM_DATABASE_URL": f"sqlite:///{external}",
        "EXTERNAL_CRM_HOST": HOST,
        "EXTERNAL_CRM_PORT": str(port_base + 2),
        "PYTHONUNBUFFERED": "1",
    }

    def program(name: str, *arguments: str) -> Program:
        log = folder / f"{name.replace(' ', '-')}.log"
        return Program(name, [sys.executable, "-m", *arguments], environment, log)

    return Parts(
        folder=folder,
        certificates=certificates,
        simulator=program("simulator", "simulator", "serve", "--retry-schedule", RETRY_SCHEDULE),
        receiver=program("receiver", "receiver", "serve"),
        dashboard=program("dashboard", "external_crm", "serve"),
        seed=program(
            "filling of the Local CRM",
            *("simulator", "seed", "--customers", str(CUSTOMERS), "--seed", str(seed)),
        ),
        migrate=program("migration of the External CRM", "receiver", "migrate"),
        status=program("receiver status", "receiver", "status"),
        simulator_url=simulator_url,
        receiver_url=f"https://{HOST}:{port_base + 1}",
        dashboard_url=f"http://{HOST}:{port_base + 2}",
        local_database=local,
        external_database=external,
        secret=secret,
    )


def _simulator_variables(
    folder: Path, database: Path, port: int, certificates: Certificates, password: str
) -> dict[str, str]:
    return {
        "CRM_SIM_HOST": HOST,
        "CRM_SIM_PORT": str(port),
        "CRM_SIM_DATA_DIR": str(folder / "simulator"),
        "CRM_SIM_DATABASE": str(database),
        "CRM_SIM_TLS_CERT": str(certificates.cert),
        "CRM_SIM_TLS_KEY": str(certificates.key),
        "CRM_SIM_TRIGGER_CA": str(certificates.ca),
        "CRM_SIM_TENANT": "demo",
        "CRM_SIM_API_USERNAME": "crmapi",
        "CRM_SIM_API_PASSWORD": password,
    }


def _receiver_variables(
    database: Path, port: int, certificates: Certificates, secret: str
) -> dict[str, str]:
    return {
        "CRM_RECEIVER_DATABASE_URL": f"sqlite:///{database}",
        "CRM_RECEIVER_SECRET": secret,
        "CRM_RECEIVER_HOST": HOST,
        "CRM_RECEIVER_PORT": str(port),
        "CRM_RECEIVER_TLS_CERT": str(certificates.cert),
        "CRM_RECEIVER_TLS_KEY": str(certificates.key),
        "CRM_RECEIVER_CRM_API_CA": str(certificates.ca),
        "CRM_RECEIVER_TENANT": "demo",
        "CRM_RECEIVER_USERNAME": "crmapi",
        "CRM_RECEIVER_SCHEDULE": RETRY_SCHEDULE,
    }
