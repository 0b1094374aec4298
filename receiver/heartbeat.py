"""Signs of life: each worker says every few seconds that it is there, /readyz looks at them.

In: a worker's name. Out: its row, as long as the process lives. Killed here: the row grows old,
and after a while whoever beats next removes it.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
from sqlalchemy import delete
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from receiver import ticking
from receiver.clock import Clock
from receiver.models import Heartbeat

log = structlog.get_logger()

BEAT_EVERY_S = 2.0
ALIVE = timedelta(seconds=8)  # a worker that has been silent for longer is taken for dead
_FORGOTTEN = timedelta(minutes=10)  # renamed, or its machine is gone


def own_name(slot: str | None) -> str:
    """This process among all workers on the database; `slot` survives a restart."""
    return f"{socket.gethostname()}/{slot or os.getpid()}"[:64]


@contextmanager
def beating(
    sessions: sessionmaker[Session], clock: Clock, name: str, restarts: int
) -> Iterator[None]:
    """Beat while this is entered; the row goes when it is left in an orderly way."""
    row = {"name": name, "started_at": clock.now(), "restarts": restarts}

    def beat() -> None:
        now = clock.now()
        with sessions.begin() as session:
            session.merge(Heartbeat(**row, beat_at=now))
            session.execute(delete(Heartbeat).where(Heartbeat.beat_at < now - _FORGOTTEN))

    try:
        with ticking.every(BEAT_EVERY_S, beat, "beat", "no heartbeat"):
            yield
    finally:
        try:
            with sessions.begin() as session:
                session.execute(delete(Heartbeat).where(Heartbeat.name == name))
        except SQLAlchemyError as error:
            log.warning("heartbeat not removed", reason=type(error).__name__)
