"""/livez and /readyz: whether the process runs, and whether triggers will become rows.

In: a request. Out: /livez: 200 whenever it is answered at all; /readyz: JSON, with 200 or, where
something is wrong, with 503 and a sentence for each problem. A load balancer asks /livez: a
receiver whose worker is dead still stores triggers, and must be sent them. A monitor asks
/readyz. Both are answered to everybody and tell no secret and no record.
"""

from dataclasses import asdict, dataclass, field
from datetime import datetime

from flask import Blueprint, Response, current_app, jsonify
from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from external_crm.db import DatabaseUnusable, NotMigrated, first_line, read_session
from receiver import inbox
from receiver.clock import Clock
from receiver.db import check_tables
from receiver.heartbeat import ALIVE
from receiver.models import Heartbeat

blueprint = Blueprint("health", __name__)
EXTENSION = "crm_receiver_health"


@dataclass(frozen=True)
class Subject:
    """What is looked at; kept in the app's extensions."""

    engine: Engine
    clock: Clock


@dataclass(frozen=True)
class WorkerLife:
    """One worker's last sign of life."""

    name: str
    alive: bool
    silent_s: float
    up_s: float
    restarts: int


@dataclass
class Health:
    """What /readyz shows."""

    problems: list[str] = field(default_factory=list)
    workers: list[WorkerLife] = field(default_factory=list)
    oldest_waiting_s: float | None = None  # since it was received; None: nothing waits


@blueprint.get("/livez")
def livez() -> Response:
    """Whether anybody answers."""
    return Response("Alive.\n", mimetype="text/plain")


@blueprint.get("/readyz")
def readyz() -> Response:
    """Whether triggers will become rows."""
    subject: Subject = current_app.extensions[EXTENSION]
    health = examine(subject.engine, subject.clock.now())
    response = jsonify(ready=not health.problems, **asdict(health))
    response.status_code = 503 if health.problems else 200
    response.headers["Cache-Control"] = "no-store"
    return response


def examine(engine: Engine, now: datetime) -> Health:
    """Look at the store, its tables, the workers and what waits."""
    health = Health()
    try:
        check_tables(engine.execution_options(read_only=True))
        with read_session(engine) as session:
            _look_at_workers(health, session, now)
            oldest = inbox.oldest_waiting(session)
    except NotMigrated as error:
        health.problems.append(str(error))
    except (DatabaseUnusable, SQLAlchemyError) as error:
        reason = first_line(getattr(error.__cause__ or error, "orig", None) or error)
        health.problems.append(f"The store cannot be reached: {reason}.")
    else:
        if oldest is not None:
            health.oldest_waiting_s = _seconds(oldest, now)
    return health


def _look_at_workers(health: Health, session: Session, now: datetime) -> None:
    for row in session.scalars(select(Heartbeat).order_by(Heartbeat.name)):
        alive = now - row.beat_at <= ALIVE
        silent_s, up_s = _seconds(row.beat_at, now), _seconds(row.started_at, now)
        health.workers.append(WorkerLife(row.name, alive, silent_s, up_s, row.restarts))
        if not alive:
            health.problems.append(f"Worker {row.name} has been silent for {silent_s:.0f} s.")
    if not health.workers:
        health.problems.append("No worker runs: triggers are stored, but none becomes a row.")


def _seconds(since: datetime, now: datetime) -> float:
    return round(max(0.0, (now - since).total_seconds()), 1)
