"""One call of the CRM API as the journal, the log of events and waiting tests see it.

In: what becomes known of a call, from its arrival to the end of its reply. Out: a journal entry
without a secret, one logical event, and which records were fetched. Killed here: they are gone
with the process.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from simulator.crm_api.errors import CallRefused
from simulator.crm_api.parse import Command
from simulator.crm_api.render import Row
from simulator.crm_api.tags import PASSWORD
from simulator.events import What, fingerprint
from simulator.faults.models import PartialList, SlowDrip
from simulator.faults.registry import Fired
from simulator.journal import REDACTED, ApiRequest
from simulator.local_crm.fields import FIELDS
from simulator.local_crm.models import NUMBER_COLUMN
from simulator.services import Services
from simulator.triggers.urls import Kind

_LISTED = 100  # records of one reply in the journal
_AT_ONCE = 200  # records noted as fetched; a reply may have any number, memory may not
_HONEST = (SlowDrip, PartialList)  # faults under which what is in the reply is true
_RowOf = TypeVar("_RowOf", bound=Row)


class Watch:
    """What is known of a call so far."""

    def __init__(self, services: Services, path: str) -> None:
        self._services = services
        self._at = services.clock.now()
        self._mark = services.fetches.mark()  # before the call looks at any record
        self._request = ApiRequest(path)
        self._number = services.journal.begin(self._request)
        self._kind: Kind | None = None
        self._spoiled = False
        self._named = ""  # the number of the record that the call is about, if it is about one

    def by(self, tenant: str, username: str = "") -> None:
        """Who calls, as far as he said."""
        self._know(tenant=tenant, username=username)

    def wants(self, command: Command) -> None:
        """What the caller asks for."""
        self._know(
            object=command.object,
            action=command.action,
            tags=tuple((tag, _without_secret(tag, text)) for tag, text in command.values),
        )

    def concerns(self, kind: Kind) -> None:
        """Which kind of record it is about; the command's own number tag names the record."""
        self._kind = kind
        own = NUMBER_COLUMN[kind].upper()
        self._named = next((text for tag, text in self._request.tags if tag.upper() == own), "")

    def hit_by(self, fired: Fired | None) -> None:
        """Which fault hits the call: what is read may never come to the caller as it is."""
        if fired is not None:
            self._spoiled = not isinstance(fired.fault, _HONEST)
            self._know(fault=fired.fault.fault)

    def changes(self, number: str) -> None:
        """It has added or modified a record."""
        self._named = number
        self._know(records=(number,))

    def rows(self, kind: Kind, rows: Iterable[_RowOf]) -> Iterator[_RowOf]:
        """The rows of a reply, unchanged; their records count as fetched."""
        number = [field.name for field in FIELDS[kind]].index(NUMBER_COLUMN[kind])
        listed: list[str] = []
        some: list[str] = []
        total = 0
        for total, row in enumerate(rows, 1):
            some.append(row[number])
            if total <= _LISTED:
                listed.append(row[number])
            if len(some) == _AT_ONCE:
                self._fetched(some)
                some = []
            yield row
        self._fetched(some)
        self._know(record_count=total, records=tuple(listed))

    def streamed(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The reply, unchanged; its end is the end of the call."""
        yield from chunks
        self.ends(200)

    def refused(self, refused: CallRefused) -> None:
        """The call is answered with an error reply."""
        self._know(error_code=refused.number, error=refused.sentence)

    def ends(self, http_status: int) -> None:
        """The reply is complete."""
        request = self._request
        if request.action.capitalize() == "Get" and request.error_code is None:
            # Asked for by its number and not found: that it is gone was fetched.
            self._fetched([self._named] if self._named else [])
        self._request = replace(self._request, http_status=http_status)
        self._services.journal.put(self._number, self._request, ended=True)
        self._note_event()

    def _know(self, **parts: object) -> None:
        self._request = replace(self._request, **parts)  # type: ignore[arg-type]  # its own fields
        self._services.journal.put(self._number, self._request, ended=False)

    def _fetched(self, numbers: list[str]) -> None:
        if self._spoiled:
            return
        self._services.fetches.read((f"{self._kind} {number}" for number in numbers), self._mark)

    def _note_event(self) -> None:
        request = self._request
        self._services.events.note(
            What.API_CALLED,
            f"{self._kind or request.object or 'unknown'} {self._named}".strip(),
            at=self._at,
            action=request.action.capitalize(),
            tags=fingerprint(request.tags),
            http_status=request.http_status,
            error_code=request.error_code,
            fault=request.fault,
            record_count=request.record_count,
        )


def _without_secret(tag: str, text: str) -> str:
    return REDACTED if tag.upper() == PASSWORD else text
