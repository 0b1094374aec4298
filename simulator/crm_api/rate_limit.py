"""How often the CRM API may be called (api.rate-limit): off unless the setting says a number.

In: now. Out: nothing, or TooManyRequests with the seconds to wait. Killed here: counting begins
anew.
"""

import math
from collections import deque
from datetime import datetime, timedelta
from threading import Lock

from simulator.crm_api.errors import TooManyRequests

_WINDOW = timedelta(minutes=1)


class RateLimit:
    """At most so many calls in any minute. A refused call does not count."""

    def __init__(self) -> None:
        self._calls: deque[datetime] = deque()
        self._lock = Lock()

    def check(self, now: datetime, per_minute: int) -> None:
        """Count a call, or raise TooManyRequests; 0 a minute is no limit."""
        if not per_minute:
            return
        with self._lock:
            # A reset may set the clock back: what is later than now was before it.
            while self._calls and not now - _WINDOW < self._calls[0] <= now:
                self._calls.popleft()
            if len(self._calls) >= per_minute:
                wait = self._calls[0] + _WINDOW - now
                raise TooManyRequests(max(1, math.ceil(wait.total_seconds())))
            self._calls.append(now)
