"""Triggers brought to rows, against the naive script and against a Celery task per trigger.

In: quick or not. Out: how many triggers a second each brings to rows of the External CRM, where
every trigger names another record and where ten name each, the ten spread evenly over the backlog.

All read their records from the same canned CRM API, the same bytes for each, and write to a SQLite
file of their own. The receiver and Celery drain a backlog that was there before they started, and
are timed from the first row that is seen to the last. The naive script has no backlog: it is timed
under wrk's load. A second table reads from the real simulator instead, which costs its own time.
"""

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import fmean, median

from sqlalchemy import Engine, text

from external_crm.db import MIGRATIONS as EXTERNAL_CRM_MIGRATIONS
from external_crm.db import make_engine, read_session, session_factory
from receiver import inbox
from receiver.db import MIGRATIONS
from receiver.inbox import Arrival
from receiver.trigger import Trigger, parse
from scripts.benchmarks import rounds, wrk
from scripts.benchmarks.canned import naive_table
from scripts.benchmarks.local_crm import Server, fill
from scripts.benchmarks.processes import SECRET, canned, cpu_seconds, postgresql, process
from scripts.benchmarks.report import Result
from simulator.local_crm.changes import FIRST_NUMBER

LEAST_DISTINCT = 5.0
LEAST_TENFOLD = 25.0
PATIENCE_S = 300.0  # for a backlog to be drained
_LOOK_EVERY_S = 0.02
_CREDENTIALS = {"TENANT": "demo", "USERNAME": "crmapi", "PASSWORD": "crmapi-demo"}


@dataclass(frozen=True)
class Backlog:
    """How many triggers wait, and how many records they name."""

    triggers: int
    names: int
    first_id: int = 10_000_000

    def account_id(self, number: int) -> str:
        """Of one trigger. Records come in turn, so that those of one are far from each other."""
        return str(self.first_id + number % self.names)


@dataclass
class Candidate:
    """Something that brings triggers to rows, and how many a second in each round."""

    name: str
    measure: Callable[[Backlog], float]
    naive: "Candidate | None" = None  # what it is compared with; itself where there is none
    per_second: dict[str, list[float]] = field(default_factory=dict)


def run(quick: bool) -> Result:
    """Measure. Quick: three rounds of smaller backlogs on SQLite, without Celery."""
    wrk.check()
    number = 3 if quick else rounds.ROUNDS
    backlogs = {
        "distinct": Backlog(1_500, 1_500) if quick else Backlog(4_000, 4_000),
        "tenfold": Backlog(8_000, 800) if quick else Backlog(20_000, 2_000),
    }
    result = Result(
        "sync",
        "Triggers brought to rows",
        ("what", "records named", "triggers a second", "naive script on that database = 1"),
        notes=_notes(number, backlogs),
        versions=[wrk.version()],
    )
    with tempfile.TemporaryDirectory(prefix="bench-sync-") as folder, ExitStack() as stack:
        scratch = Path(folder)
        api = stack.enter_context(canned("crm-api"))
        naive = Candidate("naive script, SQLite", lambda b: _naive(_sqlite(scratch), api, b, quick))
        tuned = Candidate(
            "the same, session kept",
            lambda b: _naive(_sqlite(scratch), api, b, quick, "tuned"),
            naive,
        )
        receiver = Candidate(
            "receiver, SQLite", lambda b: _receiver(_sqlite(scratch), api, b)[0], naive
        )
        candidates = [naive, tuned, receiver]
        with postgresql(result.versions) as found:
            there = found is not None
        if there and not quick:
            naive_there = Candidate("naive script, PostgreSQL", partial(_naive_on_postgresql, api))
            candidates += [
                naive_there,
                Candidate("receiver, PostgreSQL", partial(_on_postgresql, api), naive_there),
            ]
        for _ in range(number):
            for kind, backlog in backlogs.items():
                for one in candidates:
                    one.per_second.setdefault(kind, []).append(one.measure(backlog))
        of_celery = None
        for one in candidates:
            _tell(result, one)
        if not quick:
            # Between two rounds of the receiver's own, since the machine's pace drifts.
            beside = [receiver.measure(backlogs["distinct"])]
            celery = _celery(scratch, api, backlogs["distinct"])
            beside.append(receiver.measure(backlogs["distinct"]))
            if celery is not None:
                of_celery = fmean(beside) / celery
                result.rows += [
                    ("Celery, Redis", "distinct", f"{celery:.0f}", ""),
                    ("receiver, SQLite, next to it", "distinct", f"{fmean(beside):.0f}", ""),
                ]
        _gate(result, receiver, naive, of_celery)
        result.notes += _with_simulator(scratch, quick)
    return result


