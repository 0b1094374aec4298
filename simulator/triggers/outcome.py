"""What came of one call of a trigger URL: a value, from the sender to the outbox."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """`status` is None when no complete answer came; `error` is a sentence unless delivered."""

    status: int | None
    error: str | None
    reply_excerpt: str  # the beginning of the answer's body
    duration_ms: float

    @property
    def delivered(self) -> bool:
        """Success is exactly 200, completely received."""
        return self.status == 200 and self.error is None
