"""What came of one call of a trigger URL: a value, from the sender to the outbox."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """`status` is None when no complete answer came; `error` is a sentence unless delivered."""

    status: int | None
    error: str | None
    reply_excerpt: str  # the beginning of the answer's body
    duration_ms: float
    retry: bool = True  # False: a failure is not tried again
    method: str | None = None  # of the request; None when none was sent
    fault: str | None = None  # the one that hit the call

    @property
    def delivered(self) -> bool:
        """Success is an answer that counts (exactly 200, trigger.failures), received whole."""
        return self.status is not None and self.error is None
