"""The verbs of a simulator, for tests and scripts: each is a call of the control API.

In: a transport. Out: `Control`, whose verbs are the same for a simulator in this process and for
one that runs elsewhere (`attach`). Replies are the control API's own models. Killed here: the
simulator goes on as it is.

    ControlRefused       the simulator refused; its sentence, its fields
    ControlUnreachable   no simulator answered

A record is given by its number or by what created it:

    customer = sim.agent.create_customer(firstname="Ada", lastname="Byron")
    case = sim.agent.create_case(customer, subject="No dial tone")
    sim.agent.edit_case(case, status="Closed")
"""

import weakref
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, TypeVar
from wsgiref.types import WSGIApplication

from pydantic import BaseModel

from simulator import near_misses
from simulator.control_api.agent import FIRST_AGENT, ActionTaken
from simulator.control_api.deliveries import (
    DeliveriesOut,
    DeliveryOut,
    DispatchState,
    Redelivered,
)
from simulator.control_api.kinds import PATH_OF, KindInPath
from simulator.control_api.records import RecordOut, RecordsOut, RecordWithVersions
from simulator.control_api.settings import CertificateOut, Credentials, SettingsOut
from simulator.control_api.silent import (
    Created,
    CsvImported,
    EmailFiled,
    Logged,
    RecordChanged,
)
from simulator.control_api.state import Nothing, Seeded, SnapshotOut, SnapshotsOut
from simulator.control_api.triggers import Box, BoxesOut
from simulator.receivers import Certificate, Receivers
from simulator.transport import ControlRefused, ControlUnreachable, OverHttp, Transport
from simulator.triggers.models import DeliveryState
from simulator.triggers.urls import Event, Kind

__all__ = ["Control", "ControlRefused", "ControlUnreachable", "attach"]

Record = str | ActionTaken | RecordChanged
Done = TypeVar("Done", ActionTaken, RecordChanged)
Reply = TypeVar("Reply", bound=BaseModel)


class Calls:
    """Typed calls over a transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, path: str, model: type[Reply], **query: Any) -> Reply:
        """What is at the path."""
        return self.send("GET", path, model, query=query)

    def post(self, path: str, model: type[Reply], **body: Any) -> Reply:
        """What came of it."""
        return self.send("POST", path, model, body)

    def send(
        self,
        method: str,
        path: str,
        model: type[Reply],
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Reply:
        """The reply of any call; what is None in the query is left out."""
        given = {name: _plain(value) for name, value in (query or {}).items() if value is not None}
        plain = None if body is None else {name: _plain(value) for name, value in body.items()}
        return model.model_validate_json(self._transport.call(method, path, given, plain))


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

    def reset(self) -> None:
        """Go back to the first start: no records, boxes, deliveries; settings as at the start."""
        self._calls.post("/reset", Nothing)

    def seed(self, customers: int = 10, seed: int = 1, until: datetime | None = None) -> Seeded:
        """Add believable records; nothing fires."""
        return self._calls.post("/seed", Seeded, customers=customers, seed=seed, until=until)

    def snapshot(self, name: str) -> SnapshotOut:
        """Keep the present state under a name."""
        return self._calls.send("PUT", f"/snapshots/{name}", SnapshotOut)

    def restore(self, name: str) -> None:
        """Bring a kept state back."""
        self._calls.post(f"/snapshots/{name}/restore", Nothing)

    def snapshots(self) -> list[SnapshotOut]:
        """What is kept, by name."""
        return self._calls.get("/snapshots", SnapshotsOut).snapshots

    def delete_snapshot(self, name: str) -> None:
        """Keep that state no longer."""
        self._calls.send("DELETE", f"/snapshots/{name}", Nothing)

    def read_settings(self) -> dict[str, Any]:
        """All settings as they are now; secrets are not shown."""
        return self._calls.get("/settings", SettingsOut).settings

    def change_settings(self, **settings: Any) -> dict[str, Any]:
        """Change settings while the simulator runs, until a reset; all of them."""
        return self._calls.send("PATCH", "/settings", SettingsOut, settings).settings

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


class Triggers:
    """The twelve boxes of Integration > CRM Triggers."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def list(self) -> list[Box]:
        """The URL in each box."""
        return self._calls.get("/triggers", BoxesOut).boxes

    def set_all(self, base_url: str) -> None:
        """Put one URL into all boxes; {kind} and {event} in it become e.g. customer and create."""
        self._calls.send("PUT", "/triggers", BoxesOut, {"all": base_url})

    def set(self, kind: Kind | str, event: Event | str, url: str) -> None:
        """Put a URL into one box; an empty one empties it."""
        box = {"kind": kind, "event": event, "url": url}
        self._calls.send("PUT", "/triggers", BoxesOut, {"boxes": [box]})


