"""/metrics: figures for Prometheus, computed from the database when they are asked for.

In: a request. Out: the text format; they are the same whichever process answers, and outlast all
of them. A store that is away is a figure too. Labels are few and known: no record, no secret.
"""

from collections.abc import Iterator
from datetime import datetime

from flask import Blueprint, Response, current_app
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from external_crm.db import DatabaseUnusable, read_session
from external_crm.rows import FINISHING
from receiver import counts, gate, health, holds, inbox, totals
from receiver.heartbeat import ALIVE
from receiver.models import Heartbeat, Hold, State

blueprint = Blueprint("metrics", __name__)

_STATES = ("waiting", "retrying", "settling", "dead", "dropped")
_HOLDS = (gate.CIRCUIT, gate.CREDENTIALS, holds.TOMBSTONES)


@blueprint.get("/metrics")
def metrics() -> Response:
    """All figures."""
    subject: health.Subject = current_app.extensions[health.EXTENSION]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(subject))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class _Figures(Collector):
    def __init__(self, subject: health.Subject) -> None:
        self._subject = subject

    def collect(self) -> Iterator[Metric]:
        """One after the other, all of one moment."""
        try:
            with read_session(self._subject.engine) as session:
                found = list(_look(session, self._subject.clock.now()))
        except (DatabaseUnusable, SQLAlchemyError):
            found = []
        yield _gauge("store_up", "Whether the database could be read.", float(bool(found)))
        yield from found


def _look(session: Session, now: datetime) -> Iterator[Metric]:
    known = totals.read(session)

    def total(name: str) -> float:
        return sum(known.get(name, {}).values())

    found = counts.read(session)
    received = total(totals.APPLIED) + found.unfinished_triggers + total(totals.FORGOTTEN)
    yield _counter("received", "Triggers stored.", received)
    outcomes = {outcome.value: 0.0 for outcome in FINISHING} | known.get(totals.APPLIED, {})
    yield _counter("applied", "Triggers that took effect.", outcomes, "outcome")
    yield _counter("retried", "Reads to be tried again after a failure.", total(totals.RETRIED))
    yield _counter("overtaken", "Reads overtaken by a later write.", total(totals.OVERTAKEN))
    yield _counter("died", "Triggers given up, replayed ones again.", total(totals.DIED))
    yield _counter("rejected", "Requests that were no triggers.", total(totals.REJECTED))
    calls = dict.fromkeys(("answered", "failed", "refused", "unusable"), 0.0)
    calls |= known.get(totals.API_CALLS, {})
    yield _counter("api_calls", "Calls of the CRM API.", calls, "outcome")
    yield _lag(known)
    yield _gauge("triggers", "Rows of the inbox that are not done.", _states(found), "state")
    oldest = inbox.oldest_waiting(session)
    age_s = max(0.0, (now - oldest).total_seconds()) if oldest else 0.0
    yield _gauge("oldest_waiting_seconds", "Age of the oldest waiting trigger; 0: none.", age_s)
    held = set(session.scalars(select(Hold.name)))
    holds = {name: float(name in held) for name in _HOLDS}
    yield _gauge("on_hold", "Whether this is stopped.", holds, "what")
    alive = select(func.count()).select_from(Heartbeat).where(Heartbeat.beat_at >= now - ALIVE)
    yield _gauge("workers_alive", "Workers that showed a sign of life.", session.scalar(alive) or 0)


def _states(found: counts.Counts) -> dict[str, float]:
    numbers = (
        found.waiting,
        found.retrying,
        found.settling,
        found.number(State.DEAD),
        found.number(State.DROPPED),
    )
    return dict(zip(_STATES, map(float, numbers), strict=True))


def _lag(known: dict[str, dict[str, float]]) -> Metric:
    counts, buckets, so_far = known.get(totals.LAG, {}), [], 0.0
    for label in [*(f"{bound:g}" for bound in totals.LAG_BOUNDS_S), "+Inf"]:
        so_far += counts.get(label, 0.0)
        buckets.append((label, so_far))
    seconds = sum(known.get(totals.LAG_SUM, {}).values()) / 1000
    about = "Seconds from a trigger's arrival to its effect."
    return HistogramMetricFamily("crm_receiver_lag_seconds", about, buckets, seconds)


Value = float | dict[str, float]


def _counter(name: str, about: str, value: Value, label: str = "") -> Metric:
    family = CounterMetricFamily(f"crm_receiver_{name}", about, labels=[label] if label else [])
    return _filled(family, value)


def _gauge(name: str, about: str, value: Value, label: str = "") -> Metric:
    family = GaugeMetricFamily(f"crm_receiver_{name}", about, labels=[label] if label else [])
    return _filled(family, value)


def _filled(family: CounterMetricFamily | GaugeMetricFamily, value: Value) -> Metric:
    by_label = sorted(value.items()) if isinstance(value, dict) else [("", value)]
    for label, number in by_label:
        family.add_metric([label] if label else [], number)
    return family
