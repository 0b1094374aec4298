"""The External CRM's pages, as someone sees them who wants to know what arrived and why."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from werkzeug.serving import WSGIRequestHandler, make_server

from external_crm.app import create_app
from external_crm.apply import apply
from external_crm.counter import draw
from external_crm.db import session_factory
from external_crm.rows import Batch, CaseRow, Cause, CustomerRow, FollowupRow, Found, Row
from receiver.models import InboxTrigger
from tests import external_databases
from tests.browser.chromium import Browser, Page, Windows, expect
from tests.browser.looks import look_at_all

NOON = datetime(2026, 3, 2, 12, 0, 5, tzinfo=UTC)
LONG = "donau" * 40


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A migrated database."""
    own = external_databases.sqlite_engine(
        external_databases.make_sqlite_template(tmp_path), tmp_path
    )
    yield own
    own.dispose()


@pytest.fixture
def dashboard(engine: Engine) -> Iterator[str]:
    """The address of the pages over it."""
    with make_server(
        "127.0.0.1", 0, create_app(engine), threaded=True, request_handler=_Quiet
    ) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def window(chromium: Browser, dashboard: str) -> Iterator[Page]:
    """A window on them."""
    opened = Windows(chromium, dashboard)
    yield opened.open()
    assert opened.close() == []


def bring(engine: Engine, cause_id: int, *rows: Row) -> None:
    """What a trigger brought, and the trigger."""
    sessions = session_factory(engine)
    with sessions.begin() as session:
        ticket = draw(session)
    with sessions.begin() as session:
        _note_trigger(session, cause_id, rows[0])
        found = [Found(row, NOON, Cause("trigger", cause_id)) for row in rows]
        apply(session, Batch(found, NOON), ticket)


def _note_trigger(session: Session, number: int, row: Row) -> None:
    of_record = {"kind": row.key.kind.value, "record_id": row.key.id, "account_id": "A1"}
    instants = {"received_at": NOON, "due_at": NOON, "finished_at": NOON}
    finished = {"state": "done", "verdict": "applied", "cause": "trigger", "event": "edit"}
    session.add(InboxTrigger(id=number, **of_record, **instants, **finished))


def fill(engine: Engine) -> None:
    bring(engine, 1, CustomerRow("A1", first_name="Ada", last_name=LONG, comments=LONG))
    bring(engine, 2, CaseRow("C1", "A1", subject="No dial tone", status="Open"))
    bring(engine, 3, FollowupRow("F1", case_id="C1", account_id="A1", subject=LONG))
    bring(engine, 4, CaseRow("C1", "A1", subject="No dial tone", status="Pending"))


def test_from_the_overview_to_a_record_its_change_and_the_trigger(
    window: Page, engine: Engine
) -> None:
    fill(engine)
    window.goto("/")
    window.get_by_role("button", name="Dark").click()
    window.get_by_role("link", name="case C1").first.click()
    expect(window.get_by_role("definition").filter(has_text="Pending")).to_be_visible()
    history = window.get_by_role("table").get_by_role("row")
    expect(history.nth(1)).to_contain_text("Open")
    expect(history.nth(1)).to_contain_text("Pending")
    window.get_by_role("link", name="trigger 4").click()
    expect(window.get_by_role("heading", level=1)).to_have_text("Trigger 4")
    expect(window.get_by_role("button", name="Light")).to_be_visible()
    window.get_by_role("link", name="case C1").click()
    window.get_by_role("link", name="A1").first.click()
    expect(window.get_by_role("heading", level=1)).to_have_text("Customer A1")


def test_every_page_is_whole_and_readable_empty_and_with_data(
    window: Page, engine: Engine, dashboard: str
) -> None:
    found = {f"empty {kind}": wrong for kind, wrong in look_at_all(window, dashboard).items()}
    fill(engine)
    found |= look_at_all(window, dashboard, "/nowhere")
    assert len(found) > 12, sorted(found)
    assert {kind: wrong for kind, wrong in found.items() if wrong} == {}
