"""The worker: claims triggers, fetches their records, applies them (hops 6 to 9).

In: inbox rows that are due. Out: rows and audit entries outside, and the inbox rows finished in
the same transaction. Three calls, whose values can be held, delayed or dropped; `run_once` only
chains them. Killed after claim or fetch: the lease runs out and the rows are claimed again under
a new ticket; killed inside apply: its transaction never happened.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol, TypeVar

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from external_crm.apply import SqlSink
from external_crm.db import (
    WRITE_ERRORS,
    first_line,
    is_about_the_row,
    read_session,
    session_factory,
)
from external_crm.rows import RANK, Key
from external_crm.sink import Sink
from receiver import claiming, ending, failpoints, gate
from receiver.answers import Answer, Fetched, only, with_error
from receiver.backoff import delay_s
from receiver.calls import Calls
from receiver.claims import Claim, Family
from receiver.clock import Clock
from receiver.crm_api import BadAnswer, CrmApiError, RecordSource
from receiver.mapping import UnmappableRecord, to_row
from receiver.plan import Fetch, families, missing_parents, plan
from receiver.records import CrmRecord
from receiver.settle import Settled, Settlement, WorkerOptions

log = structlog.get_logger()

A = TypeVar("A")
B = TypeVar("B")


class MapFetches(Protocol):
    """As the builtin `map`, or the `map` of a pool of threads."""

    def __call__(self, read: Callable[[A], B], what: Iterable[A], /) -> Iterable[B]:
        """The results, in the order of what was asked for."""


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
        sink: Sink | None = None,
    ) -> None:
        """sink: another CRM to bring records to; by default the tables of external_crm."""
        self._sink = sink
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
        claim = self.claim_due()
        if claim is None:
            return 0
        self.bring(self.read(claim))
        return len(claim.rows)

    def claim_due(self, at_most: int | None = None) -> Claim | None:
        """Claim what is due now."""
        return self.claim(self._clock.now(), at_most)

    def read(self, claim: Claim) -> Fetched:
        """Fetch, and meanwhile keep the lease; where that fails, the rows are given back."""
        try:
            with self._meanwhile(partial(self.extend, claim)):
                return self.fetch(claim)
        except Exception as error:
            self._give_back(claim, error)
            raise

    def bring(self, fetched: Fetched) -> None:
        """Apply now; where that fails, the rows are given back."""
        try:
            self.apply(fetched, self._clock.now())
        except Exception as error:
            self._give_back(fetched.claim, error)
            raise

    def claim(self, now: datetime, at_most: int | None = None) -> Claim | None:
        """Rows that are due, a batch or fewer, leased under a new ticket (T5), or None.

        While the API is down or refuses our credentials nothing is claimed, but for one row as
        a probe each time the waiting time is over; and never more than the budget allows.
        """
        self._mind_the_clock(now)
        options = self._options
        with read_session(self._engine) as session:
            if not gate.is_open(session, now) or not claiming.is_due(session, now):
                return None
        with self._sessions.begin() as session:
            leave = gate.leave(session, now, options.limits, options.schedule.probe_after_s)
            if leave is None:
                return None
            lease_s = options.schedule.lease_s
            limit = min(options.batch_size, at_most or options.batch_size)
            claim = claiming.claim(session, now, limit, lease_s, leave)
            if claim is not None:
                gate.take(session, claim, options.limits)
                listed = families(claim.rows, options.list_from)
                claim = replace(claim, families=claiming.without_large(session, listed))
            failpoints.reach("T5-before")
        failpoints.reach("T5-after")
        if claim is not None:
            log.info("claimed", ticket=claim.ticket, rows=[row.id for row in claim.rows])
        return claim

    def fetch(self, claim: Claim) -> Fetched:
        """The records of a claim, and the parents that nobody has seen yet, in the same pass.

        What a list by parent holds is not read again; what it does not hold is read by itself,
        as if there had been no list (rule 10). No transaction is open while this is on the
        network.
        """
        fetches = plan(claim.rows)
        calls = Calls(self._options.limits.circuit_after)
        answers: dict[Key, Answer] = {}
        for listed in self._map(partial(self._list_one, calls), claim.families):
            answers |= listed
        todo = fetches
        while todo:
            unread = [fetch for fetch in todo if fetch.key not in answers]
            answered = self._map(partial(self._fetch_one, calls), unread)
            answers |= zip((fetch.key for fetch in unread), answered, strict=True)
            read = [(f, answers[f.key].row) for f in todo if answers[f.key].error is None]
            todo = missing_parents(read, claim.known, answers.keys())
            fetches += todo
        log.info("fetched", ticket=claim.ticket, records=[str(key) for key in answers])
        log.info("mapped", ticket=claim.ticket, records=_mapped(answers))
        return Fetched(claim, fetches, answers, calls)

    def extend(self, claim: Claim) -> None:
        """Keep the rows of a claim whose batch takes long (rule 5)."""
        due_at = self._clock.now() + timedelta(seconds=self._options.schedule.lease_s)
        with self._sessions.begin() as session:
            claiming.extend(session, [row.id for row in claim.rows], claim.ticket, due_at)

    def apply(self, fetched: Fetched, now: datetime) -> None:
        """Rows, audit entries and finished triggers in one transaction (T6).

        Where the database refuses a row, each record is applied by itself, parents first, so
        that one bad record never holds up the others. A refused row then counts as an answer
        that cannot be used: its own triggers fail, those of its children wait for it.
        """
        try:
            self._apply_together(fetched, now)
            return
        except WRITE_ERRORS as error:
            if not is_about_the_row(error):
                raise  # the database itself is in trouble, not one of these records
        if fetched.calls is not None:
            with self._sessions.begin() as session:
                self._settlement(session, fetched, now).note_calls()
        for fetch in sorted(fetched.fetches, key=lambda fetch: RANK[fetch.key.kind]):
            try:
                self._apply_together(only(fetched, fetch), now)
            except WRITE_ERRORS as error:
                if not is_about_the_row(error):
                    raise
                problem = f"The External CRM refuses the row: {first_line(error)}."
                fetched = with_error(fetched, fetch.key, BadAnswer(problem, ""))
                self._apply_together(only(fetched, fetch), now)

    def _apply_together(self, fetched: Fetched, now: datetime) -> None:
        settled = (
            self._apply_and_finish(fetched, now)
            if self._sink is None
            else self._apply_then_finish(self._sink, fetched, now)
        )
        failpoints.reach("T6-after")
        for change in settled.field_changes:
            log.info(change.event, kind=change.kind.value, field=change.tag)
        for item in settled.finished:
            log.info(
                "applied", trigger=item.row_id, record=str(item.key), outcome=item.outcome.value
            )
        if rows := [item.row_id for item in settled.finished]:
            log.info("finished", ticket=fetched.claim.ticket, rows=rows)

    def _apply_and_finish(self, fetched: Fetched, now: datetime) -> Settled:
        """Promise 4 to the letter: rows, audit entries and triggers in one transaction."""
        with self._sessions.begin() as session:
            settlement = self._settlement(session, fetched, now)
            applied = SqlSink(session).apply(settlement.batch(), fetched.claim.ticket)
            settled = settlement.settle(applied)
            failpoints.reach("T6-before")
            return settled

    def _apply_then_finish(self, sink: Sink, fetched: Fetched, now: datetime) -> Settled:
        """Promise 4 where the CRM shares no transaction with us: killed between the two, the
        triggers are read and applied again, which changes nothing. No transaction is open while
        the sink works: it may be on the network.
        """
        with read_session(self._engine) as session:
            batch = self._settlement(session, fetched, now).batch()
        applied = sink.apply(batch, fetched.claim.ticket)
        failpoints.reach("T6-before")
        with self._sessions.begin() as session:
            return self._settlement(session, fetched, now).settle(applied)

    # --- one fetch ------------------------------------------------------------------------------

    def _fetch_one(self, calls: Calls, fetch: Fetch) -> Answer:
        sent_at = self._clock.now()
        try:
            record = calls.ask(fetch.key, partial(self._source.get, fetch.key))
        except CrmApiError as error:
            # Kept until the batch is applied; its traceback would keep the whole reply as well.
            error.__cause__ = error.__context__ = None
            return Answer(sent_at, error=error.with_traceback(None))
        return Answer(sent_at) if record is None else self._answer(sent_at, record)

    def _list_one(self, calls: Calls, family: Family) -> dict[Key, Answer]:
        """The answers that a list holds; none where it failed: single reads will say why."""
        sent_at = self._clock.now()
        read = partial(self._source.children, family.kind, family.parent)
        try:
            records = calls.ask(family.parent, read)
        except CrmApiError as error:
            log.warning("not listed", parent=str(family.parent), reason=str(error))
            return {}
        return {r.key: self._answer(sent_at, r) for r in records if r.key in family.keys}

    def _answer(self, sent_at: datetime, record: CrmRecord) -> Answer:
        try:
            return Answer(sent_at, to_row(record))
        except UnmappableRecord as error:
            return Answer(sent_at, error=BadAnswer(str(error), repr(dict(record.fields))[:2000]))
        except Exception as error:  # a mistake of ours shall not hold up the rest of the batch
            name = type(error).__name__
            log.error("failed", record=str(record.key), error=name, exc_info=error)
            problem = f"The receiver failed on this record with {name}; its log says where."
            return Answer(sent_at, error=BadAnswer(problem, ""))

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
            claiming.clock_stepped_back(session, now, options.longest_wait_s)
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
                ending.put_back(session, ids, claim.ticket, due_at, note=first_line(error))
        except SQLAlchemyError:
            log.warning("lease kept", ticket=claim.ticket, reason="The database does not answer.")


def _mapped(answers: Mapping[Key, Answer]) -> list[str]:
    return [str(key) for key, answer in answers.items() if answer.row is not None]
