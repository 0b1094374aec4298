"""Whether the CRM API may be called now, and how often: one answer for all workers (hop 6).

In: a session and now. Out: the leave for one claim, or none; after the reads of the claim, what
they say of the API. All of it is rows, so that every worker of the database obeys, and obeys
after a restart. Receiving goes on whatever is said here.

The circuit opens when so many reads of different records failed in a row, or when the API said
Retry-After; credentials are held when the API refuses them. Either is probed with one record
each time its waiting time is over, and resumes when that probe is answered. The probe moves the
waiting time on as it is claimed: a worker that dies with it delays the next one, no more.

The budget is a bucket of calls that holds one second's worth. What a claim is expected to cost
is taken out at the claim, the difference to what it did cost at its end; a claim may overdraw
the bucket by the calls that nobody could foresee, and the next one waits for that.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from external_crm.db import insert_missing, rows_changed
from external_crm.rows import Kind
from receiver import holds
from receiver.calls import Calls
from receiver.claims import Claim, Leave
from receiver.models import ApiUse, Hold

log = structlog.get_logger()

CREDENTIALS, CIRCUIT = "credentials", "circuit"  # names of holds that stop claiming
_STEP = timedelta(seconds=10)  # clocks of two machines differ by less, one that was set by more


@dataclass(frozen=True)
class Limits:
    """How hard the API may be called. calls_per_s: of all workers together, 0: no limit."""

    circuit_after: int = 5
    calls_per_s: float = 0.0


def is_open(session: Session, now: datetime) -> bool:
    """Whether a claim is worth trying; cheap, for an idle worker."""
    held = select(Hold.name).where(Hold.name.in_((CREDENTIALS, CIRCUIT)), Hold.until > now)
    return session.scalar(held.limit(1)) is None


def leave(session: Session, now: datetime, limits: Limits, probe_after_s: float) -> Leave | None:
    """What the next claim may do, or None: wait."""
    calls = None
    if limits.calls_per_s:
        calls = math.floor(_refilled(session, now, limits).tokens)
        if calls < 1:
            return None
    standing = session.scalars(
        select(Hold).where(Hold.name.in_((CREDENTIALS, CIRCUIT))).order_by(Hold.name)
    ).all()
    until = now + timedelta(seconds=probe_after_s)
    for hold in standing:
        mine = update(Hold).where(Hold.name == hold.name, Hold.until <= now)
        if not rows_changed(session.execute(mine.values(until=until))):
            return None  # not yet, or another worker is probing
    kinds = [Kind(hold.kind) for hold in standing if hold.kind]
    return Leave(calls, frozenset(hold.name for hold in standing), kinds[0] if kinds else None)


def take(session: Session, claim: Claim, limits: Limits) -> None:
    """Take what the claim will cost out of the budget."""
    if limits.calls_per_s:
        _locked_use(session).tokens -= claim.calls


def note(
    session: Session,
    claim: Claim,
    calls: Calls,
    now: datetime,
    limits: Limits,
    probe_after_s: float,
) -> None:
    """Keep what a claim's reads say of the API: budget, circuit, credentials."""
    if limits.calls_per_s and calls.made != claim.calls:
        _locked_use(session).tokens -= calls.made - claim.calls
    failures = _count_failures(session, calls)
    probing = CIRCUIT in claim.probes
    if calls.retry_after_s is not None:
        _stop(session, CIRCUIT, calls.reason, now, calls.retry_after_s)
    elif calls.failing and (probing or failures >= limits.circuit_after):
        _stop(session, CIRCUIT, calls.reason, now, probe_after_s)
    elif probing and calls.answered:
        _go_on(session, CIRCUIT, "The CRM API answers again.")
    if calls.refused is not None:
        _stop(session, CREDENTIALS, calls.reason, now, probe_after_s, calls.refused.kind)
    elif CREDENTIALS in claim.probes and calls.answered:
        _go_on(session, CREDENTIALS, "The CRM API accepts our credentials again.")


def calls_to_spare(session: Session, now: datetime, limits: Limits) -> float:
    """What is in the bucket, for `crm-receiver status`."""
    use = session.get(ApiUse, 1)
    if use is None or use.refilled_at is None:
        return _capacity(limits)
    return _level(use, now, limits)


def clock_stepped_back(session: Session, now: datetime, probe_after_s: float) -> None:
    """Probe in due time by the new clock: the old one's instants may be far away."""
    until = now + timedelta(seconds=probe_after_s)
    session.execute(update(Hold).where(Hold.until > until).values(until=until))


def _count_failures(session: Session, calls: Calls) -> int:
    """Reads in a row that failed, over all claims; the same record twice in a row is one, so
    that a single bad one never opens the circuit.
    """
    if not calls.failing:
        if calls.answered and session.scalar(select(ApiUse.failures)):
            use = _locked_use(session)
            use.failures, use.failed_record = 0, None
        return 0
    use = _locked_use(session)
    if calls.answered:
        use.failures, use.failed_record = 0, None
    for key in map(str, calls.failing):
        use.failures += key != use.failed_record
        use.failed_record = key
    session.flush()
    return use.failures


def _stop(
    session: Session,
    name: str,
    reason: str,
    now: datetime,
    seconds: float,
    kind: Kind | None = None,
) -> None:
    until = now + timedelta(seconds=seconds)
    if holds.hold(session, name, reason, now, until, kind):
        log.error("stopped", what=name, reason=reason, next_probe_at=until.isoformat())


def _go_on(session: Session, name: str, reason: str) -> None:
    if holds.resume(session, name):
        log.info("resumed", what=name, reason=reason)


# --- the budget -----------------------------------------------------------------------------------


def _refilled(session: Session, now: datetime, limits: Limits) -> ApiUse:
    use = _locked_use(session)
    use.tokens = _level(use, now, limits)
    if use.refilled_at is None or not now < use.refilled_at <= now + _STEP:
        use.refilled_at = now
    return use


def _level(use: ApiUse, now: datetime, limits: Limits) -> float:
    if use.refilled_at is None:
        return _capacity(limits)
    passed_s = max(0.0, (now - use.refilled_at).total_seconds())
    return min(_capacity(limits), use.tokens + passed_s * limits.calls_per_s)


def _capacity(limits: Limits) -> float:
    return max(1.0, limits.calls_per_s)


def _locked_use(session: Session) -> ApiUse:
    """The one row; always locked before any hold."""
    query = select(ApiUse).where(ApiUse.id == 1).with_for_update()
    use = session.scalars(query).one_or_none()
    if use is None:
        first = {"id": 1, "failures": 0, "tokens": 0.0}
        insert_missing(session, ApiUse, [first])
        use = session.scalars(query).one()
    return use
