"""The verbs of a simulator, for tests and scripts: each is a call of the control API.

In: a transport. Out: `Control`, whose verbs are the same for a simulator in this process and for
one that runs elsewhere (`attach`). Replies are the control API's own models. Killed here: the
simulator goes on as it is.

    ControlRefused       the simulator refused; its sentence, its fields
      NotInTime          what was waited for did not come about, and why
    ControlUnreachable   no simulator answered

A record is given by its number or by what created it:

    customer = sim.agent.create_customer(firstname="Ada", lastname="Byron")
    case = sim.agent.create_case(customer, subject="No dial tone")
    sim.agent.edit_case(case, status="Closed")
    sim.wait(delivered(case))
"""

import weakref
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote
from wsgiref.types import WSGIApplication

from simulator.control_api.doctor import DoctorOut
from simulator.control_api.settings import CertificateOut, Credentials, SettingsOut
from simulator.control_api.state import Nothing, Seeded, SnapshotOut, SnapshotsOut
from simulator.receivers import Certificate, Receivers
from simulator.transport import ControlRefused, ControlUnreachable, OverHttp, Transport
from simulator.verbs import wait as waiting
from simulator.verbs.calls import Calls
from simulator.verbs.changes import AgentVerbs, SilentVerbs
from simulator.verbs.clock import Clock
from simulator.verbs.faults import Faults
from simulator.verbs.outbox import Deliveries, Triggers
from simulator.verbs.reads import Events, Journal, Records
from simulator.verbs.wait import NotInTime, Wish, delivered, fetched, idle

__all__ = [
    "Control",
    "ControlRefused",
    "ControlUnreachable",
    "NotInTime",
    "attach",
    "delivered",
    "fetched",
    "idle",
]


class Control:
    """All verbs of one simulator."""

    url: str
    ca_path: Path | None

    def __init__(self, transport: Transport) -> None:
        calls = Calls(transport)
        self._calls = calls
        self._receivers = Receivers()
        weakref.finalize(self, self._receivers.stop)
        self.triggers = Triggers(calls)
        self.agent = AgentVerbs(calls)
        self.api = SilentVerbs(calls)
        self.records = Records(calls)
        self.deliveries = Deliveries(calls)
        self.journal = Journal(calls)
        self.events = Events(calls)
        self.clock = Clock(calls)
        self.faults = Faults(calls)

    @property
    def credentials(self) -> Credentials:
        """How to call the CRM API."""
        return self._calls.get("/credentials", Credentials)

    def issue_cert(self, *names: str) -> Certificate:
        """A certificate for a receiver of the test, trusted by the simulator; by default for
        this machine's names. The files last until `close`.
        """
        body = {"names": list(names)} if names else {}
        issued = self._calls.post("/certificates", CertificateOut, **body)
        return self._receivers.keep(issued.certificate, issued.key, issued.ca)

    def serve(self, app: WSGIApplication) -> str:
        """Serve a WSGI app (a Flask app is one) over https on a free port; its URL."""
        return self._receivers.serve(app, self.issue_cert())

    def wait(self, until: Wish, timeout_s: float = 10) -> None:
        """Return when `idle`, `delivered(...)` or `fetched(...)` has come about. Raises NotInTime,
        which says why not.
        """
        waiting.wait(self._calls, until, timeout_s)

    def reset(self) -> None:
        """Go back to the first start: no records, boxes, deliveries; settings as at the start."""
        self._calls.post("/reset", Nothing)

    def seed(self, customers: int = 10, seed: int = 1, until: datetime | None = None) -> Seeded:
        """Add believable records; nothing fires."""
        return self._calls.post("/seed", Seeded, customers=customers, seed=seed, until=until)

    def snapshot(self, name: str) -> SnapshotOut:
        """Keep the present state under a name."""
        return self._calls.send("PUT", f"/snapshots/{quote(name, safe='')}", SnapshotOut)

    def restore(self, name: str) -> None:
        """Bring a kept state back."""
        self._calls.post(f"/snapshots/{quote(name, safe='')}/restore", Nothing)

    def snapshots(self) -> list[SnapshotOut]:
        """What is kept, by name."""
        return self._calls.get("/snapshots", SnapshotsOut).snapshots

    def delete_snapshot(self, name: str) -> None:
        """Keep that state no longer."""
        self._calls.send("DELETE", f"/snapshots/{quote(name, safe='')}", Nothing)

    def read_settings(self) -> dict[str, Any]:
        """All settings as they are now; secrets are not shown."""
        return self._calls.get("/settings", SettingsOut).settings

    def change_settings(self, **settings: Any) -> dict[str, Any]:
        """Change settings while the simulator runs, until a reset; all of them."""
        return self._calls.send("PATCH", "/settings", SettingsOut, settings).settings

    def doctor(self) -> DoctorOut:
        """Whether each trigger URL can be reached and trusted from where the simulator runs."""
        return self._calls.get("/doctor", DoctorOut)

    def close(self) -> None:
        """Stop the receivers that `serve` started; certificates go too."""
        self._receivers.stop()


class Attached(Control):
    """A simulator that runs elsewhere."""

    def __init__(self, url: str, ca: Path | str | None = None, token: str | None = None) -> None:
        super().__init__(OverHttp(url, None if ca is None else str(ca), token))
        self.url = url.rstrip("/")
        self.ca_path = None if ca is None else Path(ca)

    def __enter__(self) -> "Attached":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def attach(url: str, *, ca: Path | str | None = None, token: str | None = None) -> Attached:
    """The verbs of the simulator at `url`. ca: its CA file; token: of its control API."""
    return Attached(url, ca, token)
