"""What one claim asks of the CRM API, and when it stops asking (hop 7).

In: reads, from several threads. Out: their results, how many were made and how the API did.
After a refusal, a Retry-After, or so many failures in a row the rest of the claim is not asked:
an API that is down or wants us to wait is not called another hundred times first.
"""

import threading
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from external_crm.rows import Key
from receiver.crm_api import CrmApiError, NotAsked, Refused, Temporary

T = TypeVar("T")


class Calls:
    """The calls of one claim; `failing` are the records whose reads failed last, in a row."""

    def __init__(self, circuit_after: int) -> None:
        self.made = 0
        self.outcomes: Counter[str] = Counter()  # of the calls, for the metrics
        self.answered = False  # whether the API said anything at all, be it an error of its own
        self.failing: list[Key] = []
        self.reason = ""
        self.retry_after_s: float | None = None
        self.refused: Refused | None = None
        self._circuit_after = circuit_after
        self._lock = threading.Lock()

    def ask(self, key: Key, read: Callable[[], T]) -> T:
        """What the read returns. Raises CrmApiError: the read's own, or NotAsked."""
        with self._lock:
            if self._is_over():
                raise NotAsked(f"Not asked for. {self.reason}")
            self.made += 1
        try:
            result = read()
        except CrmApiError as error:
            self._note(key, error)
            raise
        self._note(key, None)
        return result

    def _is_over(self) -> bool:
        told = self.refused is not None or self.retry_after_s is not None
        return told or len(self.failing) >= self._circuit_after

    def _note(self, key: Key, error: CrmApiError | None) -> None:
        with self._lock:
            self.outcomes[_outcome(error)] += 1
            if isinstance(error, Temporary):
                self.failing.append(key)
                self.reason = str(error)
                if error.retry_after_s is not None:
                    self.retry_after_s = max(error.retry_after_s, self.retry_after_s or 0.0)
                return
            self.answered = True
            self.failing.clear()
            if isinstance(error, Refused):
                self.refused, self.reason = error, str(error)


def _outcome(error: CrmApiError | None) -> str:
    if error is None:
        return "answered"
    if isinstance(error, Temporary):
        return "failed"
    return "refused" if isinstance(error, Refused) else "unusable"
