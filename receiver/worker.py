"""The worker: claims triggers, fetches their records, applies them (hops 6 to 9).

In: inbox rows that are due. Out: rows and audit entries outside, and the inbox rows finished in
the same transaction. Three calls, whose values can be held, delayed or dropped; `run_once` only
chains them. Killed after claim or fetch: the lease runs out and the rows are claimed again under
a new ticket; killed inside apply: its transaction never happened.
"""

import random
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError, StatementError
from sqlalchemy.orm import Session

from external_crm.db import first_line, read_session, session_factory
from external_crm.rows import RANK, Key
from receiver import gate, inbox
from receiver.answers import Answer, Fetched, only, with_error
from receiver.backoff import delay_s
from receiver.calls import Calls
from receiver.claims import Claim
from receiver.clock import Clock
from receiver.crm_api import BadAnswer, CrmApiError, RecordSource
from receiver.mapping import UnmappableRecord, to_row
from receiver.plan import Fetch, missing_parents, plan
from receiver.settle import Settlement, WorkerOptions

log = structlog.get_logger()

MapFetches = Callable[[Callable[[Fetch], Answer], Iterable[Fetch]], Iterable[Answer]]
# While the returned context is entered, the given function is called every so often.
Meanwhile = Callable[[Callable[[], None]], AbstractContextManager[None]]


CLOCK_STEP = timedelta(seconds=10)


