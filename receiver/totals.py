"""How often something happened, for what no row remains to be counted.

In: a session and a tally. Out: rows, added to in the caller's transaction, so that a total is
what the database holds, whichever processes run. Call it last: workers wait here for each other.
Names and labels are few and known; none comes from a trigger or a reply.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from receiver.models import Total

Tally = Counter[tuple[str, str]]  # (name, label) to how much is added

APPLIED, RETRIED, OVERTAKEN, DIED = "applied", "retried", "overtaken", "died"
REJECTED, FORGOTTEN, API_CALLS = "rejected", "forgotten", "api calls"
LAG, LAG_SUM = "lag", "lag sum"
LAG_BOUNDS_S = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86_400.0)


def add(session: Session, tally: Mapping[tuple[str, str], float]) -> None:
    """Add to the totals, in an order that all writers share."""
    rows = [
        {"name": name, "label": label, "value": float(value)}
        for (name, label), value in sorted(tally.items())
        if value
    ]
    if not rows:
        return
    on_postgresql = session.get_bind().dialect.name == "postgresql"
    insert = (postgresql.insert if on_postgresql else sqlite.insert)(Total)
    added = {"value": Total.value + insert.excluded.value}
    session.execute(
        insert.on_conflict_do_update(index_elements=["name", "label"], set_=added), rows
    )


def note_lag(tally: Tally, lag: timedelta) -> None:
    """One trigger that took so long from its arrival to its row."""
    seconds = max(0.0, lag.total_seconds())
    bound = next((bound for bound in LAG_BOUNDS_S if seconds <= bound), None)
    tally[LAG, "+Inf" if bound is None else f"{bound:g}"] += 1
    tally[LAG_SUM, "milliseconds"] += round(seconds * 1000)


def read(session: Session) -> dict[str, dict[str, float]]:
    """All totals: name to label to value."""
    found: dict[str, dict[str, float]] = {}
    for row in session.scalars(select(Total)):
        found.setdefault(row.name, {})[row.label] = row.value
    return found
