"""Writes each call of a trigger URL into the journal, as it begins and as it ends.

In: a claimed delivery and what sends. Out: the Outcome, unchanged; an entry without secrets: a
reply that repeats one does not bring it in either. Killed here: the entry is gone with the journal.
"""

from collections.abc import Callable
from dataclasses import replace

from simulator.journal import REDACTED, Journal, SentTrigger
from simulator.triggers.outbox import ClaimedDelivery
from simulator.triggers.outcome import Outcome
from simulator.triggers.urls import without_secrets

_TOO_SHORT_TO_SEARCH = 4  # characters: they would be found in every other word


class Journalled:
    """What stands between a dispatcher and its sender; any thread may call."""

    def __init__(self, journal: Journal, method: str) -> None:
        self._journal = journal
        self.method = method

    def call(self, claimed: ClaimedDelivery, send: Callable[[str], Outcome]) -> Outcome:
        """What came of calling the delivery's URL once."""
        url, secrets = without_secrets(claimed.url, REDACTED)
        trigger = SentTrigger(
            claimed.id,
            f"{claimed.kind} {claimed.event}",
            claimed.record_id,
            self.method,
            url,
        )
        number = self._journal.begin(trigger)
        outcome = send(claimed.url)
        ended = replace(
            trigger,
            status=outcome.status,
            error=outcome.error,
            reply_excerpt=_without(secrets, outcome.reply_excerpt),
            duration_ms=outcome.duration_ms,
        )
        self._journal.put(number, ended, ended=True)
        return outcome


def _without(secrets: list[str], text: str) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) > _TOO_SHORT_TO_SEARCH:
            text = text.replace(secret, REDACTED)
    return text
