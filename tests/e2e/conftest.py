"""The whole path on real sockets: a simulator, the receiver's own web process, a worker."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
import requests
from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from external_crm.db import make_engine, read_session
from external_crm.models import Base as ExternalCrmBase
from external_crm.models import FenceCounter
from external_crm.rows import Key, Policy
from receiver.backoff import SCHEDULES
from receiver.crm_api import CrmApi
from receiver.db import Base as ReceiverBase
from receiver.models import InboxCount, InboxTrigger
from receiver.records import Credentials
from receiver.settle import WorkerOptions
from receiver.transport import HttpTransport
from receiver.worker import Worker
from simulator.server import Simulator
from simulator.settings import Settings
from tests import external_databases
from tests.forms import Browser, Page
from tests.receiver_world import live_row
from tests.tls_receiver import Authority

SECRET = "a-secret-of-24-characters"
TABLES = [
    table
    for base in (ReceiverBase, ExternalCrmBase)
    for table in reversed(base.metadata.sorted_tables)
    # The counter is kept; the database counts by itself.
    if table.name not in (FenceCounter.__tablename__, InboxCount.__tablename__)
]


class ShiftedClock:
    """The machine's clock, which the receiver's own process goes by, plus what a test adds."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += timedelta(seconds=seconds)


@dataclass(frozen=True)
class ReceiverWeb:
    """`crm-receiver web` in a process of its own."""

    url: str
    engine: Engine


@pytest.fixture(scope="session")
def receiver_web(
    tmp_path_factory: pytest.TempPathFactory, receiver_authority: Authority
) -> Iterator[ReceiverWeb]:
    folder = tmp_path_factory.mktemp("receiver")
    engine = make_engine(f"sqlite:///{external_databases.make_sqlite_template(folder)}")
    certificate = receiver_authority.ca.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    settings = {
        "DATABASE_URL": str(engine.url),
        "SECRET": SECRET,
        "PORT": "0",
        "TLS_CERT": str(folder / "cert.pem"),
        "TLS_KEY": str(folder / "key.pem"),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "receiver", "web"],
        env=os.environ | {f"CRM_RECEIVER_{name}": value for name, value in settings.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        announced = process.stdout.readline()
        url = announced.removeprefix("Receiver listens on ").strip().rstrip(".")
        assert url.startswith("https://"), announced
        yield ReceiverWeb(f"{url}/8x8/{SECRET}", engine)
        process.terminate()
    engine.dispose()


@dataclass(frozen=True)
class Loop:
    """Both sides, driven step by step: `browser` acts, `deliver` sends, `work` applies."""

    simulator: Simulator
    browser: Browser
    engine: Engine
    worker: Worker
    clock: ShiftedClock

    def deliver(self) -> None:
        """Send all triggers that are due; each is answered before this returns."""
        while self.simulator.services.dispatcher.run_once():
            pass

    def work(self, until_s: float = 0) -> None:
        """Bring what was received to rows, with so many seconds gone by."""
        self.clock.advance(until_s)
        while self.worker.run_once():
            pass

    def row(self, key: Key) -> dict[str, Any] | None:
        """The row outside, or None."""
        return live_row(self.engine, key)

    def read(self, query: Callable[[Session], Any]) -> Any:
        with read_session(self.engine) as session:
            return query(session)

    def inbox(self) -> list[InboxTrigger]:
        return self.read(lambda s: list(s.scalars(select(InboxTrigger).order_by(InboxTrigger.id))))

    def create(self, kinds: str, parent: str = "", **fields: str) -> str:
        """Create a record through the Agent Console's form; its number."""
        page = self.browser.submit(f"/agent/{kinds}/new{parent}", **fields)
        assert page.status == 200, page.text
        return page.path.rsplit("/", 1)[1]

    def edit(self, kinds: str, number: str, **fields: str) -> Page:
        return self.browser.submit(f"/agent/{kinds}/{number}/edit", **fields)

    def delete(self, kinds: str, number: str) -> Page:
        return self.browser.submit(f"/agent/{kinds}/{number}/delete")


@pytest.fixture
def loop(receiver_web: ReceiverWeb, sim_settings: Settings) -> Iterator[Loop]:
    """An empty External CRM, an empty Local CRM, and the triggers set through their form."""
    with receiver_web.engine.begin() as connection:
        for table in TABLES:
            connection.execute(delete(table))
    clock = ShiftedClock()
    # Generous: the figure under test is never how quickly this machine answers.
    settings = sim_settings.model_copy(update={"trigger_timeout_s": 30.0})
    with Simulator(settings, ticking=False) as simulator, requests.Session() as session:
        session.verify = str(simulator.ca_path)
        session.trust_env = False
        browser = Browser.over_http(simulator.url, session)
        boxes = {
            f"{kind}_{event}": f"{receiver_web.url}/{kind}/{event}"
            for kind in ("customer", "case", "followup", "task")
            for event in ("create", "edit", "delete")
        }
        browser.submit("/config/integration/crm-triggers", **boxes)
        transport = HttpTransport(30, simulator.ca_path)
        credentials = Credentials(
            settings.tenant, settings.api_username, settings.api_password.get_secret_value()
        )
        schedule = replace(SCHEDULES["standard"], recheck_after_s=30)
        worker = Worker(
            receiver_web.engine,
            CrmApi(transport, simulator.url, credentials),
            clock,
            Random(7),
            WorkerOptions(schedule, list_from=2, policy=Policy(recheck_after_s=30)),
        )
        yield Loop(simulator, browser, receiver_web.engine, worker, clock)
        transport.close()