class Worker:
    """Brings triggers to rows. Several may run on one database, each in one thread."""

    def __init__(
        self,
        engine: Engine,
        source: RecordSource,
        clock: Clock,
        rng: random.Random,
        options: WorkerOptions,
        map_fetches: MapFetches = map,
        meanwhile: Meanwhile = lambda _extend: nullcontext(),
    ) -> None:
        self._engine = engine
        self._sessions = session_factory(engine)
        self._source = source
        self._clock = clock
        self._rng = rng
        self._options = options
        self._map = map_fetches
        self._meanwhile = meanwhile
        self._claimed_at: datetime | None = None

    def run_once(self) -> int:
        """Claim, fetch and apply once; how many rows were claimed."""
        claim = self.claim(self._clock.now())
        if claim is None:
            return 0
        try:
            with self._meanwhile(partial(self.extend, claim)):
                fetched = self.fetch(claim)
            self.apply(fetched, self._clock.now())
        except Exception as error:
            self._give_back(claim, error)
            raise
        return len(claim.rows)

    def claim(self, now: datetime) -> Claim | None:
        """Rows that are due, leased under a new ticket (T5), or None.

        While the API is down or refuses our credentials nothing is claimed, but for one row as
        a probe each time the waiting time is over; and never more than the budget allows.
        """
        self._mind_the_clock(now)
        options = self._options
        with read_session(self._engine) as session:
            if not gate.is_open(session, now) or not inbox.is_due(session, now):
                return None
        with self._sessions.begin() as session:
            leave = gate.leave(session, now, options.limits, options.schedule.probe_after_s)
            if leave is None:
                return None
            lease_s = options.schedule.lease_s
            claim = inbox.claim(session, now, options.batch_size, lease_s, leave)
            if claim is not None:
                gate.take(session, claim, options.limits)
        if claim is not None:
            log.info("claimed", ticket=claim.ticket, rows=[row.id for row in claim.rows])
        return claim

    def fetch(self, claim: Claim) -> Fetched:
        """The records of a claim, and the parents that nobody has seen yet, in the same pass.

        No transaction is open while this is on the network.
        """
        fetches = plan(claim.rows)
        answers: dict[Key, Answer] = {}
        calls = Calls(self._options.limits.circuit_after)
        todo = fetches
        while todo:
            answered = self._map(partial(self._fetch_one, calls), todo)
            answers |= zip((f.key for f in todo), answered, strict=True)
            read = [(f, answers[f.key].row) for f in todo if answers[f.key].error is None]
            todo = missing_parents(read, claim.known, answers.keys())
            fetches += todo
        log.info("fetched", ticket=claim.ticket, records=[str(key) for key in answers])
        return Fetched(claim, fetches, answers, calls)

    def extend(self, claim: Claim) -> None:
        """Keep the rows of a claim whose batch takes long (rule 5)."""
        due_at = self._clock.now() + timedelta(seconds=self._options.schedule.lease_s)
        with self._sessions.begin() as session:
            inbox.extend(session, [row.id for row in claim.rows], claim.ticket, due_at)

    def apply(self, fetched: Fetched, now: datetime) -> None:
        """Rows, audit entries and finished triggers in one transaction (T6).

        Where the database refuses a row, each record is applied by itself, parents first, so
        that one bad record never holds up the others. A refused row then counts as an answer
        that cannot be used: its own triggers fail, those of its children wait for it.
        """
        try:
            self._apply_together(fetched, now)
            return
        except StatementError as error:
            _raise_unless_refused(error)
        if fetched.calls is not None:
            with self._sessions.begin() as session:
                self._settlement(session, fetched, now).note_calls()
        for fetch in sorted(fetched.fetches, key=lambda fetch: RANK[fetch.key.kind]):
            try:
                self._apply_together(only(fetched, fetch), now)
            except StatementError as error:
                _raise_unless_refused(error)
                problem = f"The External CRM refuses the row: {first_line(error.orig or error)}."
                fetched = with_error(fetched, fetch.key, BadAnswer(problem, ""))
                self._apply_together(only(fetched, fetch), now)

    def _apply_together(self, fetched: Fetched, now: datetime) -> None:
        with self._sessions.begin() as session:
            finished = self._settlement(session, fetched, now).settle()
        for item in finished:
            log.info(
                "applied", trigger=item.row_id, record=str(item.key), outcome=item.outcome.value
            )

    # --- one fetch ------------------------------------------------------------------------------

    def _fetch_one(self, calls: Calls, fetch: Fetch) -> Answer:
        sent_at = self._clock.now()
        try:
            record = calls.ask(fetch.key, partial(self._source.get, fetch.key))
        except CrmApiError as error:
            return Answer(sent_at, error=error)
        if record is None:
            return Answer(sent_at)
        try:
            return Answer(sent_at, to_row(record))
        except UnmappableRecord as error:
            return Answer(sent_at, error=BadAnswer(str(error), repr(dict(record.fields))[:2000]))

    def _mind_the_clock(self, now: datetime) -> None:
        """At the first claim, and after a clock that stepped back: nothing waits for the old one.

        Numbers order the reads, not instants, so no more than waiting times is at stake.
        """
        before, self._claimed_at = self._claimed_at, now
        if before is not None and now >= before - CLOCK_STEP:
            return
        if before is not None:
            log.warning("clock stepped back", by_s=round((before - now).total_seconds(), 1))
        options = self._options
        with self._sessions.begin() as session:
            inbox.clock_stepped_back(session, now, options.longest_wait_s)
            if before is not None:
                gate.clock_stepped_back(session, now, options.schedule.probe_after_s)

    def _settlement(self, session: Session, fetched: Fetched, now: datetime) -> Settlement:
        return Settlement(session, fetched, now, self._options, self._rng)

    def _give_back(self, claim: Claim, error: BaseException) -> None:
        """Best effort: without it the rows wait for the end of the lease."""
        wait_s = delay_s(1, self._options.schedule, self._rng)
        due_at = self._clock.now() + timedelta(seconds=wait_s)
        ids = [row.id for row in claim.rows]
        try:
            with self._sessions.begin() as session:
                inbox.put_back(session, ids, claim.ticket, due_at, note=str(error))
        except StatementError:
            log.warning("lease kept", ticket=claim.ticket, reason="The database does not answer.")


def _raise_unless_refused(error: StatementError) -> None:
    """Raise what says that the database itself is in trouble, not that it refuses a row."""
    if isinstance(error, OperationalError | InterfaceError):
        raise error
