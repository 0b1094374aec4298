"""The worker process: ticks a Worker until a signal.

In: settings. Out: triggers brought to rows. Killed here: leases run out, steps repeat.
"""

import gc
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from functools import partial
from queue import Empty, SimpleQueue

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
from receiver.courtesy import Courtesy
from receiver.crm_api import CrmApi
from receiver.gate import Limits
from receiver.one_core import worker_on_one_core
from receiver.pipeline import Pipeline, ReadingThreads, Stopping, extending
from receiver.recording import going_on
from receiver.recording_transport import RecordingTransport
from receiver.records import Credentials
from receiver.retention import Ages
from receiver.settings import PREFIX, Misconfigured, Settings
from receiver.settle import WorkerOptions
from receiver.transport import HttpTransport, Transport
from receiver.worker import Worker

log = structlog.get_logger()


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
    transport = HttpTransport(
        settings.crm_api_timeout_s, settings.crm_api_ca, settings.crm_api_max_mb * 1_000_000
    )
    cores = worker_on_one_core(slot) if settings.one_core else nullcontext()
    life = heartbeat.beating(
        session_factory(engine), SystemClock(), heartbeat.own_name(slot), restarts
    )
    tending = upkeep.going_on(make_upkeep(settings, engine))
    fetching = ReadingThreads(settings.fetch_threads, stop.is_set)
    with cores, _without_old_garbage(), life, tending, closing(fetching):
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
        keeping = partial(extending, schedule.lease_s / 3)
        source, sink = make_source(settings, transport), make_sink(settings, engine)
        worker = Worker(engine, source, SystemClock(), rng, options, fetching, keeping, sink)
        click.echo(f"Worker reads records from {settings.crm_api_url}.")
        courtesy = Courtesy(engine, settings.batch_size)
        with Pipeline(worker, fetching.pausing, courtesy) as pipeline:
            _go_on(
                pipeline,
                stop,
                partial(delay_s, schedule=schedule, rng=rng),
                until_idle,
                schedule.poll_s,
            )
    transport.close()
    engine.dispose()


@contextmanager
def _without_old_garbage() -> Iterator[None]:
    """What is there now stays, so nobody looks through it for garbage.

    Each such look takes a tenth of a second, on SQLite with everybody else kept from writing.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _go_on(
    pipeline: Pipeline,
    stop: Stop,
    delay_after: Callable[[int], float],
    until_idle: bool,
    poll_s: float,
) -> None:
    """Step by step until it is wished to stop, whatever goes wrong on the way."""
    failures = 0
    while not stop.is_set():
        try:
            is_busy = pipeline.step()
            failures = 0
        except Stopping:
            break
        except SQLAlchemyError as error:
            log.error("store unavailable", reason=first_line(error))
        except Exception as error:  # a worker that ends would take the web process along
            log.error("failed", error=type(error).__name__, exc_info=error)
        else:
            if is_busy:
                continue
            if until_idle:
                break
            stop.wait(poll_s)
            continue
        failures += 1
        stop.wait(delay_after(failures))
    try:
        pipeline.finish()
    except SQLAlchemyError as error:
        log.error("store unavailable", reason=first_line(error))
    except Exception as error:  # its rows were given back, and nobody is left to tell but the log
        log.error("failed", error=type(error).__name__, exc_info=error)


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
    """THE PLACE TO NAME ANOTHER CRM: where records go; None for the tables of external_crm.

    Raises Misconfigured.
    """
    if settings.json_lines is None:
        return None
    sessions = session_factory(engine)

    def draw_committed() -> int:
        with sessions.begin() as session:
            return draw(session)

    try:
        return JsonLinesSink(settings.json_lines, draw_committed)
    except OSError as error:
        raise Misconfigured(
            f"{PREFIX}JSON_LINES {settings.json_lines} cannot be a folder: {error.strerror}."
        ) from None


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
