"""The demo's comparison of both databases: what it must find, and what it must let pass."""

import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from external_crm import models as outside_models
from external_crm.db import Base as OutsideBase
from scripts.demonstration.cli import main
from scripts.demonstration.compare import TABLES, Comparison, KindTable, compare
from simulator.db import Base as LocalBase
from simulator.db import open_database, session_factory
from simulator.local_crm import models as local_models
from simulator.triggers.models import Delivery
from simulator.triggers.urls import Event, Kind

NOON = datetime(2026, 3, 31, 12, 34, 56, 789, tzinfo=UTC)
DAY = date(2026, 3, 31)
CUSTOMER, CASE, FOLLOWUP, TASK, NEVER_NAMED = "101", "201", "301", "401", "102"


@pytest.fixture
def local_db(tmp_path: Path) -> Path:
    """A Local CRM in which triggers of one follow-up and one task fired, and nothing else."""
    path = tmp_path / "local.db"
    engine = open_database(path)
    with session_factory(engine).begin() as session:
        session.add(_local_customer(CUSTOMER))
        session.add(_local_customer(NEVER_NAMED))
        session.flush()
        session.add(
            local_models.Case(
                casenum=CASE,
                accountnum=CUSTOMER,
                subject="Echo on the line",
                createddate=NOON,
                lastactdate=NOON,
                closeddate=NOON,
            )
        )
        session.flush()
        session.add(
            local_models.Followup(
                followupnum=FOLLOWUP,
                casenum=CASE,
                accountnum=CUSTOMER,
                subject="Re: Echo",
                body="First line\r\nsecond – line",
                createddate=NOON,
            )
        )
        session.add(
            local_models.Task(
                tasknum=TASK,
                accountnum=CUSTOMER,
                subject="Call back",
                duedate=NOON,
                createddate=NOON,
                lastmoddate=NOON,
                custom_fields={"CF01": "x"},
            )
        )
        session.add(_delivery(Kind.FOLLOWUP, FOLLOWUP, case_id=CASE))
        session.add(_delivery(Kind.TASK, TASK))
    engine.dispose()
    return path


@pytest.fixture
def external_db(tmp_path: Path) -> Path:
    """An External CRM that shows what those triggers named, with its ancestors."""
    path = tmp_path / "external.db"
    engine = create_engine(f"sqlite:///{path}")
    OutsideBase.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        session.add(_outside_customer(CUSTOMER))
        session.flush()
        session.add(
            outside_models.Case(
                case_id=CASE,
                account_id=CUSTOMER,
                customer_ref=CUSTOMER,
                subject="Echo on the line",
                **dict.fromkeys(("description", "assigned_to", "created_by", "closed_by"), ""),
                status="Open",
                priority="Medium",
                severity="Information",
                **dict.fromkeys(("category", "project"), "Default"),
                visibility="Private",
                media_type="Phone",
                **dict.fromkeys(("created_date", "closed_date", "last_activity_date"), DAY),
                custom_fields={},
            )
        )
        session.flush()
        session.add(
            outside_models.Followup(
                followup_id=FOLLOWUP,
                account_id=CUSTOMER,
                customer_ref=CUSTOMER,
                case_id=CASE,
                case_ref=CASE,
                subject="Re: Echo",
                body="First line\r\nsecond – line",
                direction="Outbound",
                media_type="Phone",
                visibility="Private",
                created_by="",
                created_date=DAY,
                custom_fields={},
            )
        )
        session.add(
            outside_models.Task(
                task_id=TASK,
                account_id=CUSTOMER,
                customer_ref=CUSTOMER,
                subject="Call back",
                status="Pending",
                media_type="Phone",
                due_at=datetime(2026, 3, 31, 12, 34, tzinfo=UTC),
                created_date=DAY,
                last_modified_date=DAY,
                custom_fields={"CF01": "x"},
                **dict.fromkeys(
                    ("description", "assigned_to", "call_type", "middleware_url", "phone"), ""
                ),
                **dict.fromkeys(("email", "created_by", "transaction_id", "parent_task_id"), ""),
            )
        )
    engine.dispose()
    return path


def test_equal_databases_are_equal(local_db: Path, external_db: Path) -> None:
    comparison = _compare(local_db, external_db)

    assert comparison.differences == []
    assert comparison.equal
    assert comparison.total.compared == 4


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            "UPDATE customers SET comments = 'Changed' WHERE account_id = '101'",
            "Customer 101: comments is 'Changed' in the External CRM; "
            "by comments of the Local CRM it must be ''.",
        ),
        (
            "UPDATE cases SET closed_date = '2026-04-01'",
            "Case 201: closed_date is '2026-04-01' in the External CRM; "
            "by closeddate of the Local CRM it must be '2026-03-31'.",
        ),
        (
            "UPDATE followups SET case_ref = NULL",
            "Followup 301: case_ref is None in the External CRM; "
            "by casenum of the Local CRM it must be '201'.",
        ),
        (
            'UPDATE tasks SET custom_fields = \'{"CF01": "y"}\'',
            "Task 401: custom_fields is {'CF01': 'y'} in the External CRM; "
            "by custom_fields of the Local CRM it must be {'CF01': 'x'}.",
        ),
    ],
)
def test_a_corrupted_field_is_found(
    local_db: Path, external_db: Path, change: str, sentence: str
) -> None:
    _execute(external_db, change)

    comparison = _compare(local_db, external_db)

    assert comparison.differences == [sentence]
    assert comparison.total.different == 1
    assert comparison.total.equal == 3


