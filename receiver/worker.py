"""The worker: claims triggers, fetches their records, applies them (hops 6 to 9).

In: inbox rows that are due. Out: rows and audit entries outside, and the inbox rows finished in
the same transaction. Three calls, whose values can be held, delayed or dropped; `run_once` only
chains them. Killed after claim or fetch: the lease runs out and the rows are claimed again under
a new ticket; killed inside apply: its transaction never happened.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError, StatementError
from sqlalchemy.orm import Session

from external_crm import apply as external_crm
from external_crm.db import first_line, read_session, session_factory
from external_crm.rows import (
    FINISHING,
    Applied,
    Batch,
    Found,
    Key,
    Kind,
    NotFound,
    Outcome,
    Policy,
    Read,
    Row,
    Verdict,
)
from receiver import inbox
from receiver.backoff import Schedule, delay_s
from receiver.claims import Claim, Claimed
from receiver.clock import Clock
from receiver.crm_api import BadAnswer, CrmApiError, RecordSource, Refused, Temporary
from receiver.mapping import UnmappableRecord, to_row
from receiver.models import Hold
from receiver.plan import Fetch, hinted_parents, missing_parents, plan

log = structlog.get_logger()

CREDENTIALS, TOMBSTONES = "credentials", "tombstones"  # names of holds


@dataclass(frozen=True)
class Answer:
    """What one fetch brought: a row, an absence, or an error; and when it was sent."""

    sent_at: datetime
    row: Row | None = None
    error: CrmApiError | None = None


@dataclass(frozen=True)
class Fetched:
    """A claim with the answers to its fetches, parents included."""

    claim: Claim
    fetches: tuple[Fetch, ...]
    answers: dict[Key, Answer]


@dataclass(frozen=True)
class WorkerOptions:
    """How a worker works. A lease is short, and extended while its batch is fetched."""

    schedule: Schedule
    batch_size: int = 100
    max_attempts: int = 8
    policy: Policy = field(default_factory=Policy)


MapFetches = Callable[[Callable[[Fetch], Answer], Iterable[Fetch]], Iterable[Answer]]
# While the returned context is entered, the given function is called every so often.
Meanwhile = Callable[[Callable[[], None]], AbstractContextManager[None]]


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

        While the API refuses our credentials nothing is claimed, but for one row as a probe
        each time the hold's waiting time is over.
        """
        with read_session(self._engine) as session:
            hold = session.get(Hold, CREDENTIALS)
            if hold is not None and hold.until is not None and hold.until > now:
                return None
            if not inbox.is_due(session, now):
                return None
        limit = 1 if hold is not None else self._options.batch_size
        with self._sessions.begin() as session:
            claim = inbox.claim(session, now, limit, self._options.schedule.lease_s)
        if claim is not None:
            log.info("claimed", ticket=claim.ticket, rows=[row.id for row in claim.rows])
        return claim

    def fetch(self, claim: Claim) -> Fetched:
        """The records of a claim, and the parents that nobody has seen yet, in the same pass.

        No transaction is open while this is on the network.
        """
        fetches = plan(claim.rows)
        answers: dict[Key, Answer] = {}
        todo = fetches
        while todo:
            answers |= zip((f.key for f in todo), self._map(self._fetch_one, todo), strict=True)
            read = [(f, answers[f.key].row) for f in todo if answers[f.key].error is None]
            todo = missing_parents(read, claim.known, answers.keys())
            fetches += todo
        log.info("fetched", ticket=claim.ticket, records=[str(key) for key in answers])
        return Fetched(claim, fetches, answers)

    def extend(self, claim: Claim) -> None:
        """Keep the rows of a claim whose batch takes long (rule 5)."""
        due_at = self._clock.now() + timedelta(seconds=self._options.schedule.lease_s)
        with self._sessions.begin() as session:
            inbox.extend(session, [row.id for row in claim.rows], claim.ticket, due_at)

    def apply(self, fetched: Fetched, now: datetime) -> None:
        """Rows, audit entries and finished triggers in one transaction (T6).

        Where the database refuses a row, each record is applied by itself, so that one bad
        record never holds up the others.
        """
        try:
            with self._sessions.begin() as session:
                finished = self._apply(session, fetched, now)
        except StatementError as error:
            if isinstance(error, OperationalError | InterfaceError):
                raise  # the database itself is in trouble, not this record
            asked = [fetch for fetch in fetched.fetches if fetch.rows]
            if len(asked) > 1:
                for fetch in asked:
                    self.apply(_only(fetched, fetch), now)
                return
            with self._sessions.begin() as session:
                problem = f"The External CRM refuses the row: {first_line(error.orig or error)}."
                for row in asked[0].rows:
                    self._fail(session, row, fetched.claim.ticket, BadAnswer(problem, ""), now)
            return
        for row_id, key, outcome in finished:
            log.info("applied", trigger=row_id, record=str(key), outcome=outcome.value)

    # --- one fetch ------------------------------------------------------------------------------

    def _fetch_one(self, fetch: Fetch) -> Answer:
        sent_at = self._clock.now()
        try:
            record = self._source.get(fetch.key)
        except CrmApiError as error:
            return Answer(sent_at, error=error)
        if record is None:
            return Answer(sent_at)
        try:
            return Answer(sent_at, to_row(record))
        except UnmappableRecord as error:
            return Answer(sent_at, error=BadAnswer(str(error), repr(dict(record.fields))[:2000]))

    # --- one transaction ------------------------------------------------------------------------

    def _apply(
        self, session: Session, fetched: Fetched, now: datetime
    ) -> list[tuple[int, Key, Outcome]]:
        self._note_refusals(session, fetched, now)
        reads = [
            self._as_read(session, fetch, fetched.answers[fetch.key])
            for fetch in fetched.fetches
            if fetched.answers[fetch.key].error is None
        ]
        deletes = [
            row
            for fetch in fetched.fetches
            if fetched.answers[fetch.key].error is None
            for row in fetch.rows
            if row.is_delete and not row.cascaded
        ]
        doubtful = any(isinstance(read, NotFound) and not read.explained for read in reads)
        stopped = doubtful and inbox.is_on_hold(session, TOMBSTONES)
        batch = Batch(
            reads=tuple(reads),
            now=now,
            delete_triggers=frozenset(row.key for row in deletes),
            tombstones_stopped=stopped,
            policy=self._options.policy,
        )
        applied = external_crm.apply(session, batch, fetched.claim.ticket)
        inbox.mark_cascaded(session, [row.id for row in deletes])
        self._enqueue_verifications(session, fetched, applied, now)
        finished = self._settle_rows(session, fetched, applied, now)
        self._note_tombstones(session, applied, now)
        return finished

    def _as_read(self, session: Session, fetch: Fetch, answer: Answer) -> Read:
        if answer.row is not None:
            return Found(answer.row, answer.sent_at, fetch.cause)
        asking = fetch.rows + fetch.on_behalf_of
        related = {fetch.key} | {p for row in asking for p in row.hinted_parents}
        if fetch.key.kind is Kind.CUSTOMER:
            related = {fetch.key}  # what hangs on it does not explain that it is gone
        explained = any(row.allowed for row in asking)
        explained = explained or inbox.was_deleted_by_trigger(session, sorted(related))
        last = inbox.last_trigger_received_at(session, fetch.key)
        return NotFound(fetch.key, answer.sent_at, fetch.cause, last, explained)

    def _settle_rows(
        self, session: Session, fetched: Fetched, applied: Applied, now: datetime
    ) -> list[tuple[int, Key, Outcome]]:
        """Finish, put back or fail every claimed row, by what became of its record."""
        finished: dict[Outcome, list[Claimed]] = defaultdict(list)
        ticket = fetched.claim.ticket
        for fetch in fetched.fetches:
            answer, verdict = fetched.answers[fetch.key], applied.verdicts.get(fetch.key)
            for row in fetch.rows:
                if verdict is None:
                    self._fail(session, row, ticket, answer.error, now)
                elif verdict.outcome not in FINISHING:
                    self._put_back(session, row, fetched, applied, verdict, now)
                elif answer.row is None and (parent := _open_parent(fetched, applied, fetch)):
                    # The record is gone, but a parent that only its trigger names is not out yet.
                    due_at = self._later(row.postponed + 1, now)
                    reason = f"{parent} could not be brought out."
                    inbox.postpone(session, row, ticket, due_at, reason)
                else:
                    finished[verdict.outcome].append(row)
        for outcome, rows in finished.items():
            inbox.finish(session, [row.id for row in rows], outcome, now)
        return [(row.id, row.key, outcome) for outcome, rows in finished.items() for row in rows]

    def _put_back(
        self,
        session: Session,
        row: Claimed,
        fetched: Fetched,
        applied: Applied,
        verdict: Verdict,
        now: datetime,
    ) -> None:
        ticket = fetched.claim.ticket
        found = fetched.answers[row.key].row
        parents = found.parents if found is not None else ()
        if verdict.outcome is Outcome.PARENT_PENDING and verdict.due_at is None:
            errors = [str(a.error) for p in parents if (a := fetched.answers.get(p)) and a.error]
            reason = "The parent could not be read. " + " ".join(errors)
            inbox.postpone(session, row, ticket, self._later(row.postponed + 1, now), reason)
            return
        concerned = [verdict, *(applied.verdicts[p] for p in parents if p in applied.verdicts)]
        held = any(item.outcome is Outcome.HELD for item in concerned)
        due_at = verdict.due_at or now
        note = None if verdict.outcome is Outcome.OVERTAKEN else verdict.outcome.value
        inbox.put_back(session, [row.id], ticket, due_at, note=note, held=held)

    def _fail(
        self,
        session: Session,
        row: Claimed,
        ticket: int,
        error: CrmApiError | None,
        now: datetime,
    ) -> None:
        """The error decides: wait for the credentials, wait for the API, or nearer to dead."""
        text = str(error)
        if isinstance(error, Refused):
            due_at = now + timedelta(seconds=self._options.schedule.refused_hold_s)
            inbox.put_back(session, [row.id], ticket, due_at, note=text)
        elif isinstance(error, BadAnswer):
            if row.attempts + 1 >= self._options.max_attempts:
                inbox.bury(session, row, ticket, text, error.reply, now)
                log.error("dead", trigger=row.id, record=str(row.key), reason=text)
                return
            due_at = self._later(row.attempts + 1, now)
            inbox.retry_later(session, row, ticket, due_at, text, error.reply)
        else:
            due_at = self._later(row.postponed + 1, now)
            if isinstance(error, Temporary) and error.retry_after_s is not None:
                due_at = max(due_at, now + timedelta(seconds=error.retry_after_s))
            inbox.postpone(session, row, ticket, due_at, text)
        log.warning("retried", trigger=row.id, record=str(row.key), reason=text)

    def _enqueue_verifications(
        self, session: Session, fetched: Fetched, applied: Applied, now: datetime
    ) -> None:
        causes = {fetch.key: fetch.cause.id for fetch in fetched.fetches}
        for cause_id in dict.fromkeys(causes[v.because_of] for v in applied.verifications):
            items = [v for v in applied.verifications if causes[v.because_of] == cause_id]
            inbox.enqueue_verifications(session, items, cause_id, now)

    def _note_refusals(self, session: Session, fetched: Fetched, now: datetime) -> None:
        errors = [answer.error for answer in fetched.answers.values()]
        refused = next((error for error in errors if isinstance(error, Refused)), None)
        if refused is not None:
            until = now + timedelta(seconds=self._options.schedule.refused_hold_s)
            if inbox.hold(session, CREDENTIALS, str(refused), now, until):
                log.error("refused", reason=str(refused), next_probe_at=until.isoformat())
        elif any(error is None for error in errors) and inbox.resume(session, CREDENTIALS):
            log.info("accepted", reason="The CRM API accepts our credentials again.")

    def _note_tombstones(self, session: Session, applied: Applied, now: datetime) -> None:
        if any(verdict.outcome is Outcome.HELD for verdict in applied.verdicts.values()):
            reason = (
                "More records vanished than delete triggers explain; nothing more is removed. "
                "Check the CRM API's rights, then run `crm-receiver tombstones resume`."
            )
            if inbox.hold(session, TOMBSTONES, reason, now):
                log.error("tombstones stopped", reason=reason)
        elif inbox.is_on_hold(session, TOMBSTONES) and not inbox.has_held(session):
            inbox.resume(session, TOMBSTONES)
            log.info("tombstones resumed", reason="No record is held any more.")

    def _later(self, failures: int, now: datetime) -> datetime:
        return now + timedelta(seconds=delay_s(failures, self._options.schedule, self._rng))

    def _give_back(self, claim: Claim, error: BaseException) -> None:
        """Best effort: without it the rows wait for the end of the lease."""
        now = self._clock.now()
        try:
            with self._sessions.begin() as session:
                ids = [row.id for row in claim.rows]
                inbox.put_back(session, ids, claim.ticket, self._later(1, now), note=str(error))
        except StatementError:
            log.warning("lease kept", ticket=claim.ticket, reason="The database does not answer.")