class _Changes(Generic[Done]):
    """Creating and editing, by whichever door; values by field name."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def create_customer(self, **values: Any) -> Done:
        """A new customer: firstname and lastname at least."""
        return self._create(KindInPath.CUSTOMERS, values)

    def create_case(self, customer: Record, **values: Any) -> Done:
        """A new case of a customer: subject at least."""
        return self._create(KindInPath.CASES, {"accountnum": number(customer), **values})

    def create_followup(self, case: Record, **values: Any) -> Done:
        """A new follow-up of a case: subject at least."""
        return self._create(KindInPath.FOLLOWUPS, {"casenum": number(case), **values})

    def create_task(self, customer: Record, **values: Any) -> Done:
        """A new task of a customer: subject at least."""
        return self._create(KindInPath.TASKS, {"accountnum": number(customer), **values})

    def edit_customer(self, customer: Record, **values: Any) -> Done:
        """The customer with these values."""
        return self._edit(KindInPath.CUSTOMERS, customer, values)

    def edit_case(self, case: Record, **values: Any) -> Done:
        """The case with these values."""
        return self._edit(KindInPath.CASES, case, values)

    def edit_followup(self, followup: Record, **values: Any) -> Done:
        """The follow-up with these values."""
        return self._edit(KindInPath.FOLLOWUPS, followup, values)

    def edit_task(self, task: Record, **values: Any) -> Done:
        """The task with these values."""
        return self._edit(KindInPath.TASKS, task, values)

    def _create(self, kind: KindInPath, values: dict[str, Any]) -> Done:
        return self._change("POST", f"/{kind}", {"values": _plain(values)})

    def _edit(self, kind: KindInPath, record: Record, values: dict[str, Any]) -> Done:
        return self._change("PATCH", f"/{kind}/{number(record)}", {"values": _plain(values)})

    def _change(self, method: str, path: str, body: dict[str, Any] | None) -> Done:
        raise NotImplementedError


class AgentVerbs(_Changes[ActionTaken]):
    """What agents do in the Agent Console; this door alone fires triggers."""

    def __init__(self, calls: Calls, agent: str = FIRST_AGENT) -> None:
        super().__init__(calls)
        self._agent = agent

    def acting_as(self, agent: str) -> "AgentVerbs":
        """The same verbs, done by another agent: ag1001 to ag1005."""
        return AgentVerbs(self._calls, agent)

    def delete_customer(self, customer: Record) -> ActionTaken:
        """The customer goes, and with it its cases, follow-ups and tasks."""
        return self._delete(KindInPath.CUSTOMERS, customer)

    def delete_case(self, case: Record) -> ActionTaken:
        """The case goes, and with it its follow-ups."""
        return self._delete(KindInPath.CASES, case)

    def delete_followup(self, followup: Record) -> ActionTaken:
        """The follow-up goes."""
        return self._delete(KindInPath.FOLLOWUPS, followup)

    def delete_task(self, task: Record) -> ActionTaken:
        """The task goes."""
        return self._delete(KindInPath.TASKS, task)

    def _delete(self, kind: KindInPath, record: Record) -> ActionTaken:
        return self._change("DELETE", f"/{kind}/{number(record)}", None)

    def _change(self, method: str, path: str, body: dict[str, Any] | None) -> ActionTaken:
        who = {"agent": self._agent}
        return self._calls.send(method, f"/agent{path}", ActionTaken, body, query=who)


class SilentVerbs(_Changes[RecordChanged]):
    """The channels that fire no trigger: the CRM API's Add and Modify, and the other four."""

    def import_csv(self, kind: Kind | str, content: str, mapping: Mapping[str, str]) -> CsvImported:
        """Load a CSV file's text. mapping: its columns to fields, e.g. {"Name": "FIRSTNAME"}."""
        return self._calls.post(
            "/silent/csv-import", CsvImported, kind=kind, content=content, mapping=dict(mapping)
        )

    def bulk_create(self, customers: int = 10, seed: int = 1) -> int:
        """Create believable customers; how many."""
        done = self._calls.post("/silent/bulk-create", Created, customers=customers, seed=seed)
        return done.customers

    def auto_log(self, calls: int = 1, seed: int = 1) -> list[str]:
        """Log interactions with customers that are there; the tasks' numbers."""
        return self._calls.post("/silent/auto-log", Logged, calls=calls, seed=seed).tasks

    def inbound_email(self, sender: str, subject: str = "", body: str = "") -> EmailFiled:
        """File an email as a case or a follow-up."""
        path = "/silent/inbound-email"
        return self._calls.post(path, EmailFiled, sender=sender, subject=subject, body=body)

    def _change(self, method: str, path: str, body: dict[str, Any] | None) -> RecordChanged:
        return self._calls.send(method, f"/api{path}", RecordChanged, body)


