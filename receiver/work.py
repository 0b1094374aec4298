"""The worker process: ticks a Worker until a signal.

In: settings. Out: triggers brought to rows. Killed here: leases run out, steps repeat.
"""

import random
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeVar

import click
import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from external_crm.counter import draw
from external_crm.db import first_line, session_factory
from external_crm.json_lines import JsonLinesSink
from external_crm.rows import Policy
from external_crm.sink import Sink
from receiver import heartbeat, messenger, upkeep
from receiver.alarm import Bounds
from receiver.app import open_engine
from receiver.backoff import SCHEDULES, delay_s
from receiver.clock import SystemClock
from receiver.crm_api import CrmApi
from receiver.gate import Limits
from receiver.recording import going_on
from receiver.recording_transport import RecordingTransport
from receiver.records import Credentials
from receiver.retention import Ages
from receiver.settings import Settings
from receiver.settle import WorkerOptions
from receiver.transport import RequestsTransport, Transport
from receiver.worker import Worker

log = structlog.get_logger()

A = TypeVar("A")
B = TypeVar("B")


class Stop:
    """The wish to end. A threading.Event would not do: its `set` in a signal handler waits for
    ever for a lock that its `wait` holds in the same thread.
    """

    def __init__(self) -> None:
        self._wished: SimpleQueue[None] = SimpleQueue()
        self._is_set = False

    def set(self) -> None:
        """Wish it; a signal handler may."""
        self._is_set = True
        self._wished.put(None)

    def is_set(self) -> bool:
        """Whether it is wished; any thread may ask."""
        return self._is_set

    def wait(self, seconds: float) -> None:
        """Pause for so long, or until it is wished; for one thread."""
        if not self._is_set:
            with suppress(Empty):
                self._wished.get(timeout=seconds)


class Stopping(Exception):
    """The worker was asked to end in the midst of a batch, whose rows it gives back."""


def run(
    settings: Settings, slot: str | None = None, restarts: int = 0, *, until_idle: bool = False
) -> None:
    """Work until SIGTERM or Ctrl-C, or until nothing is due. Raises Misconfigured,
    DatabaseUnusable.

    slot, restarts: what the supervisor calls this worker, and how often it started it anew.
    """
    settings.check_work()
    engine = open_engine(settings)
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    transport = RequestsTransport(
        settings.crm_api_timeout_s, settings.crm_api_ca, settings.crm_api_max_mb * 1_000_000
    )
    life = heartbeat.beating(
        session_factory(engine), SystemClock(), heartbeat.own_name(slot), restarts
    )
    tending = upkeep.going_on(make_upkeep(settings, engine))
    with life, tending, ThreadPoolExecutor(settings.fetch_threads, "fetch") as pool:
        schedule = SCHEDULES[settings.schedule]
        rng = random.Random()  # noqa: S311 - jitter, not a secret
        options = WorkerOptions(
            schedule=schedule,
            batch_size=settings.batch_size,
            max_attempts=settings.max_attempts,
            list_from=settings.list_from,
            settle_after_s=settings.settle_after_s,
            limits=limits(settings),
            policy=policy(settings),
        )
        extending = partial(_extending, schedule.lease_s / 3)
        fetching = partial(_map_until, stop, pool)
        source, sink = make_source(settings, transport), make_sink(settings, engine)
        worker = Worker(engine, source, SystemClock(), rng, options, fetching, extending, sink)
        click.echo(f"Worker reads records from {settings.crm_api_url}.")
        failures = 0
        while not stop.is_set():
            try:
                busy = worker.run_once()
                failures = 0
            except Stopping:
                break
            except SQLAlchemyError as error:
                failures += 1
                reason = first_line(error)
                log.error("store unavailable", reason=reason)
                stop.wait(delay_s(failures, schedule, rng))
                continue
            except Exception as error:  # a worker that ends would take the web process along
                failures += 1
                log.error("failed", error=type(error).__name__, exc_info=error)
                stop.wait(delay_s(failures, schedule, rng))
                continue
            if not busy and until_idle:
                break
            if not busy:
                stop.wait(schedule.poll_s)
    transport.close()
    engine.dispose()


def limits(settings: Settings) -> Limits:
    """How hard all workers of these settings may call the CRM API."""
    return Limits(settings.circuit_after, settings.api_calls_per_s)


def policy(settings: Settings) -> Policy:
    """When a not-found is believed (later where answers may be old), and how many at most."""
    recheck_after_s = SCHEDULES[settings.schedule].recheck_after_s
    return Policy(
        max(recheck_after_s, settings.settle_after_s),
        settings.tombstone_limit,
        settings.tombstone_window_s,
    )


def make_upkeep(settings: Settings, engine: Engine) -> upkeep.Upkeep:
    """What a worker does beside its batches."""
    bounds = Bounds(settings.alarm_dead_above, settings.alarm_oldest_above_s)
    ages = Ages(settings.keep_done_days, settings.keep_dead_days, settings.keep_rejects_days)
    return upkeep.Upkeep(engine, SystemClock(), messenger.make(settings), bounds, ages)


def make_sink(settings: Settings, engine: Engine) -> Sink | None:
    """THE PLACE TO NAME ANOTHER CRM: where records go; None for the tables of external_crm."""
    if settings.json_lines is None:
        return None
    sessions = session_factory(engine)

    def draw_committed() -> int:
        with sessions.begin() as session:
            return draw(session)

    return JsonLinesSink(settings.json_lines, draw_committed)


def _map_until(
    stop: Stop, pool: ThreadPoolExecutor, read: Callable[[A], B], what: Iterable[A]
) -> Iterable[B]:
    """Fetch in threads; raises Stopping once `stop` is set, after the calls that are under way."""

    def unless_stopped(one: A) -> B:
        if stop.is_set():
            raise Stopping("The worker was stopped before it had read the record.")
        return read(one)

    return pool.map(unless_stopped, what)


@contextmanager
def _extending(every_s: float, extend: Callable[[], None]) -> Iterator[None]:
    """Extend a lease every so often while a batch is on the network."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(every_s):
            try:
                extend()
            except SQLAlchemyError:
                log.warning("lease not extended", reason="The database does not answer.")

    thread = threading.Thread(target=beat, name="lease")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def make_source(settings: Settings, transport: Transport) -> CrmApi:
    """The CRM API's client, with the credentials of the settings; written down where
    `crm-receiver record` started this process.
    """
    recording = going_on(settings, SystemClock())
    if recording is not None:
        transport = RecordingTransport(transport, recording)
    return CrmApi(transport, settings.crm_api_url, credentials_of(settings), settings.refused_codes)


def credentials_of(settings: Settings) -> Credentials:
    """What the CRM API asks for."""
    return Credentials(
        tenant=settings.tenant,
        username=settings.username,
        password=settings.password.get_secret_value(),
        api_key=settings.api_key.get_secret_value(),
    )
