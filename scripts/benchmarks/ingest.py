"""Triggers stored before the 200, against a Flask no-op and against the naive script.

In: quick or not. Out: how many a second each accepts over 64 connections that stay open, in terms
of the no-op on the same server with the same settings (gated), and of the naive script (gated);
and what a worker at work on the same SQLite file does to the answers' times (gated). Every request
names another record; after each round the rows are counted against the 200s.
"""

import itertools
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from sqlalchemy import Engine, text

from external_crm.db import MIGRATIONS as EXTERNAL_CRM_MIGRATIONS
from external_crm.db import make_engine, read_session
from receiver.db import MIGRATIONS
from scripts.benchmarks import rounds, wrk
from scripts.benchmarks.processes import SECRET, canned, postgresql, process, receiver_web
from scripts.benchmarks.report import Result

LEAST_OF_NOOP = 1.2
LEAST_OF_NAIVE = 20
MOST_P99_OF_P50 = 5
MOST_P99_BESIDE_A_WORKER = 3


@dataclass
class Candidate:
    """A server under load, and what its rounds showed."""

    name: str
    url: str
    stored: Callable[[], int] | None = None  # how many rows its inbox has
    database_url: str = ""
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
            "The receiver keeps the threads that share Python's lock on one core "
            "(CRM_RECEIVER_ONE_CORE), which the no-op can be given too; the row says what it makes "
            "of it. Beside a worker: one at work on the same file, its records from a canned API; "
            "in terms of rounds without it.",
            "",
            f"Gates: at least {LEAST_OF_NOOP} of the no-op on either database, at least "
            f"{LEAST_OF_NAIVE} times the naive script, p99 below {MOST_P99_OF_P50} times p50, and "
            f"beside a worker below {MOST_P99_BESIDE_A_WORKER} times its own.",
        ],
        versions=[wrk.version()],
    )
    with tempfile.TemporaryDirectory(prefix="bench-ingest-") as scratch, ExitStack() as stack:
        api = stack.enter_context(canned("crm-api"))
        noop, bound, naive, *receivers = _start_all(stack, Path(scratch), api, result.versions)
        everyone = (noop, bound, *receivers, naive)
        _measure(everyone, seconds)
        for candidate in everyone:
            _tell(result, candidate, noop)
        result.figures |= {"accepted_vs_noop_sqlite": None, "accepted_vs_noop_postgresql": None}
        for receiver in receivers:
            _gate(result, receiver, noop, naive)
        _tell_beside_a_worker(result, receivers[0], api, seconds)
    if len(receivers) == 1:
        result.notes += ["", "PostgreSQL was not there (BENCH_POSTGRESQL_URL)."]
    return result


def _start_all(stack: ExitStack, scratch: Path, api: str, versions: list[str]) -> list[Candidate]:
    """No-op, no-op on one core, naive script, and a receiver for each database."""
    noop = stack.enter_context(canned("noop"))
    bound = stack.enter_context(canned("noop", "one core"))
    own = f"sqlite:///{scratch / 'naive.db'}"
    naive = stack.enter_context(canned("naive", own, api))
    found = [
        Candidate("Flask no-op", f"{noop}/8x8/{SECRET}"),
        Candidate("Flask no-op on one core", f"{bound}/8x8/{SECRET}"),
        Candidate("naive script, SQLite", f"{naive}/8x8/{SECRET}"),
    ]
    databases = {"SQLite": f"sqlite:///{scratch / 'inbox.db'}"}
    on_postgresql = stack.enter_context(postgresql(versions))
    if on_postgresql is not None:
        databases["PostgreSQL"] = on_postgresql
    for name, database_url in databases.items():
        engine = make_engine(database_url)
        stack.callback(engine.dispose)
        EXTERNAL_CRM_MIGRATIONS.upgrade(engine)
        MIGRATIONS.upgrade(engine)
        receiver = stack.enter_context(receiver_web(database_url))
        stored = _counter(engine)
        url = f"{receiver}/8x8/{SECRET}"
        found.append(Candidate(f"receiver, {name}", url, stored, database_url))
    return found


def _counter(
    engine: Engine, query: str = "SELECT count(*) FROM inbox_triggers"
) -> Callable[[], int]:
    def count() -> int:
        with read_session(engine) as session:
            return session.scalar(text(query)) or 0

    return count


def _measure(candidates: Sequence[Candidate], seconds: int) -> None:
    """Rounds in turn, after a short one of each that is not kept."""
    for number in range(rounds.ROUNDS + 1):
        for candidate in candidates:
            one = _load(candidate, seconds if number else 1, number * 100_000_000)
            if number:
                candidate.rounds.append(one)


def _load(candidate: Candidate, seconds: int, first_id: int) -> wrk.Round:
    """One round; raises where not all was answered with 200, or not all of that was stored."""
    before = candidate.stored() if candidate.stored else 0
    one = wrk.load(candidate.url, seconds, first_id)
    if one.refused or one.broken:
        raise RuntimeError(f"{candidate.name}: not all was answered with 200: {one}.")
    if candidate.stored:
        rows = candidate.stored() - before
        if not one.answered <= rows <= one.answered + wrk.CONNECTIONS:
            raise RuntimeError(f"{candidate.name}: {rows} rows, but {one}.")
    return one


def _tell_beside_a_worker(result: Result, receiver: Candidate, api: str, seconds: int) -> None:
    """Rounds without and with a worker in turn, which has the rows of all rounds so far to do."""
    alone = Candidate("alone, later", receiver.url, receiver.stored)
    beside = Candidate(f"{receiver.name}, beside a worker", receiver.url, receiver.stored)
    settings = {"DATABASE_URL": receiver.database_url, "CRM_API_URL": api}
    environment = {f"CRM_RECEIVER_{name}": value for name, value in settings.items()}
    environment |= {f"CRM_RECEIVER_{name}": "bench" for name in ("TENANT", "USERNAME", "PASSWORD")}
    ids = itertools.count((rounds.ROUNDS + 1) * 100_000_000, 100_000_000)

    def round_of(candidate: Candidate) -> None:
        """After a second that is not kept: a worker has to see that there is a burst."""
        _load(candidate, 1, next(ids))
        candidate.rounds.append(_load(candidate, seconds, next(ids)))

    for _ in range(rounds.ROUNDS):
        round_of(alone)
        with process(["-m", "receiver", "work"], environment):
            _wait_for_work(receiver.database_url)
            round_of(beside)
    _tell(result, beside, alone)
    tails = [one.p99_ms for one in alone.rounds], [one.p99_ms for one in beside.rounds]
    longer = median(rounds.ratio(tails[1], tails[0]))
    result.figures["p99_beside_a_worker"] = round(longer, 2)
    if longer >= MOST_P99_BESIDE_A_WORKER:
        result.missed.append(
            f"Beside a worker p99 is {longer:.1f} times its own, "
            f"not below {MOST_P99_BESIDE_A_WORKER}."
        )


def _wait_for_work(database_url: str) -> None:
    """Until one more trigger is applied."""
    engine = make_engine(database_url)
    applied = _counter(engine, "SELECT sum(value) FROM receiver_totals WHERE name = 'applied'")
    before, pause = applied(), threading.Event()
    for _ in range(600):
        if applied() > before:
            break
        pause.wait(0.05)
    else:
        raise RuntimeError("The worker beside the receiver applies nothing.")
    engine.dispose()


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
