"""Reads: records and their versions, the journal, the log of logical events and its digest."""

from datetime import datetime
from typing import Any

from simulator.control_api.events import DigestOut, EventOut, EventsOut
from simulator.control_api.journal import EntryOut, JournalOut
from simulator.control_api.kinds import PATH_OF, KindInPath
from simulator.control_api.records import RecordOut, RecordsOut, RecordWithVersions
from simulator.triggers.urls import Kind
from simulator.verbs.calls import Calls, Record, number


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


class Journal:
    """Every CRM API request and every trigger sent, in the order in which they began; no secrets.

    Filters: door ("crm_api" or "trigger"), kind, action, record_id, delivery_id, after, limit.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def list(self, **filters: Any) -> list[EntryOut]:
        """Those that fit, the oldest first: the latest 1,000 unless `limit` says otherwise."""
        return self._calls.get("/journal", JournalOut, **filters).entries


class Events:
    """Logical events: equal for equal seeds, calls and a frozen clock. Filters: what, id, limit."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def list(self, **filters: Any) -> list[EventOut]:
        """Those that fit, by logical time and id: the latest 1,000, or `limit` of them."""
        return self._calls.get("/events", EventsOut, **filters).events

    def summary(self) -> DigestOut:
        """The digest, how many events it is of, and the seed."""
        return self._calls.get("/digest", DigestOut)

    @property
    def digest(self) -> str:
        """All events that ever were, as one number."""
        return self.summary().digest


def _in_path(kind: Kind | str) -> KindInPath:
    found = {**{one.value: one for one in KindInPath}, **{k.value: p for k, p in PATH_OF.items()}}
    if kind not in found:
        raise ValueError(f"There is no kind {kind}; there are {', '.join(KindInPath)}.")
    return found[kind]
