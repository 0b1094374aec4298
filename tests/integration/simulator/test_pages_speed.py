"""Database work per page does not grow with the table, counted in SQLite's own instructions.

Time would depend on the machine; a plan alone does not show where LIMIT ends the work. What a
table of 100,000 customers costs more than one of 40,000 must be less than reading the difference.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, event

from scripts.benchmarks.every_page import addresses, not_covered
from scripts.benchmarks.long_history import define_custom_fields, fill_deliveries, fill_memory
from simulator import db
from simulator.app import create_app
from simulator.clock import ManualClock
from simulator.db import open_database, session_factory
from simulator.local_crm.fake_data import add_fake_data
from simulator.services import EXTENSION
from simulator.settings import Settings
from tests.conftest import MORNING
from tests.forms import Browser

COPIED = 1_000  # customers of the original, with their cases, follow-ups and tasks
SMALL, LARGE = 40_000, 100_000
MANY = 80_000
WHOLE_COUNT = re.compile(r"SELECT count\(\*\) AS \w+ \nFROM \w+$")
BETWEEN = 10  # instructions between two counts
MOST_MORE = 50_000  # reading 60,000 rows more takes twice as much at the very least
_SHIFT = 1_000_000
_COPIES = (
    ("customers", ("accountnum",)),
    ("cases", ("casenum", "accountnum")),
    ("followups", ("followupnum", "casenum", "accountnum")),
    ("tasks", ("tasknum", "accountnum")),
)
MAPPING = "the page on which an uploaded file is mapped"  # its address is not known before
COUNTS_ALL = "/delete-all"  # the question must tell exactly how much goes


@dataclass
class Work:
    """What SQLite did."""

    instructions: int = 0
    plans: list[str] = field(default_factory=list)


@contextmanager
def counted(engine: Engine) -> Iterator[Work]:
    """The work done on the connections that are taken meanwhile."""
    work = Work()

    def count() -> int:
        work.instructions += BETWEEN
        return 0

    def explain(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        if statement.startswith("SELECT"):
            cursor.connection.set_progress_handler(None, 0)
            plan = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            work.plans += [f"{row[3]} <- {statement}" for row in plan]
            cursor.connection.set_progress_handler(count, BETWEEN)

    def taken(connection: Any, *_: Any) -> None:
        connection.set_progress_handler(count, BETWEEN)

    event.listen(engine, "checkout", taken)
    event.listen(engine, "before_cursor_execute", explain)
    yield work
    event.remove(engine, "checkout", taken)
    event.remove(engine, "before_cursor_execute", explain)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, first_start: Path) -> dict[int, Path]:
    """Data folders with so many customers: an original, copied again and again."""
    made: dict[int, Path] = {}
    grown = tmp_path_factory.mktemp("many") / "grown"
    shutil.copytree(first_start, grown)
    done = 0
    for customers in (SMALL, LARGE):
        engine = open_database(Settings(data_dir=grown).database_path)
        with session_factory(engine).begin() as session:
            if done == 0:
                define_custom_fields(session)
                add_fake_data(session, COPIED, 1, MORNING)
            copies = range(done + 1, customers // COPIED)
            for copy in copies:
                for table, numbers in _COPIES:
                    multiply(session, table, numbers, copy)
        done = copies[-1]
        engine.dispose()
        made[customers] = grown.with_name(str(customers))
        shutil.copytree(grown, made[customers])
        engine = open_database(Settings(data_dir=made[customers]).database_path)
        fill_deliveries(engine, MANY + customers)  # more than are counted, of each state
        engine.dispose()
    return made


def multiply(session: Any, table: str, numbers: tuple[str, ...], copy: int) -> None:
    """Every record of the original once more, under numbers and emails of its own."""
    connection = session.connection()
    columns = [row[1] for row in connection.exec_driver_sql(f"PRAGMA table_info({table})")]
    values = [
        f"CAST({name} + {copy * _SHIFT} AS TEXT)"
        if name in numbers
        else f"CASE email WHEN '' THEN '' ELSE '{copy}' || email END"
        if name == "email" and table == "customers"
        else name
        for name in columns
    ]
    own = numbers[0]
    connection.exec_driver_sql(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM {table} "
        f"WHERE length({own}) = 8 AND {own} < '11000000' ORDER BY rowid"
    )


@pytest.fixture(scope="module")
def apps(folders: dict[int, Path]) -> Iterator[dict[int, Flask]]:
    """An app on each."""
    found = {
        customers: create_app(Settings(data_dir=folder), clock=ManualClock(MORNING))
        for customers, folder in folders.items()
    }
    yield found
    for app in found.values():
        app.extensions[EXTENSION].close()


@pytest.fixture(scope="module")
def mappings(apps: dict[int, Flask]) -> dict[int, str]:
    """The address of the page on which an uploaded file is mapped, of each app."""
    return {customers: fill_memory(app) for customers, app in apps.items()}


@pytest.mark.parametrize("address", [a for a in addresses(MAPPING) if not a.endswith(COUNTS_ALL)])
def test_a_page_costs_the_same_however_large_the_table_is(
    apps: dict[int, Flask], mappings: dict[int, str], address: str
) -> None:
    work = {}
    for customers, app in apps.items():
        here = mappings[customers] if address == MAPPING else address
        with counted(app.extensions[EXTENSION].engine) as work[customers]:
            assert Browser.of(app.test_client()).get(here).status == 200
    small, large = work[SMALL], work[LARGE]
    assert large.instructions <= small.instructions + MOST_MORE
    # A whole table is counted in one instruction, and sorted in few.
    assert [plan for plan in large.plans if WHOLE_COUNT.search(plan)] == []
    assert [plan for plan in large.plans if "TEMP B-TREE" in plan and _is_of_rows(plan)] == []


def test_no_page_is_left_out(app: Flask) -> None:
    mapping = "/config/crm/imports/map/any"
    assert not_covered(app, addresses(mapping)) == []
    app.add_url_rule("/agent/new-page", "new_page", view_func=str)
    assert not_covered(app, addresses(mapping)) == ["new_page"]


def test_a_page_that_reads_the_whole_table_would_be_noticed(
    apps: dict[int, Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "MOST_COUNTED", 10**9)
    for address in ("/agent/customers", "/deliveries", "/"):
        work = {}
        for customers, app in apps.items():
            with counted(app.extensions[EXTENSION].engine) as work[customers]:
                Browser.of(app.test_client()).get(address)
        assert work[LARGE].instructions > work[SMALL].instructions + MOST_MORE, address
    with counted(apps[LARGE].extensions[EXTENSION].engine) as question:
        Browser.of(apps[LARGE].test_client()).get(f"/agent/customers{COUNTS_ALL}")
    assert [plan for plan in question.plans if WHOLE_COUNT.search(plan)]


def _is_of_rows(plan: str) -> bool:
    tables = [table for table, _ in _COPIES] + ["deliveries", "attempts", "record_versions"]
    return any(re.search(rf"\bFROM {table}\b", plan) for table in tables)
