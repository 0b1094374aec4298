"""Ten ways to get it wrong, each a small patch of the real code that a world must catch.

Each has a mix of faults under which it shows within 500 seeds, and beside it the first seed that
catches it: `scripts/test` replays that one, `scripts/test tests/world --world-mutations` searches
all of them anew and prints the seeds.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import and_, delete, select

from external_crm import apply, fence, verdicts
from external_crm.fence import Fence
from external_crm.models import LIVE_TABLES, SyncState
from external_crm.rows import ID_COLUMN, Key, Outcome
from external_crm.verdicts import RecordState
from receiver import inbox, worker
from receiver.answers import Answer, Fetched
from receiver.crm_api import CrmApiError
from receiver.group_commit import StoreUnavailable
from receiver.inbox import Arrival
from receiver.ingest import Ingest
from receiver.models import InboxTrigger, State
from tests.world.mix import Mix
from tests.world.network import Killed

Patch = pytest.MonkeyPatch


@dataclass(frozen=True)
class Mutation:
    """A patch, the mix that brings it to light, and a seed that does."""

    patch: Callable[[Patch], None]
    mix: Mix
    seed: int

    @property
    def sentence(self) -> str:
        """What it gets wrong."""
        return " ".join((self.patch.__doc__ or "").split())

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The code is wrong inside."""
        with Patch.context() as patch:
            self.patch(patch)
            yield


def no_fence(patch: Patch) -> None:
    """Every read applies, however late it comes."""
    patch.setattr(verdicts, "judge", lambda _numbers, _ticket: Fence.APPLY)


def one_number(patch: Patch) -> None:
    """A record keeps the ticket of the read it shows, but not when that was written."""

    def judge(numbers: fence.Numbers, ticket: int) -> Fence:
        return Fence.APPLY if ticket > numbers.ticket else Fence.COVERED

    patch.setattr(verdicts, "judge", judge)


def unchanged_raises_nothing(patch: Patch) -> None:
    """A read that finds the row as it is leaves the numbers as they are."""
    real = apply.raise_numbers

    def raise_numbers(state: Any, read: Any, outcome: Outcome, *numbers: Any) -> None:
        if outcome is not Outcome.UNCHANGED:
            real(state, read, outcome, *numbers)

    patch.setattr(apply, "raise_numbers", raise_numbers)


def children_go_with_their_parent(patch: Patch) -> None:
    """A new tombstone kills all that hangs on it under its own ticket, instead of asking."""
    real = apply.apply

    def kill(session: Any, batch: Any, ticket: int) -> Any:
        applied = real(session, batch, ticket)
        gone = {key for key, v in applied.verdicts.items() if v.outcome is Outcome.GONE}
        children = [v.key for v in applied.verifications if v.because_of in gone]
        for child in children:
            table = LIVE_TABLES[child.kind]
            session.execute(delete(table).where(table.c[ID_COLUMN[child.kind]] == child.id))
            state = session.get_one(SyncState, (child.kind.value, child.id))
            session.refresh(state)
            state.state, state.ticket, state.seq = RecordState.GONE, ticket, apply.draw(session)
        session.flush()
        return type(applied)(applied.verdicts)

    patch.setattr(apply, "apply", kill)


def delete_trigger_is_believed(patch: Patch) -> None:
    """A delete trigger removes its record without a read."""
    real = worker.Worker.fetch

    def fetch(self: Any, claim: Any) -> Fetched:
        fetched = real(self, claim)
        deleted = {row.key for row in claim.rows if row.is_delete}
        answers = {
            key: Answer(answer.sent_at) if key in deleted else answer
            for key, answer in fetched.answers.items()
        }
        return Fetched(fetched.claim, fetched.fetches, answers)

    patch.setattr(worker.Worker, "fetch", fetch)


def absence_in_a_list_is_deletion(patch: Patch) -> None:
    """What a list by parent does not hold is taken for not found."""

    def list_one(self: Any, calls: Any, family: Any) -> dict[Key, Answer]:
        sent_at = self._clock.now()
        read = partial(self._source.children, family.kind, family.parent)
        try:
            records = calls.ask(family.parent, read)
        except CrmApiError:
            return {}
        found = {r.key: self._answer(sent_at, r) for r in records if r.key in family.keys}
        return {key: Answer(sent_at) for key in family.keys} | found

    patch.setattr(worker.Worker, "_list_one", list_one)


def not_found_is_believed_at_once(patch: Patch) -> None:
    """The first not-found writes the tombstone."""
    patch.setattr(verdicts, "believed_from", lambda first, _last_trigger, _recheck_after_s: first)


def coalescing_across_claims(patch: Patch) -> None:
    """A trigger is dropped while another one for its record waits, claimed or not."""
    real = inbox.store_all

    def store_all(connection: Any, arrivals: Any) -> Any:
        def waits(key: Key) -> bool:
            rows = select(InboxTrigger.id).where(
                inbox.about([key]), InboxTrigger.state == State.WAITING
            )
            return connection.scalar(rows.limit(1)) is not None

        return real(connection, [new for new in arrivals if not waits(new.trigger.key)])

    patch.setattr(inbox, "store_all", store_all)


def answered_before_the_commit(patch: Patch) -> None:
    """The 200 goes out first: whatever becomes of the commit, nobody hears of it."""
    real = Ingest._write

    def write(self: Ingest, waiting: Callable[[], list[Arrival]]) -> list[tuple[int, str]]:
        with suppress(Killed, StoreUnavailable):
            return real(self, waiting)
        return []

    patch.setattr(Ingest, "_write", write)


def lease_is_ignored(patch: Patch) -> None:
    """Whoever held a row once gives it back or buries it, whosever it is by now."""

    def owned(ids: Any, _ticket: int) -> Any:
        return and_(InboxTrigger.id.in_(ids), InboxTrigger.state == State.WAITING)

    patch.setattr(inbox, "owned", owned)


# Few records, often changed while they are read, by workers that overtake each other.
CROWDED = Mix(
    steps=120,
    batch_size=1,
    most_records=2,
    creating=0.1,
    editing=0.85,
    moving=0.0,
    change_during_read=0.4,
    worker_stalled=0.2,
)
FAMILIES = Mix(steps=120, creating=0.5, editing=0.1, moving=0.2)  # parents go, children move

MUTATIONS = {
    "no_fence": Mutation(no_fence, CROWDED, 1),
    "one_number": Mutation(one_number, CROWDED, 6),
    "unchanged_raises_nothing": Mutation(
        unchanged_raises_nothing, replace(CROWDED, reverting=0.6), 252
    ),
    "children_go_with_their_parent": Mutation(children_go_with_their_parent, FAMILIES, 0),
    "delete_trigger_is_believed": Mutation(delete_trigger_is_believed, Mix(forged_trigger=0.5), 1),
    "absence_in_a_list_is_deletion": Mutation(
        absence_in_a_list_is_deletion, replace(FAMILIES, list_from=1, capped_list=0.8), 12
    ),
    "not_found_is_believed_at_once": Mutation(
        not_found_is_believed_at_once, Mix(stale_read=0.6, creating=0.5), 0
    ),
    "coalescing_across_claims": Mutation(coalescing_across_claims, CROWDED, 5),
    "answered_before_the_commit": Mutation(answered_before_the_commit, Mix(web_killed=0.3), 7),
    "lease_is_ignored": Mutation(
        lease_is_ignored,
        replace(CROWDED, bad_reply=0.3, worker_stalled=0.5, max_attempts=2),
        2,
    ),
}
