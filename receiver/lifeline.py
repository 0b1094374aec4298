"""How a process ends with the one that started it, even where that one is killed with SIGKILL.

In: a pipe whose other end only the parent holds. Out: the end of this process as soon as the
pipe closes. What it held is given back by time: connections break, leases run out.
"""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable


def tie_to_stdin() -> None:
    """End when standard input does; for a child whose parent holds the writing end."""
    _watch(lambda: os.read(sys.stdin.fileno(), 1))


def tie_to_parent_process() -> None:
    """End with the process that started this one through multiprocessing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        _watch(parent.join)


def _watch(wait: Callable[[], object]) -> None:
    def end() -> None:
        wait()
        os._exit(1)  # at once: nobody is left to wait for what is in flight

    threading.Thread(target=end, name="lifeline", daemon=True).start()
