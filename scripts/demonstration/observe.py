"""How far the triggers are, read from both databases without disturbing them.

In: the two SQLite files. Out: counts and the lag. The files are opened read-only, by SQL of the
demo's own: it sees what any onlooker could see.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote


@dataclass(frozen=True)
class Figures:
    """Counts of triggers along the path."""

    sent: int = 0  # deliveries with at least one attempt
    retried: int = 0  # deliveries with more than one
    failing: int = 0  # tried, not delivered yet
    delivered: int = 0
    on_their_way: int = 0  # waiting in the outbox, tried or not
    exhausted: int = 0
    received: int = 0  # triggers in the inbox
    applied: int = 0  # of these, the finished ones
    waiting: int = 0  # rows of the inbox that wait, verifications included
    dead: int = 0
    lag_s: float = 0.0  # age of the oldest trigger that has not taken effect yet

    @property
    def settled(self) -> bool:
        """Nothing is on its way any more."""
        return self.on_their_way == 0 and self.waiting == 0


@contextmanager
def open_read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that can only read. Raises sqlite3.Error when there is no database."""
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=5)) as connection:
        yield connection


def observe(local: sqlite3.Connection, external: sqlite3.Connection, now: datetime) -> Figures:
    """The figures at this moment."""
    # States are matched in any case: SQLAlchemy keeps an enumeration by its upper-case names.
    sent, retried, failing, delivered, on_their_way, exhausted, oldest_out = local.execute(
        """
        SELECT count(*) FILTER (WHERE attempt_count > 0),
               count(*) FILTER (WHERE attempt_count > 1),
               count(*) FILTER (WHERE attempt_count > 0 AND lower(state) = 'waiting'),
               count(*) FILTER (WHERE lower(state) = 'delivered'),
               count(*) FILTER (WHERE lower(state) = 'waiting'),
               count(*) FILTER (WHERE lower(state) = 'exhausted'),
               min(created_at) FILTER (WHERE lower(state) = 'waiting')
        FROM deliveries
        """
    ).fetchone()
    received, applied, waiting, dead, oldest_in = external.execute(
        """
        SELECT count(*) FILTER (WHERE cause = 'trigger'),
               count(*) FILTER (WHERE cause = 'trigger' AND lower(state) = 'done'),
               count(*) FILTER (WHERE lower(state) = 'waiting'),
               count(*) FILTER (WHERE lower(state) = 'dead'),
               min(received_at) FILTER (WHERE lower(state) = 'waiting')
        FROM inbox_triggers
        """
    ).fetchone()
    oldest = [_instant(text) for text in (oldest_out, oldest_in) if text]
    lag_s = max(0.0, (now - min(oldest)).total_seconds()) if oldest else 0.0
    return Figures(
        sent, retried, failing, delivered, on_their_way, exhausted,
        received, applied, waiting, dead, lag_s,
    )  # fmt: skip


def delivered_events(local: sqlite3.Connection) -> list[tuple[str, str]]:
    """Kinds and events of which at least one trigger was answered with 200, in lower case."""
    rows = local.execute(
        """
        SELECT DISTINCT lower(kind), lower(event) FROM deliveries
        WHERE lower(state) = 'delivered' ORDER BY 1, 2
        """
    )
    return [(kind, event) for kind, event in rows]


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
