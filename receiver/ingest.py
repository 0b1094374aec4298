"""One call of a trigger URL: authenticate, parse, store, commit, 200 (hop 5).

In: a Call, from the Flask view or from the front. Out: a Reply: 200 after the commit and never
before; 400 with a sentence for what is no trigger, 404 for a wrong secret, 405 for other methods,
413 and 414 for what is too large, 503 while the store cannot be written. Killed before the
commit: no 200, so 8x8 calls again; after it: the trigger is kept, and a second call is harmless.
"""

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import quote

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from external_crm.db import execute_by_itself, first_line, session_factory
from receiver import failpoints, inbox
from receiver.clock import Clock
from receiver.group_commit import GroupCommit, StoreUnavailable
from receiver.inbox import Arrival
from receiver.trigger import BadTrigger, parse

log = structlog.get_logger()

Stored = list[tuple[int, str]]  # id of each row, and the record it is about

PATH = "/8x8"
LONGEST_QUERY = 8 * 1024
LARGEST_BODY = 64 * 1024  # of a POST; nothing reads it, the ids stand in the URL
_TELL_EVERY = timedelta(seconds=10)


class Call(NamedTuple):
    """What of a request matters."""

    method: str
    secret: str  # as the path says it
    box: str  # the path behind the secret: empty, or kind/event
    query: bytes  # as received, percent-encoded
    body_length: int
    client: str | None


@dataclass(frozen=True)
class Reply:
    """A plain-text answer."""

    status: int
    sentence: str
    headers: tuple[tuple[str, str], ...] = ()


STORED = Reply(200, "Stored.")
NOT_FOUND = Reply(404, "There is nothing here.")
WRONG_METHOD = Reply(405, "A trigger is sent with GET or POST.", (("Allow", "GET, POST"),))
TOO_LARGE = Reply(413, f"A trigger's body has {LARGEST_BODY:,} bytes at most.")
TOO_LONG = Reply(414, f"A trigger's query string has {LONGEST_QUERY:,} bytes at most.")
NOT_NOW = Reply(503, "The trigger cannot be stored now. Call again.", (("Retry-After", "1"),))
BUSY = Reply(503, "Too many requests at once. Call again.", (("Retry-After", "1"),))
FAILED = Reply(500, "The receiver failed. Call again; its log says why.")


class Ingest:
    """Answers calls of the trigger URLs, from many threads."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        secrets: Sequence[str],
        patience_s: float = 4.0,
    ) -> None:
        """`secrets`: the one in use, and behind it an old one that is still let in, if any."""
        self._engine = engine
        self._sessions = session_factory(engine)
        self._clock = clock
        self._secrets = tuple(secret.encode() for secret in secrets)
        self._group = GroupCommit(self._write, self._tell, patience_s=patience_s)
        self._wrong_secrets = 0
        self._told_at: datetime | None = None

    def receive(self, call: Call) -> Reply:
        """Store one trigger."""
        now = self._clock.now()
        if not self._knows(call.secret):
            self._count_wrong_secret(call.client, now)
            return NOT_FOUND
        if call.method not in ("GET", "POST"):
            return WRONG_METHOD
        if call.body_length > LARGEST_BODY:
            return TOO_LARGE
        if len(call.query) > LONGEST_QUERY:
            self._reject(call, TOO_LONG.sentence, now)
            return TOO_LONG
        try:
            trigger = parse(call.box, call.query)
        except BadTrigger as error:
            self._reject(call, str(error), now)
            return Reply(400, str(error))
        try:
            self._group.store(Arrival(trigger, now))
        except StoreUnavailable:
            return NOT_NOW
        if trigger.in_wrong_box:
            log.warning("wrong box", url=str(trigger.url_kind), record=str(trigger.key))
        return STORED

    def _knows(self, secret: str) -> bool:
        """Whether it is one of the secrets, in a time that tells nothing about them."""
        given = secret.encode(errors="replace")
        return sum(hmac.compare_digest(given, own) for own in self._secrets) > 0  # asks all

    def _write(self, waiting: Callable[[], list[Arrival]]) -> Stored:
        """T4, for all that wait once the store can be written. Raises StoreUnavailable."""
        arrivals: list[Arrival] = []

        def store(connection: Connection) -> Stored:
            arrivals[:] = waiting()
            return inbox.store_all(connection, arrivals)

        failpoints.reach("T4-before")
        try:
            stored = execute_by_itself(self._engine, store)
        except SQLAlchemyError as error:
            reason = first_line(error)
            log.error("store unavailable", reason=reason, triggers=len(arrivals))
            raise StoreUnavailable(reason) from error
        failpoints.reach("T4-after")
        return stored

    def _tell(self, stored: Stored) -> None:
        log.info("stored", rows=[row for row, _ in stored], records=[of for _, of in stored])

    def _count_wrong_secret(self, client: str | None, now: datetime) -> None:
        """Somebody guesses, or a URL in Configuration Manager is old: a line now and then."""
        self._wrong_secrets += 1
        if self._told_at is None or now - self._told_at >= _TELL_EVERY:
            self._told_at = now
            log.warning("wrong secret", calls=self._wrong_secrets, client=client)

    def _reject(self, call: Call, reason: str, now: datetime) -> None:
        """Keep what was no trigger, if the store lets us; the answer is the same either way.

        The line is kept as it came, percent-encoded (PostgreSQL takes no NUL), without the
        secret, which stands in it again where a URL was pasted twice.
        """
        line = f"{quote(call.box)}?{call.query.decode('latin-1')}"
        for secret in self._secrets:
            line = line.replace(secret.decode(), "SECRET")
        try:
            with self._sessions.begin() as session:
                inbox.reject(session, call.method, line, reason, now)
        except SQLAlchemyError as error:
            log.error("reject not kept", reason=type(error).__name__)
        log.warning("rejected", reason=reason, client=call.client)