def test_a_due_time_that_is_a_minute_off_is_found(local_db: Path, external_db: Path) -> None:
    _execute(external_db, "UPDATE tasks SET due_at = '2026-03-31T12:35:00.000000+00:00'")

    assert _compare(local_db, external_db).total.different == 1


@pytest.mark.parametrize("table", ["customers", "cases", "followups", "tasks"])
def test_a_deleted_row_is_missing_be_it_named_itself_or_as_an_ancestor(
    local_db: Path, external_db: Path, table: str
) -> None:
    _execute(external_db, f"DELETE FROM {table}")

    comparison = _compare(local_db, external_db)

    assert comparison.total.missing == 1
    assert "was named by a trigger, but is not in the External CRM." in comparison.differences[0]


def test_a_row_added_outside_is_extra(local_db: Path, external_db: Path) -> None:
    _execute(
        external_db,
        "CREATE TEMP TABLE copy AS SELECT * FROM tasks",
        "UPDATE copy SET task_id = '999'",
        "INSERT INTO tasks SELECT * FROM copy",
    )

    comparison = _compare(local_db, external_db)

    assert comparison.differences == ["Task 999 is in the External CRM, but not in the Local CRM."]
    assert comparison.total.extra == 1


def test_a_child_that_stays_outside_when_its_parent_was_deleted_is_extra(
    local_db: Path, external_db: Path
) -> None:
    _execute(local_db, "DELETE FROM followups", "DELETE FROM cases")
    _execute(external_db, "UPDATE followups SET case_ref = NULL", "DELETE FROM cases")

    comparison = _compare(local_db, external_db)

    assert comparison.differences == [
        "Followup 301 is in the External CRM, but not in the Local CRM."
    ]


def test_a_record_that_no_trigger_named_is_exempt(local_db: Path, external_db: Path) -> None:
    comparison = _compare(local_db, external_db)

    assert comparison.by_kind["customer"].exempt == 1
    assert comparison.total.exempt == 1


def test_a_record_that_no_trigger_named_must_be_equal_when_it_is_outside(
    local_db: Path, external_db: Path
) -> None:
    engine = create_engine(f"sqlite:///{external_db}")
    with Session(engine) as session, session.begin():
        session.add(_outside_customer(NEVER_NAMED, first_name="Another"))
    engine.dispose()

    comparison = _compare(local_db, external_db)

    assert comparison.total.exempt == 0
    assert comparison.by_kind["customer"].different == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (None, 0),
        ("UPDATE customers SET comments = 'Changed'", 1),
        ("DELETE FROM tasks", 1),
        ("UPDATE tasks SET task_id = '999'", 1),
    ],
)
def test_the_command_ends_with_0_only_when_they_are_equal(
    local_db: Path, external_db: Path, change: str | None, code: int
) -> None:
    if change:
        _execute(external_db, change)

    result = CliRunner().invoke(main, ["compare", str(local_db), str(external_db)])

    assert result.exit_code == code
    assert "record by record" in result.output


def test_a_file_that_is_no_database_gets_a_sentence(tmp_path: Path, local_db: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("This is no database, but it is long enough to look at.")

    result = CliRunner().invoke(main, ["compare", str(local_db), str(text)])

    assert result.exit_code == 2
    assert "cannot be compared" in result.output


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.kind)
def test_the_field_table_names_every_column_of_both_sides(table: KindTable) -> None:
    inside = {column.name for column in LocalBase.metadata.tables[table.table].columns}
    outside = {column.name for column in OutsideBase.metadata.tables[table.table].columns}

    assert {field[0] for field in table.fields} | {table.local_id} == inside
    assert {field[1] for field in table.fields} | {table.outside_id} == outside


def _local_customer(accountnum: str) -> local_models.Customer:
    return local_models.Customer(accountnum=accountnum, firstname="Zoë", lastname="Kraków & Sons")


def _outside_customer(account_id: str, **changed: str) -> outside_models.Customer:
    names = {column.name for column in outside_models.Customer.__table__.columns}
    values = dict.fromkeys(names, "") | {
        "account_id": account_id,
        "first_name": "Zoë",
        "last_name": "Kraków & Sons",
        "customer_type": "Default",
        "custom_fields": {},
    }
    return outside_models.Customer(**(values | changed))


def _delivery(kind: Kind, record_id: str, case_id: str | None = None) -> Delivery:
    return Delivery(
        kind=kind,
        event=Event.CREATE,
        record_id=record_id,
        account_id=CUSTOMER,
        case_id=case_id,
        url="https://receiver.example.com/",
        created_at=NOON,
    )


def _compare(local_db: Path, external_db: Path) -> Comparison:
    with _open(local_db) as local, _open(external_db) as outside:
        return compare(local, outside)


def _execute(path: Path, *statements: str) -> None:
    with _open(path) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def _open(path: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(path))
