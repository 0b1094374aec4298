"""Named points at which this process kills itself, for crash tests; off unless switched on.

In: `CRM_RECEIVER_FAILPOINT=T6-before`, or `T6-after:3` for the third time the point is
reached; several with commas. Out: nothing, or the end of this process by SIGKILL: no handler
runs, nothing is flushed, nobody is answered, as if the machine had lost its power. `before` stands
just before the commit, at T4 just before the one statement that commits itself; `after` just
behind it.

    T4   a trigger is stored                      killed before: no 200, 8x8 calls again
    T5   rows are claimed under a ticket          killed after: due again when the lease runs out
    T6   rows, audit, triggers done, all in one   killed before: none of it happened
"""

import os
import signal
from threading import Lock

POINTS = tuple(f"{commit}-{side}" for commit in ("T4", "T5", "T6") for side in ("before", "after"))

_armed: dict[str, int] = {}  # how often each point may still be reached, its own end included
_lock = Lock()


def parse(text: str) -> dict[str, int]:
    """Point to passing, 1 for the first; empty for an empty text. Raises ValueError, a sentence."""
    armed: dict[str, int] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, colon, passing = item.partition(":")
        if name not in POINTS:
            raise ValueError(f"{name} is no failpoint; there are {', '.join(POINTS)}")
        if colon and not (passing.isascii() and passing.isdigit() and int(passing)):
            raise ValueError(f"{item} must end with a number from 1, as in {name}:3")
        armed[name] = int(passing or 1)
    return armed


def arm(text: str) -> None:
    """Switch on what `parse` reads from the text, and everything else off."""
    with _lock:
        _armed.clear()
        _armed.update(parse(text))


def reach(name: str) -> None:
    """Called at the point; returns, unless the point is armed and this is its passing."""
    if not _armed:
        return
    with _lock:
        left = _armed[name] = _armed.get(name, 0) - 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
