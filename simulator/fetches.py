"""Which records were read over the CRM API since they last changed.

In: committed changes, and reads with the mark that was taken before they began. Out: whether a
record's present state was fetched. Killed here: nothing counts as fetched any more.

The clock cannot tell: while it stands still a change and a read have the same instant.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from threading import Lock

# Records that are remembered; of older ones it is not known that they were fetched.
_CHANGED_KEPT = 100_000
_READ_KEPT = 10_000  # of those that did not change: one list may give all there are


@dataclass
class _Marks:
    changed: int = 0
    read: int = 0


class Fetches:
    """Keys are `events` ids: "Customer 10000000"."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.reset()

    def mark(self) -> int:
        """To be taken before a read looks at the database."""
        with self._lock:
            return next(self._marks)

    def changed(self, key: str) -> None:
        """A change of the record was committed; what began to read earlier has not seen it."""
        with self._lock:
            _keep(self._changed, key, _Marks(changed=next(self._marks)), _CHANGED_KEPT)

    def read(self, keys: Iterable[str], mark: int) -> None:
        """Records, there or gone, were given to a caller who began to read at `mark`."""
        with self._lock:
            for key in keys:
                marks = self._changed.get(key)
                if marks is None:
                    _keep(self._unchanged, key, _Marks(read=mark), _READ_KEPT)
                else:
                    marks.read = max(marks.read, mark)

    def is_fetched(self, key: str) -> bool:
        """Whether somebody has read the record as it is now."""
        with self._lock:
            marks = self._changed.get(key) or self._unchanged.get(key)
            return marks is not None and marks.read > marks.changed

    def reset(self) -> None:
        """Begin anew."""
        with self._lock:
            self._marks = count(1)
            self._changed: OrderedDict[str, _Marks] = OrderedDict()
            self._unchanged: OrderedDict[str, _Marks] = OrderedDict()


def _keep(marks: OrderedDict[str, _Marks], key: str, value: _Marks, at_most: int) -> None:
    marks[key] = value
    marks.move_to_end(key)
    if len(marks) > at_most:
        marks.popitem(last=False)
