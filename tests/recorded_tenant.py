"""A tenant of the simulator whose traffic with the real receiver is recorded, in one process.

In: settings of the simulator. Out: the file of a recording, and every value that was in the
traffic. The clock is moved to each next call, so that the times between calls are exact.
"""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from lxml import etree

from external_crm.rows import Key, Kind, Policy
from receiver import probes, recording
from receiver.app import create_app
from receiver.backoff import SCHEDULES
from receiver.ingest import PATH
from receiver.recording_front import RecordingFront
from receiver.recording_transport import RecordingTransport
from receiver.settings import Settings as ReceiverSettings
from receiver.settle import WorkerOptions
from receiver.transport import HttpTransport, Reply
from receiver.work import make_source
from receiver.worker import Worker
from simulator.local_crm import custom_fields
from simulator.local_crm.fields import CustomType, Definition
from simulator.server import Simulator
from simulator.settings import Settings
from simulator.triggers.urls import Kind as SimulatorKind
from tests import external_databases

SECRET = "a-secret-of-24-characters"
MORNING = datetime(2026, 3, 23, 9, 0, tzinfo=UTC)  # a day that is no month
EMAIL = "ada.king.countess.of.lovelace.and.of.ockham@example.com"


class Keeping(HttpTransport):
    """Keeps every reply as it came."""

    bodies: list[bytes]

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        reply = super().post(url, headers, body)
        self.bodies.append(reply.body)
        return reply

    def values(self) -> set[str]:
        """All texts of all records, but for what is too short to be told from anything else."""
        found: set[str] = set()
        for body in self.bodies:
            for item in etree.fromstring(body).iter("ITEM"):
                found |= {text for field in item if len(text := field.text or "") > 2}
        return found


class RecordedTenant:
    """Plays one story: creates, edits and deletes, and a recording of it all."""

    def __init__(
        self,
        sim_settings: Settings,
        template: Path,
        folder: Path,
        with_key: bool = False,
        **changes: Any,
    ) -> None:
        """changes: the simulator's settings that differ from the ledger."""
        self.path = folder / "recording.jsonl"
        shutil.copy(template, folder / "external.db")
        settings = sim_settings.model_copy(update={"freeze_at": MORNING, **changes})
        with Simulator(settings) as sim:
            self.settings = ReceiverSettings(
                database_url=f"sqlite:///{folder / 'external.db'}",
                secret=SECRET,
                crm_api_url=sim.url,
                crm_api_ca=sim.ca_path,
                tenant=settings.tenant,
                username=settings.api_username,
                password=settings.api_password,
                api_key=settings.api_key if with_key else "",
            )
            self._play(sim)

    def _play(self, sim: Simulator) -> None:
        clock = sim.services.clock
        kept = recording.begin(self.path, self.settings, clock, overwrite=False)
        kept.refuse_first = 2
        engine = external_databases.make_engine(self.settings.database_url)
        front = RecordingFront(create_app(self.settings, engine, clock), kept, PATH)
        base = sim.serve(front) + f"{PATH}/{SECRET}"
        sim.triggers.set_all(base + "/{kind}/{event}")
        sim.triggers.set("Task", "Create", f"{base}/task/create?own=query")
        network = Keeping(30, self.settings.crm_api_ca)
        network.bodies = []
        transport = RecordingTransport(network, kept)
        policy = Policy(recheck_after_s=30)
        schedule = replace(SCHEDULES["standard"], recheck_after_s=30)
        worker = Worker(
            engine,
            make_source(self.settings, transport),
            clock,
            Random(7),
            WorkerOptions(schedule, list_from=2, policy=policy),
        )

        def bring() -> None:
            """All triggers to rows: what is put back is due in a while."""
            sim.clock.run_until_idle()
            for _ in range(4):
                while worker.run_once():
                    pass
                sim.clock.advance(31)

        with sim.services.sessions.begin() as session:
            custom_fields.define(
                session, Definition(SimulatorKind.CASE, "CF02", "CF02", CustomType.TEXT)
            )
        agent = sim.agent
        customer = agent.create_customer(firstname="李明", lastname="Lovelace", email=EMAIL)
        for name in ("Hopper", "Hamilton"):
            agent.create_customer(firstname="Zoë", lastname=name)
        cases = [agent.create_case(customer, subject=f"Noise {n} & hum") for n in ("on", "off")]
        followup = agent.create_followup(cases[0], subject="Called back")
        task = agent.create_task(customer, subject="Call", duedate="2026-04-25T14:30:00Z")
        bring()
        agent.edit_case(cases[1], priority="High")
        agent.edit_followup(followup, subject="Called twice")
        bring()
        records = [
            Key(Kind.CUSTOMER, customer.record_id),
            *(Key(Kind.CASE, case.record_id) for case in cases),
            Key(Kind.FOLLOWUP, followup.record_id),
            Key(Kind.TASK, task.record_id),
        ]
        probes.ask_about(records, self.settings, transport)
        probes.probe(self.settings, transport, records)
        probes.ask_for_all(self.settings, transport)
        transport.why = "work"
        agent.delete_customer(customer)
        bring()
        kept.end()
        network.close()
        engine.dispose()
        self.values = network.values()
