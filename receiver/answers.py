"""What a claim's fetches brought: values between fetch and apply (hops 7 and 9)."""

from dataclasses import dataclass
from datetime import datetime

from external_crm.rows import Key, Kind, Row
from receiver.calls import Calls
from receiver.claims import Claim
from receiver.crm_api import CrmApiError
from receiver.plan import Fetch, hinted_parents


@dataclass(frozen=True)
class Answer:
    """What one fetch brought: a row, an absence, or an error; and when it was sent."""

    sent_at: datetime
    row: Row | None = None
    error: CrmApiError | None = None


@dataclass(frozen=True)
class Fetched:
    """A claim with the answers to its fetches, parents included.

    calls: what they say of the API; None in a part of a claim, for it is to be noted once.
    """

    claim: Claim
    fetches: tuple[Fetch, ...]
    answers: dict[Key, Answer]
    calls: Calls | None = None


def only(fetched: Fetched, fetch: Fetch) -> Fetched:
    """The part of a fetched claim that one record and its parents need."""
    keys = {fetch.key, *(p for p in hinted_parents(fetch) if p in fetched.answers)}
    for _ in Kind:  # as deep as parents can be
        rows = [fetched.answers[key].row for key in keys]
        keys |= {p for row in rows if row for p in row.parents if p in fetched.answers}
    fetches = tuple(
        f if f.key == fetch.key else _without_rows(f) for f in fetched.fetches if f.key in keys
    )
    return Fetched(fetched.claim, fetches, {key: fetched.answers[key] for key in keys})


def with_error(fetched: Fetched, key: Key, error: CrmApiError) -> Fetched:
    """The same claim, but for one record whose answer turned out to be of no use."""
    answer = Answer(fetched.answers[key].sent_at, error=error)
    return Fetched(fetched.claim, fetched.fetches, {**fetched.answers, key: answer})


def _without_rows(fetch: Fetch) -> Fetch:
    return Fetch(fetch.key, fetch.cause, on_behalf_of=fetch.rows + fetch.on_behalf_of)