def _notes(number: int, backlogs: Mapping[str, Backlog]) -> list[str]:
    distinct, tenfold = backlogs["distinct"], backlogs["tenfold"]
    return [
        f"Medians of {number} interleaved rounds, with the least and the most. distinct: "
        f"{distinct.triggers:,} triggers, each of another customer. tenfold: {tenfold.triggers:,} "
        f"triggers of {tenfold.names:,} customers. One worker process as delivered (8 fetch "
        "threads, full durability, audit trail), one canned CRM API for all; after each round the "
        "rows were counted. Celery: one run, two processes, between two rounds of the receiver.",
        "",
        f"Gates: distinct at least {LEAST_DISTINCT:g} times the naive script and Celery, tenfold "
        f"at least {LEAST_TENFOLD:g} times the naive script.",
    ]


# --- candidates ---------------------------------------------------------------------------------


def _receiver(
    database_url: str, api_url: str, backlog: Backlog, of: Callable[[int], float] = lambda _: 0.0
) -> tuple[float, float]:
    """Triggers a second of one worker process that drains a backlog; and `of` its process id."""
    with _opened(database_url) as engine:
        EXTERNAL_CRM_MIGRATIONS.upgrade(engine)
        MIGRATIONS.upgrade(engine)
        _fill(engine, backlog)
        settings = {"DATABASE_URL": database_url, "CRM_API_URL": api_url, **_CREDENTIALS}
        environment = {f"CRM_RECEIVER_{name}": value for name, value in settings.items()}
        done = "SELECT COALESCE(sum(value), 0) FROM receiver_totals WHERE name = 'applied'"
        with process(["-m", "receiver", "work"], environment) as worker:
            speed = _drained(engine, done, backlog.triggers)
            other = of(worker)
        _expect(engine, "SELECT count(*) FROM customers", backlog.names)
        _expect(engine, "SELECT count(*) FROM inbox_triggers WHERE state <> 'done'", 0)
        return speed, other


def _on_postgresql(api_url: str, backlog: Backlog) -> float:
    with postgresql() as database_url:
        if database_url is None:
            raise RuntimeError("PostgreSQL is gone.")
        return _receiver(database_url, api_url, backlog)[0]


def _naive_on_postgresql(api_url: str, backlog: Backlog) -> float:
    with postgresql() as database_url:
        if database_url is None:
            raise RuntimeError("PostgreSQL is gone.")
        return _naive(database_url, api_url, backlog, False)


def _naive(database_url: str, api_url: str, backlog: Backlog, quick: bool, *how: str) -> float:
    """Triggers a second of the script that reads and writes inside the request."""
    with canned("naive", database_url, api_url, *how) as url:
        names = 0 if backlog.names == backlog.triggers else backlog.names
        wrk.load(f"{url}/8x8/{SECRET}", 1, 0, names)
        one = wrk.load(f"{url}/8x8/{SECRET}", 2 if quick else 5, backlog.first_id, names)
    if one.refused or one.broken:
        raise RuntimeError(f"Naive script: not all was answered with 200: {one}.")
    return one.per_second


def _celery(scratch: Path, api_url: str, backlog: Backlog) -> float | None:
    """Triggers a second of two Celery processes, or None without Celery or Redis."""
    database_url = _sqlite(scratch)
    os.environ.update(
        BENCH_NAIVE_DATABASE_URL=database_url,
        BENCH_NAIVE_API_URL=api_url,
        BENCH_CELERY_QUEUE=f"crm-trigger-kit-bench-{os.getpid()}",
    )
    try:
        tasks = import_module("scripts.benchmarks.celery_tasks")
    except ModuleNotFoundError:
        return None
    with _opened(database_url) as engine:
        naive_table().create(engine)
        try:
            for number in range(backlog.triggers):
                tasks.bring.delay(backlog.account_id(number))
        except tasks.OperationalError:
            return None
        arguments = ["worker", "--concurrency", "2", "--loglevel", "error", "--without-mingle"]
        try:
            command = ["-m", "celery", "-A", "scripts.benchmarks.celery_tasks", *arguments]
            with process(command, {}):
                return _drained(engine, "SELECT count(*) FROM naive_customers", backlog.names)
        finally:
            tasks.app.control.purge()


