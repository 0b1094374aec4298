"""What the pages of Agent Console read.

In: a read session and what the page is about. Out: rows; nothing is changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from simulator.agent_console import cells
from simulator.agent_console.cells import Row
from simulator.agent_console.screens import OF_KIND, Screen
from simulator.db import count_to_most
from simulator.local_crm import walk
from simulator.local_crm.models import Agent, RecordVersion
from simulator.triggers.models import Delivery

SHOWN_AT_MOST = 20  # children, versions and deliveries on a record's page


@dataclass(frozen=True)
class Children:
    """Records that hang on a record: the newest of them, and how many there are."""

    screen: Screen
    rows: Sequence[Row]
    total: int  # more than `db.MOST_COUNTED`: that many at least


def all_agents(session: Session) -> Sequence[Agent]:
    """All agents, by id."""
    return session.scalars(select(Agent).order_by(Agent.agent_id)).all()


def children_of(session: Session, screen: Screen, record_id: str) -> list[Children]:
    """What hangs on a record, kind by kind."""
    found = []
    for kind in screen.children:
        rows = walk.newest(kind, screen.number, record_id)
        shown = session.scalars(rows.limit(SHOWN_AT_MOST)).all()
        found.append(
            Children(OF_KIND[kind], cells.rows(OF_KIND[kind], shown), count_to_most(session, rows))
        )
    return found


def latest_versions(session: Session, screen: Screen, record_id: str) -> Sequence[RecordVersion]:
    """The newest versions of a record, the newest first."""
    return session.scalars(
        select(RecordVersion)
        .where(RecordVersion.kind == screen.kind, RecordVersion.record_id == record_id)
        .order_by(RecordVersion.version.desc())
        .limit(SHOWN_AT_MOST)
    ).all()


def latest_deliveries(session: Session, screen: Screen, record_id: str) -> Sequence[Delivery]:
    """The newest deliveries about a record, the newest first."""
    return session.scalars(
        select(Delivery)
        .where(Delivery.kind == screen.kind, Delivery.record_id == record_id)
        .order_by(Delivery.id.desc())
        .limit(SHOWN_AT_MOST)
    ).all()
