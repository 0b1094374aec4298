"""The journal: every CRM API request and every trigger sent, in the order in which they began.

In: what arrived or was sent, and later what came of it. Out: entries without a secret, the latest
10,000. Killed here: the journal is gone with the process.

It is for people and assertions, so it tells durations and ports, which the log of logical events
(`events`) does not.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock

from simulator.clock import Clock

_KEPT = 10_000
REDACTED = "[redacted]"


@dataclass(frozen=True)
class ApiRequest:
    """A request to the CRM API, as far as it could be understood; secrets are not in it."""

    path: str
    tenant: str = ""
    username: str = ""
    object: str = ""
    action: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    http_status: int | None = None  # None: no answer yet, or none at all
    error_code: int | None = None
    error: str | None = None
    record_count: int = 0  # in the reply
    records: tuple[str, ...] = ()  # numbers of the first of them, or of the one that was changed
    fault: str | None = None  # the one that hit the call; its reply went out spoiled, or not at all


@dataclass(frozen=True)
class SentTrigger:
    """One call of a trigger URL."""

    delivery_id: int
    trigger: str  # "Customer Create"
    record_id: str
    method: str
    url: str
    status: int | None = None
    error: str | None = None
    reply_excerpt: str = ""
    duration_ms: float | None = None


@dataclass(frozen=True)
class Entry:
    """One line of the journal. `ended`: whether all is known that came of it."""

    number: int  # 1 for the first
    at: datetime
    what: ApiRequest | SentTrigger
    ended: bool = False


class Journal:
    """The journal of one simulator; any thread may write and read."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self.reset()

    def begin(self, what: ApiRequest | SentTrigger) -> int:
        """Something arrived or is sent now; the entry's number."""
        with self._lock:
            self._last += 1
            self._entries[self._last] = Entry(self._last, self._clock.now(), what)
            if len(self._entries) > _KEPT:
                self._entries.popitem(last=False)
            return self._last

    def put(self, number: int, what: ApiRequest | SentTrigger, *, ended: bool) -> None:
        """More is known of an entry, if it is still there."""
        with self._lock:
            entry = self._entries.get(number)
            if entry is not None:
                self._entries[number] = replace(entry, what=what, ended=ended)

    def entries(self) -> list[Entry]:
        """The first first."""
        with self._lock:
            return list(self._entries.values())

    def reset(self) -> None:
        """Begin anew, with number 1."""
        with self._lock:
            self._last = 0
            self._entries: OrderedDict[int, Entry] = OrderedDict()
