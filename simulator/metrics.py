"""Figures about a running simulator, in the words of Prometheus.

In: the log of events, which tells of every attempt, CRM API call and fault; at each reading the
database, for what stands there now. Out: text in Prometheus' format. Killed here: the counters
begin at 0 again, as Prometheus expects; the gauges are read anew.

The registry belongs to one simulator, so that several in one process do not mix. Every label has
a fixed set of values: what callers make up is counted as `other`.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine, func, select

from simulator.clock import Clock
from simulator.db import UtcDateTime, read_connection
from simulator.events import LoggedEvent, What
from simulator.local_crm.models import MODELS
from simulator.objects import Kind
from simulator.triggers.models import Delivery, DeliveryState

_ACTIONS = ("Get", "Add", "Modify")
_OTHER = "other"


class Metrics:
    """All figures of one simulator; any thread may count and read."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._registry = CollectorRegistry()
        self._attempts = Counter(
            "crm_simulator_attempts",
            "Calls of trigger URLs: delivered, failed (another answer) or unanswered.",
            ["outcome"],
            registry=self._registry,
        )
        self._api_calls = Counter(
            "crm_simulator_crm_api_calls",
            "CRM API calls: answered, refused (an error reply), failed (not HTTP 200) or faulted.",
            ["kind", "action", "outcome"],
            registry=self._registry,
        )
        self._faults = Counter(
            "crm_simulator_faults_fired",
            "Calls that a fault has hit.",
            ["fault"],
            registry=self._registry,
        )
        self._registry.register(_Standing(engine, clock))

    def count(self, event: LoggedEvent) -> None:
        """Something happened."""
        match event.what:
            case What.ATTEMPT_ENDED:
                self._attempts.labels(_attempt_outcome(event)).inc()
            case What.API_CALLED:
                kind, action = event.id.partition(" ")[0], str(event.about.get("action"))
                self._api_calls.labels(
                    kind if kind in list(Kind) else _OTHER,
                    action if action in _ACTIONS else _OTHER,
                    _call_outcome(event),
                ).inc()
            case What.FAULT_FIRED:
                self._faults.labels(str(event.about.get("fault"))).inc()

    def text(self) -> bytes:
        """All figures as they are now."""
        return generate_latest(self._registry)


class _Standing(Collector):
    """What is read from the database when somebody asks."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def describe(self) -> list[Metric]:
        """Nothing: registering must not read the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Deliveries by state, the age of the oldest that waits, records by kind."""
        with read_connection(self._engine) as reading:
            states = {
                row[0]: row[1]
                for row in reading.execute(
                    select(Delivery.state, func.count()).group_by(Delivery.state)
                )
            }
            oldest = reading.scalar(
                select(func.min(Delivery.created_at, type_=UtcDateTime)).where(
                    Delivery.state == DeliveryState.WAITING
                )
            )
            counts = {
                kind: reading.scalar(select(func.count()).select_from(model)) or 0
                for kind, model in MODELS.items()
            }
        age_s = 0.0 if oldest is None else (self._clock.now() - oldest).total_seconds()
        deliveries = GaugeMetricFamily(
            "crm_simulator_deliveries", "Deliveries by state.", labels=["state"]
        )
        for state in DeliveryState:
            deliveries.add_metric([state], states.get(state, 0))
        yield deliveries
        yield GaugeMetricFamily(
            "crm_simulator_oldest_waiting_seconds",
            "Age of the oldest waiting delivery by the simulator's clock; 0 for none.",
            value=max(0.0, age_s),
        )
        records = GaugeMetricFamily(
            "crm_simulator_records", "Records in the Local CRM.", labels=["kind"]
        )
        for kind, count in counts.items():
            records.add_metric([kind], count)
        yield records


def _attempt_outcome(event: LoggedEvent) -> str:
    if event.about.get("delivered"):
        return "delivered"
    return "unanswered" if event.about.get("status") is None else "failed"


def _call_outcome(event: LoggedEvent) -> str:
    if event.about.get("fault") is not None:
        return "faulted"
    if event.about.get("error_code") is not None:
        return "refused"
    return "answered" if event.about.get("http_status") == 200 else "failed"