def _open_parent(fetched: Fetched, applied: Applied, fetch: Fetch) -> Key | None:
    """A parent, as the triggers name it, that was asked for and is neither out nor not found."""
    for parent in hinted_parents(fetch):
        if parent in fetched.answers:
            verdict = applied.verdicts.get(parent)
            if verdict is None or verdict.outcome in (Outcome.PARENT_PENDING, Outcome.OVERTAKEN):
                return parent
    return None


def _only(fetched: Fetched, fetch: Fetch) -> Fetched:
    """The part of a fetched claim that one record and its parents need."""
    keys = {fetch.key, *(p for p in hinted_parents(fetch) if p in fetched.answers)}
    for _ in Kind:  # as deep as parents can be
        rows = [fetched.answers[key].row for key in keys]
        keys |= {p for row in rows if row for p in row.parents if p in fetched.answers}
    fetches = tuple(_without_rows(f) if f.key != fetch.key else f for f in _these(fetched, keys))
    return Fetched(fetched.claim, fetches, {key: fetched.answers[key] for key in keys})


def _these(fetched: Fetched, keys: set[Key]) -> Iterator[Fetch]:
    return (fetch for fetch in fetched.fetches if fetch.key in keys)


def _without_rows(fetch: Fetch) -> Fetch:
    return Fetch(fetch.key, fetch.cause, on_behalf_of=fetch.rows + fetch.on_behalf_of)