# --- a backlog and its end ------------------------------------------------------------------------


def _drained(engine: Engine, count: str, total: int) -> float:
    """How many a second, from the first that is seen to the last."""
    pause = threading.Event()
    began = time.perf_counter()
    first: tuple[int, float] | None = None
    while True:
        with read_session(engine) as session:
            seen = int(session.scalar(text(count)) or 0)
        now = time.perf_counter()
        if seen and first is None:
            first = seen, now
        if seen >= total and first is not None:
            if first[0] == seen:
                raise RuntimeError("The backlog was drained at once: make it longer.")
            return (seen - first[0]) / (now - first[1])
        if now - began > PATIENCE_S:
            raise RuntimeError(f"Only {seen} of {total} were done in {PATIENCE_S:g} s.")
        pause.wait(_LOOK_EVERY_S)


def _fill(engine: Engine, backlog: Backlog) -> None:
    now = datetime.now(UTC)
    sessions = session_factory(engine)
    for start in range(0, backlog.triggers, 1000):
        numbers = range(start, min(start + 1000, backlog.triggers))
        with sessions.begin() as session:
            arrivals = [Arrival(_trigger(backlog, n), now) for n in numbers]
            inbox.store_all(session.connection(), arrivals)


def _trigger(backlog: Backlog, number: int) -> Trigger:
    return parse("customer/edit", f"AccountID={backlog.account_id(number)}".encode())


def _expect(engine: Engine, query: str, number: int) -> None:
    with read_session(engine) as session:
        found = session.scalar(text(query))
    if found != number:
        raise RuntimeError(f"{query}: {found}, not {number}.")


def _sqlite(scratch: Path) -> str:
    """The URL of a file that is not there yet."""
    return f"sqlite:///{Path(tempfile.mkdtemp(dir=scratch)) / 'bench.db'}"


@contextmanager
def _opened(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url)
    try:
        yield engine
    finally:
        engine.dispose()


# --- what there is to say -------------------------------------------------------------------------


def _tell(result: Result, candidate: Candidate) -> None:
    for kind, speeds in candidate.per_second.items():
        of_naive = rounds.ratio(speeds, (candidate.naive or candidate).per_second[kind])
        cells = (rounds.with_spread(speeds, 0), rounds.with_spread(of_naive, 1))
        result.rows.append((candidate.name, kind, *cells))
        result.bars.append((f"{candidate.name}, {kind}", median(speeds)))


def _gate(result: Result, receiver: Candidate, naive: Candidate, of_celery: float | None) -> None:
    of_naive = {
        kind: median(rounds.ratio(speeds, naive.per_second[kind]))
        for kind, speeds in receiver.per_second.items()
    }
    figures = {
        "distinct_vs_naive": (of_naive["distinct"], LEAST_DISTINCT),
        "distinct_vs_celery": (of_celery, LEAST_DISTINCT),
        "tenfold_vs_naive": (of_naive["tenfold"], LEAST_TENFOLD),
    }
    for name, (value, least) in figures.items():
        result.figures[name] = None if value is None else round(value, 1)
        if value is not None and value < least:
            result.missed.append(f"{name} is {value:.1f}, not {least:g}.")


def _with_simulator(scratch: Path, quick: bool) -> list[str]:
    """A table of its own, ungated: the same worker, its records from the real simulator."""
    customers = 600 if quick else 2_000
    folder = scratch / "simulator"
    fill(folder, customers)
    backlog = Backlog(customers, customers, FIRST_NUMBER)
    with Server(folder, [str(FIRST_NUMBER)]) as simulator:
        url = f"http://127.0.0.1:{simulator.port}"
        of_simulator = cpu_seconds(simulator.pid)
        speed, of_worker = _receiver(_sqlite(scratch), url, backlog, cpu_seconds)
        of_simulator = cpu_seconds(simulator.pid) - of_simulator
    return [
        "",
        "With the real simulator instead of the canned API, both on the same two cores:",
        "",
        "| triggers | a second | CPU of the simulator | CPU of the worker, its start included |",
        "|---|---|---|---|",
        f"| {customers:,} | {speed:.0f} | {of_simulator / customers * 1000:.2f} ms a trigger "
        f"| {of_worker / customers * 1000:.2f} ms a trigger |",
        "",
        f"{of_simulator / (of_simulator + of_worker):.0%} of it was the simulator's.",
    ]