class Records:
    """Records as they are and were; `kind` is such as Kind.CASE, "Case" or "cases"."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def get(
        self, kind: Kind | str, record: Record, as_of: datetime | None = None
    ) -> RecordWithVersions:
        """A record with all its versions; `values` is None where it is not there."""
        path = f"/records/{_in_path(kind)}/{number(record)}"
        return self._calls.get(path, RecordWithVersions, as_of=as_of)

    def list(self, kind: Kind | str) -> list[RecordOut]:
        """All live records of a kind, newest first."""
        path, found, page = f"/records/{_in_path(kind)}", [], 0
        while True:
            page += 1
            reply = self._calls.get(path, RecordsOut, page=page, per_page=1000)
            found += reply.records
            if page >= reply.pages:
                return found


class Deliveries:
    """The outbox. Filters: state, kind, event, record_id, account_id."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def list(self, **filters: Any) -> list[DeliveryOut]:
        """Those that fit, oldest first, with their attempts."""
        found: list[DeliveryOut] = []
        while True:
            after = found[-1].id if found else 0
            reply = self._calls.get("/deliveries", DeliveriesOut, after=after, **filters)
            found += reply.deliveries
            if not reply.deliveries or len(found) >= reply.total:
                return found

    def get(self, delivery_id: int) -> DeliveryOut:
        """One with its attempts."""
        return self._calls.get(f"/deliveries/{delivery_id}", DeliveryOut)

    def assert_delivered(
        self, record: Record | None = None, *, times: int | None = None, **filters: Any
    ) -> None:
        """Raise AssertionError, with the near misses, unless a trigger that fits was answered
        with 200; with `times`, unless it is exactly so many. It does not wait: `sim.wait` does.
        """
        wanted = {"state": str(DeliveryState.DELIVERED)}
        wanted |= {} if record is None else {"record_id": number(record)}
        if isinstance(record, ActionTaken | RecordChanged):
            wanted |= {"kind": str(record.kind)}
        wanted |= {name: str(value) for name, value in filters.items()}
        found = len(self.list(**wanted))
        if found != times if times is not None else not found:
            expected = "at least 1" if times is None else str(times)
            raise AssertionError(near_misses.told(wanted, found, expected, self.list()))

    def summary(self) -> str:
        """All deliveries, one a line."""
        return near_misses.summary(self.list())

    def redeliver(self, delivery_id: int) -> DeliveryOut:
        """Send a delivered or exhausted one again."""
        return self._calls.post(f"/deliveries/{delivery_id}/redeliver", DeliveryOut)

    def redeliver_many(
        self, *, dry_run: bool = False, expected: int | None = None, **filters: Any
    ) -> Redelivered:
        """Send all that fit again. dry_run only counts; `expected` refuses any other count."""
        return self._calls.post(
            "/deliveries/redeliver", Redelivered, dry_run=dry_run, expected=expected, **filters
        )

    def pause(self) -> None:
        """Send nothing until it is resumed."""
        self._calls.post("/deliveries/pause", DispatchState)

    def resume(self) -> None:
        """Send what is due again."""
        self._calls.post("/deliveries/resume", DispatchState)


def number(record: Record) -> str:
    """The number of a record that is given by it, or by what created it."""
    return record if isinstance(record, str) else record.record_id


def _in_path(kind: Kind | str) -> KindInPath:
    found = {**{one.value: one for one in KindInPath}, **{k.value: p for k, p in PATH_OF.items()}}
    if kind not in found:
        raise ValueError(f"There is no kind {kind}; there are {', '.join(KindInPath)}.")
    return found[kind]


def _plain(value: Any) -> Any:
    """As JSON and addresses have it."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return value
