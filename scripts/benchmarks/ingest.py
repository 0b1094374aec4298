"""Triggers stored before the 200, against a Flask no-op and against the naive script.

In: quick or not. Out: how many a second each accepts over 64 connections that stay open, in terms
of the no-op on the same server with the same settings (gated), and of the naive script (gated).
Every request names another record; after each round the rows are counted against the 200s.
"""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from sqlalchemy import Engine, text

from external_crm.db import MIGRATIONS as EXTERNAL_CRM_MIGRATIONS
from external_crm.db import make_engine, read_session
from receiver.db import MIGRATIONS
from scripts.benchmarks import rounds, wrk
from scripts.benchmarks.processes import SECRET, canned, postgresql, receiver_web
from scripts.benchmarks.report import Result

LEAST_OF_NOOP = 1.2
LEAST_OF_NAIVE = 20
MOST_P99_OF_P50 = 5


@dataclass
class Candidate:
    """A server under load, and what its rounds showed."""

    name: str
    url: str
    stored: Callable[[], int] | None = None  # how many rows its inbox has
    rounds: list[wrk.Round] = field(default_factory=list)

    def per_second(self) -> list[float]:
        return [one.per_second for one in self.rounds]


def run(quick: bool) -> Result:
    """Measure. Quick: rounds of 1 s."""
    wrk.check()
    seconds = 1 if quick else 6
    result = Result(
        "ingest",
        "Triggers stored before the 200",
        ("what", "accepted a second", "Flask no-op = 1", "p50 ms", "p99 ms"),
        notes=[
            f"Medians of {rounds.ROUNDS} interleaved rounds of {seconds} s, with the least and the "
            f"most; wrk, {wrk.CONNECTIONS} connections kept open, plain HTTP, one web process with "
            "64 threads, full durability (SQLite WAL synchronous=FULL, PostgreSQL "
            "synchronous_commit=on). After each round the rows of the inbox were counted: none "
            "that was answered with 200 is missing.",
            "",
            f"Gates: at least {LEAST_OF_NOOP} of the no-op on either database, at least "
            f"{LEAST_OF_NAIVE} times the naive script, p99 below {MOST_P99_OF_P50} times p50.",
        ],
    )
    with tempfile.TemporaryDirectory(prefix="bench-ingest-") as scratch, ExitStack() as stack:
        noop, naive, *receivers = _start_all(stack, Path(scratch))
        _measure([noop, *receivers, naive], seconds)
        for candidate in (noop, *receivers, naive):
            _tell(result, candidate, noop)
        for receiver in receivers:
            _gate(result, receiver, noop, naive)
    if len(receivers) == 1:
        result.figures["accepted_vs_noop_postgresql"] = None
        result.notes += ["", "PostgreSQL was not there (BENCH_POSTGRESQL_URL)."]
    return result


def _start_all(stack: ExitStack, scratch: Path) -> list[Candidate]:
    """No-op, naive script, and a receiver for each database."""
    api = stack.enter_context(canned("crm-api"))
    noop = stack.enter_context(canned("noop"))
    own = f"sqlite:///{scratch / 'naive.db'}"
    naive = stack.enter_context(canned("naive", own, api))
    found = [
        Candidate("Flask no-op", f"{noop}/8x8/{SECRET}"),
        Candidate("naive script, SQLite", f"{naive}/8x8/{SECRET}"),
    ]
    databases = {"SQLite": f"sqlite:///{scratch / 'inbox.db'}"}
    on_postgresql = stack.enter_context(postgresql())
    if on_postgresql is not None:
        databases["PostgreSQL"] = on_postgresql
    for name, database_url in databases.items():
        engine = make_engine(database_url)
        stack.callback(engine.dispose)
        EXTERNAL_CRM_MIGRATIONS.upgrade(engine)
        MIGRATIONS.upgrade(engine)
        receiver = stack.enter_context(receiver_web(database_url))
        stored = _counter(engine)
        found.append(Candidate(f"receiver, {name}", f"{receiver}/8x8/{SECRET}", stored))
    return found


def _counter(engine: Engine) -> Callable[[], int]:
    def stored() -> int:
        with read_session(engine) as session:
            return session.scalar(text("SELECT count(*) FROM inbox_triggers")) or 0

    return stored


def _measure(candidates: list[Candidate], seconds: int) -> None:
    """Rounds in turn, after a short one of each that is not kept."""
    for number in range(rounds.ROUNDS + 1):
        for candidate in candidates:
            before = candidate.stored() if candidate.stored else 0
            one = wrk.load(candidate.url, seconds if number else 1, number * 100_000_000)
            if one.refused or one.broken:
                raise RuntimeError(f"{candidate.name}: not all was answered with 200: {one}.")
            if candidate.stored:
                rows = candidate.stored() - before
                if not one.answered <= rows <= one.answered + wrk.CONNECTIONS:
                    raise RuntimeError(f"{candidate.name}: {rows} rows, but {one}.")
            if number:
                candidate.rounds.append(one)


def _tell(result: Result, candidate: Candidate, noop: Candidate) -> None:
    speed = rounds.ratio(candidate.per_second(), noop.per_second())
    result.rows.append(
        (
            candidate.name,
            rounds.with_spread(candidate.per_second(), 0),
            rounds.with_spread(speed),
            rounds.with_spread([one.p50_ms for one in candidate.rounds], 1),
            rounds.with_spread([one.p99_ms for one in candidate.rounds], 1),
        )
    )
    result.bars.append((candidate.name, median(candidate.per_second())))


def _gate(result: Result, receiver: Candidate, noop: Candidate, naive: Candidate) -> None:
    name = receiver.name.removeprefix("receiver, ")
    of_noop = median(rounds.ratio(receiver.per_second(), noop.per_second()))
    result.figures[f"accepted_vs_noop_{name.lower()}"] = round(of_noop, 2)
    if of_noop < LEAST_OF_NOOP:
        result.missed.append(
            f"On {name} the receiver accepts {of_noop:.2f} of the no-op, not {LEAST_OF_NOOP}."
        )
    tail = median(one.p99_ms / one.p50_ms for one in receiver.rounds)
    if tail >= MOST_P99_OF_P50:
        result.missed.append(f"On {name} p99 is {tail:.1f} times p50, not below {MOST_P99_OF_P50}.")
    if name == "SQLite":  # as the naive script's database
        of_naive = median(rounds.ratio(receiver.per_second(), naive.per_second()))
        result.figures["accepted_vs_naive"] = round(of_naive, 1)
        if of_naive < LEAST_OF_NAIVE:
            result.missed.append(
                f"The receiver accepts {of_naive:.1f} times what the naive script does, "
                f"not {LEAST_OF_NAIVE}."
            )
