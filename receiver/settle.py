"""From a claim's answers to a batch for the sink, and to settled triggers (hop 9, T6).

In: a session with an open transaction, the answers, and now. Out: the batch, and after it every
claimed row finished, put back, postponed, retried or buried, by what became of its record.
Killed here: the transaction never happened, and the claim's lease runs out.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session

from external_crm.rows import (
    FINISHING,
    TRIGGER,
    Applied,
    Batch,
    Found,
    Key,
    Kind,
    NotFound,
    Outcome,
    Policy,
    Read,
    Verdict,
)
from receiver import custom_fields, ending, gate, holds, inbox, settle_reads, totals
from receiver.answers import Answer, Fetched
from receiver.backoff import Schedule, delay_s
from receiver.claims import Claimed
from receiver.crm_api import BadAnswer, CrmApiError, NotAsked, Refused, Temporary
from receiver.custom_fields import FieldChange
from receiver.gate import Limits
from receiver.holds import TOMBSTONES
from receiver.plan import Fetch, hinted_parents

log = structlog.get_logger()


@dataclass(frozen=True)
class WorkerOptions:
    """How a worker works. A lease is short, and extended while its batch is fetched.

    settle_after_s is longer than the API can be behind, and so is policy.recheck_after_s.
    """

    schedule: Schedule
    batch_size: int = 100
    max_attempts: int = 8
    list_from: int = 0  # rule 10: records of one parent that a list is asked for; 0: never
    settle_after_s: float = 0.0  # rule 11; 0: no settle reads
    limits: Limits = field(default_factory=Limits)
    policy: Policy = field(default_factory=Policy)

    @property
    def longest_wait_s(self) -> float:
        """No row is ever due farther away than this, but for a Retry-After."""
        schedule = self.schedule
        waits = (schedule.retry_longest_s, schedule.lease_s, schedule.probe_after_s)
        return max(*waits, self.policy.recheck_after_s, self.settle_after_s)


@dataclass(frozen=True)
class Finished:
    """An inbox row that is done, and why."""

    row_id: int
    key: Key
    outcome: Outcome


@dataclass(frozen=True)
class Settled:
    """What there is to say once the transaction is committed."""

    finished: list[Finished]
    field_changes: list[FieldChange]


@dataclass(frozen=True)
class Settlement:
    """One batch inside its transaction."""

    session: Session
    fetched: Fetched
    now: datetime
    options: WorkerOptions
    rng: random.Random
    tally: totals.Tally = field(default_factory=Counter)

    @property
    def ticket(self) -> int:
        """Of the claim, and so the proof of its lease."""
        return self.fetched.claim.ticket

    def batch(self) -> Batch:
        """The reads that were answered, for a sink to apply."""
        reads = tuple(self._as_read(fetch) for fetch in self._answered())
        doubtful = any(isinstance(read, NotFound) and not read.explained for read in reads)
        return Batch(
            reads=reads,
            now=self.now,
            delete_triggers=frozenset(row.key for row in self._new_deletes()),
            tombstones_stopped=doubtful and holds.is_on_hold(self.session, TOMBSTONES),
            policy=self.options.policy,
        )

    def settle(self, applied: Applied) -> Settled:
        """Settle every claimed row by what a sink made of the batch."""
        ending.mark_cascaded(self.session, [row.id for row in self._new_deletes()])
        self._enqueue_verifications(applied)
        self._enqueue_settle_reads(applied)
        finished = self._settle_rows(applied)
        self._note_tombstones(applied)
        rows = [answer.row for answer in self.fetched.answers.values() if answer.row is not None]
        field_changes = custom_fields.notice(self.session, rows, self.ticket)
        self.note_calls()
        return Settled(finished, field_changes)

    def note_calls(self) -> None:
        """Keep what the reads say of the API, once for a whole claim; and the tally, at last."""
        if self.fetched.calls is not None:
            for outcome, number in self.fetched.calls.outcomes.items():
                self.tally[totals.API_CALLS, outcome] += number
            gate.note(
                self.session,
                self.fetched.claim,
                self.fetched.calls,
                self.now,
                self.options.limits,
                self.options.schedule.probe_after_s,
            )
        totals.add(self.session, self.tally)

    def fail(self, row: Claimed, error: CrmApiError) -> None:
        """The error decides: wait for the credentials, wait for the API, or nearer to dead."""
        text = str(error)
        if isinstance(error, NotAsked):
            ending.put_back(self.session, [row.id], self.ticket, self.now, note=text)
            return
        if isinstance(error, Refused):
            due_at = self._after(self.options.schedule.probe_after_s)
            ending.postpone(self.session, row, self.ticket, due_at, text)
        elif isinstance(error, BadAnswer):
            if row.attempts + 1 >= self.options.max_attempts:
                ending.bury(self.session, row, self.ticket, text, error.reply, self.now)
                self.tally[totals.DIED, ""] += 1
                log.error("dead", trigger=row.id, record=str(row.key), reason=text)
                return
            due_at = self._backed_off(row.attempts + 1)
            ending.retry_later(self.session, row, self.ticket, due_at, text, error.reply)
        else:
            due_at = self._backed_off(row.postponed + 1)
            if isinstance(error, Temporary) and error.retry_after_s is not None:
                due_at = max(due_at, self._after(error.retry_after_s))
            ending.postpone(self.session, row, self.ticket, due_at, text)
        self.tally[totals.RETRIED, ""] += 1
        log.warning("retried", trigger=row.id, record=str(row.key), reason=text)

    # --- reads ----------------------------------------------------------------------------------

    def _answer(self, fetch: Fetch) -> Answer:
        return self.fetched.answers[fetch.key]

    def _answered(self) -> list[Fetch]:
        return [fetch for fetch in self.fetched.fetches if not self._answer(fetch).error]

    def _new_deletes(self) -> list[Claimed]:
        """Delete triggers that are judged for the first time."""
        rows = [row for fetch in self._answered() for row in fetch.rows]
        return [row for row in rows if row.is_delete and not row.cascaded]

    def _as_read(self, fetch: Fetch) -> Read:
        answer = self._answer(fetch)
        if answer.row is not None:
            return Found(answer.row, answer.sent_at, fetch.cause)
        asking = fetch.rows + fetch.on_behalf_of
        related = {fetch.key} | {p for row in asking for p in row.hinted_parents}
        if fetch.key.kind is Kind.CUSTOMER:
            related = {fetch.key}  # what hangs on it does not explain that it is gone
        explained = any(row.allowed for row in asking)
        explained = explained or inbox.was_deleted_by_trigger(self.session, sorted(related))
        last = inbox.last_trigger_received_at(self.session, fetch.key)
        return NotFound(fetch.key, answer.sent_at, fetch.cause, last, explained)

    # --- rows -----------------------------------------------------------------------------------

    def _settle_rows(self, applied: Applied) -> list[Finished]:
        done: dict[Outcome, list[Claimed]] = defaultdict(list)
        for fetch in self.fetched.fetches:
            answer, verdict = self._answer(fetch), applied.verdicts.get(fetch.key)
            open_parent = self._open_parent(fetch, applied) if answer.row is None else None
            for row in fetch.rows:
                if answer.error is not None:
                    self.fail(row, answer.error)
                elif verdict is None or verdict.outcome not in FINISHING:
                    self._put_back(row, applied, verdict or Verdict(Outcome.OVERTAKEN))
                elif open_parent is not None:
                    # The record is gone, but a parent that only its trigger names is not out yet.
                    due_at = self._backed_off(row.postponed + 1)
                    reason = f"{open_parent} could not be brought out."
                    ending.postpone(self.session, row, self.ticket, due_at, reason)
                else:
                    done[verdict.outcome].append(row)
        for outcome, rows in done.items():
            self._finish([row for row in rows if row.cause == TRIGGER], outcome)
            own = [row.id for row in rows if row.cause != TRIGGER]
            if own:
                ending.finish(self.session, own, outcome, self.now)
        return [Finished(row.id, row.key, why) for why, rows in done.items() for row in rows]

    def _finish(self, triggers: Sequence[Claimed], outcome: Outcome) -> None:
        if not triggers:
            return
        number = ending.finish(self.session, [row.id for row in triggers], outcome, self.now)
        self.tally[totals.APPLIED, outcome.value] += number
        for row in triggers[:number]:  # of a few that somebody finished before, which is all one
            totals.note_lag(self.tally, self.now - row.received_at)

    def _put_back(self, row: Claimed, applied: Applied, verdict: Verdict) -> None:
        """No attempt: due when there may be more to know; rule 4: overtaken, at once and alone.

        It cannot be overtaken for ever: each time another apply wrote that record, and each apply
        finishes a trigger.
        """
        found = self.fetched.answers[row.key].row
        parents = found.parents if found is not None else ()
        if verdict.outcome is Outcome.PARENT_PENDING and verdict.due_at is None:
            answers = (self.fetched.answers.get(parent) for parent in parents)
            errors = [str(answer.error) for answer in answers if answer and answer.error]
            reason = "The parent could not be read. " + " ".join(errors)
            due_at = self._backed_off(row.postponed + 1)
            ending.postpone(self.session, row, self.ticket, due_at, reason)
            return
        if verdict.outcome is Outcome.OVERTAKEN:
            self.tally[totals.OVERTAKEN, ""] += 1
        concerned = [verdict, *(applied.verdicts[p] for p in parents if p in applied.verdicts)]
        ending.put_back(
            self.session,
            [row.id],
            self.ticket,
            verdict.due_at or self.now,
            note=None if verdict.outcome is Outcome.OVERTAKEN else verdict.outcome.value,
            held=any(item.outcome is Outcome.HELD for item in concerned),
        )

    def _open_parent(self, fetch: Fetch, applied: Applied) -> Key | None:
        """A parent that only the triggers name, asked for and neither out nor not found."""
        for parent in hinted_parents(fetch):
            if parent in self.fetched.answers:
                verdict = applied.verdicts.get(parent)
                waiting = (Outcome.PARENT_PENDING, Outcome.OVERTAKEN)
                if verdict is None or verdict.outcome in waiting:
                    return parent
        return None

    def _enqueue_verifications(self, applied: Applied) -> None:
        causes = {fetch.key: fetch.cause.id for fetch in self.fetched.fetches}
        for cause_id in dict.fromkeys(causes[v.because_of] for v in applied.verifications):
            items = [v for v in applied.verifications if causes[v.because_of] == cause_id]
            inbox.enqueue_verifications(self.session, items, cause_id, self.now)

    def _enqueue_settle_reads(self, applied: Applied) -> None:
        """Rule 11, for every record whose read had effect, covered ones included: what covered
        it may have been a settle read, sent too early for this touch.
        """
        if self.options.settle_after_s <= 0:
            return
        touches = [
            self._touch(fetch)
            for fetch in self.fetched.fetches
            if fetch.is_touch
            and (verdict := applied.verdicts.get(fetch.key)) is not None
            and verdict.outcome in FINISHING
        ]
        if touches:
            settle_reads.enqueue(self.session, touches, self.options.settle_after_s, self.now)

    def _touch(self, fetch: Fetch) -> settle_reads.Touch:
        asking = (fetch.rows + fetch.on_behalf_of)[0]
        case_id = asking.case_id if fetch.key.kind in (Kind.CASE, Kind.FOLLOWUP) else None
        account_id = fetch.key.id if fetch.key.kind is Kind.CUSTOMER else asking.account_id
        own_trigger = any(row.cause == TRIGGER for row in fetch.rows)
        sent_at = None if own_trigger else self._answer(fetch).sent_at
        return settle_reads.Touch(fetch.key, account_id, case_id, sent_at, fetch.cause.id)

    # --- holds ----------------------------------------------------------------------------------

    def _note_tombstones(self, applied: Applied) -> None:
        if any(verdict.outcome is Outcome.HELD for verdict in applied.verdicts.values()):
            reason = (
                "More records vanished than delete triggers explain; nothing more is removed. "
                "Check the CRM API's rights, then run `crm-receiver tombstones resume`."
            )
            if holds.hold(self.session, TOMBSTONES, reason, self.now):
                log.error("tombstones stopped", reason=reason)
        elif holds.is_on_hold(self.session, TOMBSTONES) and not holds.has_held(self.session):
            verifying = holds.verify_tombstones(self.session, self.now)
            holds.resume(self.session, TOMBSTONES)
            reason = "No record is held any more."
            log.info("tombstones resumed", reason=reason, verifying=verifying)

    # --- time -----------------------------------------------------------------------------------

    def _after(self, seconds: float) -> datetime:
        return self.now + timedelta(seconds=seconds)

    def _backed_off(self, failures: int) -> datetime:
        return self._after(delay_s(failures, self.options.schedule, self.rng))
