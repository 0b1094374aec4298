"""Does something every so often in a thread of its own, while something else goes on.

In: what to do. Out: it is done, again and again, until the other thing is over. A tick that fails
is said and the next one comes all the same: nobody would notice that its thread had ended.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy.exc import SQLAlchemyError

from external_crm.db import first_line

log = structlog.get_logger()


@contextmanager
def every(
    seconds: float,
    tick: Callable[[], None],
    name: str,
    missed: str,
    *,
    at_once: bool = True,
    waits_s: float | None = None,
) -> Iterator[None]:
    """Tick while this is entered.

    name: of the thread. missed: what the log says when the database does not answer. at_once: else
    the first tick comes later. waits_s: how long to wait for the last tick, None: to its end.
    """
    ended = threading.Event()

    def go_on() -> None:
        is_over = not at_once and ended.wait(seconds)
        while not is_over:
            try:
                tick()
            except SQLAlchemyError as error:
                log.warning(missed, reason=first_line(error))
            except Exception as error:
                log.error("failed", error=type(error).__name__, exc_info=error)
            is_over = ended.wait(seconds)

    thread = threading.Thread(target=go_on, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(waits_s)
