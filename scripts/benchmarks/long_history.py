"""What a simulator has that was used for long: deliveries with attempts, full logs, a large import.

In: a database with records, then an app on it. Out: the same with a history; nothing of it was
sent or loaded. `every_page` leads to all of it.
"""

import io
from datetime import UTC, datetime

from flask import Flask, url_for
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from werkzeug.datastructures import FileStorage

from scripts.benchmarks.every_page import CUSTOM
from simulator.config_manager import uploads
from simulator.events import What
from simulator.journal import ApiRequest
from simulator.local_crm import custom_fields
from simulator.local_crm.csv_import import Reject, Report
from simulator.local_crm.fields import CustomType, Definition
from simulator.local_crm.many import Deleted
from simulator.services import EXTENSION, Services
from simulator.triggers.urls import Kind

EVENTS, REQUESTS = 20_000, 10_000  # as many as are kept
IMPORTED = 50_000  # rows; half of them were rejected
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_DELIVERIES = """
    WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < ?)
    INSERT INTO deliveries (id, kind, event, record_id, account_id, url, is_test, created_at, state,
        attempt_count, schedule_step, next_attempt_at)
    SELECT n, CASE n % 4 WHEN 0 THEN 'CUSTOMER' WHEN 1 THEN 'CASE' WHEN 2 THEN 'FOLLOWUP'
            ELSE 'TASK' END,
        CASE n % 3 WHEN 0 THEN 'CREATE' WHEN 1 THEN 'EDIT' ELSE 'DELETE' END,
        CAST(10000000 + n / 8 AS TEXT), CAST(10000000 + n / 8 AS TEXT),
        'https://crm.example.com/trigger?AccountID=' || (10000000 + n / 8), 0, :at,
        CASE n % 10 WHEN 0 THEN 'WAITING' WHEN 1 THEN 'EXHAUSTED' ELSE 'DELIVERED' END, 1, 1,
        CASE n % 10 WHEN 0 THEN '2099-01-01T00:00:00.000000+00:00' END
    FROM counted
"""
_ATTEMPTS = """
    INSERT INTO attempts (delivery_id, number, started_at, finished_at, status, reply_excerpt,
        method, duration_ms)
    SELECT id, 1, created_at, created_at, 503, 'Service Unavailable', 'GET', 12.5 FROM deliveries
"""


def define_custom_fields(session: Session) -> None:
    """One of each kind; before records are made, so that they have values."""
    for kind in Kind:
        field = Definition(kind, CUSTOM, "Tier", CustomType.TEXT, default="none")
        custom_fields.define(session, field)


def fill_deliveries(engine: Engine, deliveries: int) -> None:
    """Deliveries of all kinds, events and states, each with an attempt; few of them are due."""
    at = _NOW.isoformat(timespec="microseconds")
    with engine.begin() as connection:
        connection.exec_driver_sql(_DELIVERIES.replace(":at", f"'{at}'"), (deliveries,))
        connection.exec_driver_sql(_ATTEMPTS)


def fill_memory(app: Flask) -> str:
    """Full logs, a load with rejected rows, a Delete All, and an uploaded file; the address of its
    mapping.
    """
    services: Services = app.extensions[EXTENSION]
    for number in range(EVENTS):
        services.events.note(What.RECORD_CHANGED, f"Customer {number}", at=_NOW, version=1)
    for number in range(REQUESTS):
        services.journal.begin(ApiRequest("/WAPI/wapi.php", records=(str(number),)))
    half = IMPORTED // 2
    rejects = [Reject(n, "Email", f"nobody{n}", "Email is no address.") for n in range(half)]
    report = Report(half, half, rejects)
    services.loads.begin("people.csv", Kind.CUSTOMER, IMPORTED, lambda _: report, Report())
    gone = Deleted(Kind.CUSTOMER, 1_000, 1_000, (1, 2, 3))
    services.deletions.begin("Delete all", Kind.CUSTOMER, 1_000, lambda _: gone, gone)
    services.wait_for_jobs()
    rows = "".join(f"Ada,Byron {n},Analytical Engines\n" for n in range(IMPORTED))
    content = io.BytesIO(b"First name,Last name,Company\n" + rows.encode())
    with app.test_request_context():
        kept = uploads.store(FileStorage(content, "people.csv"), Kind.CUSTOMER, "utf-8")
        return url_for(
            "config_crm.show_mapping",
            token=kept.token,
            kind=kept.kind.value,
            encoding=kept.encoding,
            name=kept.name,
        )
