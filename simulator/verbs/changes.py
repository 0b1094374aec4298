"""Changes of records: by agents, whose door fires triggers, and by the silent channels."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from simulator.control_api.agent import FIRST_AGENT, ActionTaken
from simulator.control_api.kinds import KindInPath
from simulator.control_api.silent import Created, CsvImported, EmailFiled, Logged, RecordChanged
from simulator.triggers.urls import Kind
from simulator.verbs.calls import Calls, Record, number, plain

Done = TypeVar("Done", ActionTaken, RecordChanged)


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
        return self._change("POST", f"/{kind}", {"values": plain(values)})

    def _edit(self, kind: KindInPath, record: Record, values: dict[str, Any]) -> Done:
        return self._change("PATCH", f"/{kind}/{number(record)}", {"values": plain(values)})

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
