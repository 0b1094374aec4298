"""A worker's cost per trigger with few and with very many waiting, and memory over very many.

In: quick or not. Out: what claim, fetch and apply of one trigger cost behind 1,000,000 waiting ones
in terms of the cost behind 10,000 (gated), on SQLite and PostgreSQL, the source of the records
answering at once; and how much web process and worker grow over 1,000,000 triggers (gated: in the
second half).
"""

import logging
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import structlog
from sqlalchemy import Engine

from external_crm.db import MIGRATIONS as EXTERNAL_CRM_MIGRATIONS
from external_crm.db import make_engine, session_factory
from external_crm.rows import Key, Kind
from receiver import inbox
from receiver.backoff import SCHEDULES
from receiver.clock import SystemClock
from receiver.db import MIGRATIONS
from receiver.inbox import Arrival
from receiver.records import CrmRecord
from receiver.settle import WorkerOptions
from receiver.trigger import Trigger
from receiver.worker import Worker
from scripts.benchmarks import memory, rounds, wrk
from scripts.benchmarks.canned import TAGS
from scripts.benchmarks.processes import postgresql
from scripts.benchmarks.report import Result

MOST_COST_RATIO = 1.5
MOST_GROWTH = 0.05  # from 500,000 to 1,000,000
FEW, MANY, MANY_QUICK = 10_000, 1_000_000, 100_000
BATCH = 100


class Instant:
    """Every customer is there, and comes at once; each is a little different."""

    def get(self, key: Key) -> CrmRecord:
        fields = {tag: f"{tag.title()} of {key.id}" for tag in TAGS}
        return CrmRecord(key, {**fields, "ACCOUNTNUM": key.id})

    def children(self, kind: Kind, parent: Key) -> list[CrmRecord]:
        return []


class Depth:
    """An inbox in which always as many triggers wait, and its worker."""

    def __init__(self, engine: Engine, waiting: int) -> None:
        EXTERNAL_CRM_MIGRATIONS.upgrade(engine)
        MIGRATIONS.upgrade(engine)
        self._sessions = session_factory(engine)
        self._next = 10_000_000
        options = WorkerOptions(SCHEDULES["standard"], batch_size=BATCH)
        self._worker = Worker(engine, Instant(), SystemClock(), random.Random(7), options)
        self.us: list[float] = []  # per trigger, batch by batch
        for _ in range(waiting // 10_000):
            self._store(10_000)

    def work(self) -> None:
        """One batch is timed; as many come in its place."""
        began = time.perf_counter()
        worked = self._worker.run_once()
        self.us.append((time.perf_counter() - began) / worked * 1e6)
        if worked != BATCH:
            raise RuntimeError(f"{worked} triggers were claimed, not {BATCH}.")
        self._store(worked)

    def _store(self, number: int) -> None:
        now = SystemClock().now()
        ids = map(str, range(self._next, self._next + number))
        self._next += number
        arrivals = [Arrival(Trigger(Kind.CUSTOMER, None, n, n, None, None), now) for n in ids]
        with self._sessions.begin() as session:
            inbox.store_all(session.connection(), arrivals)


def run(quick: bool) -> Result:
    """Measure. Quick: 100,000 waiting, and no look at the memory."""
    many = MANY_QUICK if quick else MANY
    if not quick:
        wrk.check()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    result = Result(
        "depth",
        f"A trigger's cost with {many:,} waiting",
        ("what", f"{FEW:,} waiting", f"{many:,} waiting", "ratio"),
        figures=dict.fromkeys(
            ("cost_ratio_sqlite", "cost_ratio_postgresql", "web_growth", "worker_growth")
        ),
        notes=[
            "Microseconds of one worker for one trigger, claimed, read from a source that answers "
            f"at once, and applied, in batches of {BATCH} that take turns; medians of batches, "
            f"with the least and the most. Gates: a ratio of {MOST_COST_RATIO} at most, "
            f"{MOST_GROWTH:.0%} more memory at most in the second half of the million.",
        ],
        unit="µs a trigger",
    )
    with (
        tempfile.TemporaryDirectory(prefix="bench-depth-") as scratch,
        postgresql(result.versions) as few_url,
        postgresql() as many_url,
    ):
        files = [f"sqlite:///{Path(scratch) / name}.db" for name in ("few", "many")]
        _compare(result, "SQLite", files, many, 20 if quick else 100)
        if few_url and many_url:
            _compare(result, "PostgreSQL", [few_url, many_url], many, 20 if quick else 100)
        else:
            result.notes += ["", "PostgreSQL was not there (BENCH_POSTGRESQL_URL)."]
        if not quick:
            _look_at_memory(result, Path(scratch))
    return result


def _compare(result: Result, name: str, urls: list[str], many: int, batches: int) -> None:
    with ExitStack() as stack:
        engines = [make_engine(url) for url in urls]
        for engine in engines:
            stack.callback(engine.dispose)
        few, deep = Depth(engines[0], FEW), Depth(engines[1], many)
        for _ in range(batches):
            few.work()
            deep.work()
    skipped = batches // 10  # statements are compiled, caches filled
    costs = [depth.us[skipped:] for depth in (few, deep)]
    ratio = median(costs[1]) / median(costs[0])
    result.figures[f"cost_ratio_{name.lower()}"] = round(ratio, 2)
    shown = (f"cost on {name}, µs", *(rounds.with_spread(us, 0) for us in costs), f"{ratio:.2f}")
    print(*shown, sep=" | ", file=sys.stderr)
    result.rows.append(shown)
    for waiting, us in zip((FEW, many), costs, strict=True):
        result.bars.append((f"{name}, {waiting:,} waiting", median(us)))
    if ratio > MOST_COST_RATIO:
        result.missed.append(f"On {name} a trigger costs {ratio:.2f} times, not {MOST_COST_RATIO}.")


def _look_at_memory(result: Result, scratch: Path) -> None:
    """Ingest and work a million; RSS in its midst and at its end.

    The first half is left out: caches fill in it, those of SQLite's pages and statements longest,
    which have their limits for each connection. A leak would go on.
    """
    sizes = memory.watch(f"sqlite:///{scratch / 'memory.db'}", MANY)
    for who, megabytes in sizes.items():
        growth = megabytes[-1] / megabytes[len(megabytes) // 2 - 1] - 1
        result.figures[f"{who}_growth"] = round(growth, 3)
        steps = " ".join(f"{size:.0f}" for size in megabytes)
        every = f"every {MANY // 10:,} triggers, about nine of each record"
        result.notes += ["", f"Memory of {who} {every}, MB: {steps}."]
        if growth > MOST_GROWTH:
            result.missed.append(f"The {who} process grew by {growth:.0%}, not {MOST_GROWTH:.0%}.")
    result.notes += [
        "",
        "What grows in the worker are SQLite's caches and the room for batches, which are four "
        "times as large once the load is over; Python's objects stay as many.",
    ]
