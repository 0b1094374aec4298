"""CSV import, as the command does it: what is loaded, what is rejected and why, what is refused."""

import csv
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, func, select

from simulator.cli import main
from simulator.clock import ManualClock
from simulator.db import open_database, read_session, session_factory
from simulator.local_crm import csv_import, custom_fields
from simulator.local_crm.csv_import import ImportRefused
from simulator.local_crm.fields import CustomType, Definition
from simulator.local_crm.models import MODELS, Case, Customer, Origin, RecordVersion, Task
from simulator.settings import Settings
from simulator.triggers.models import Delivery
from simulator.triggers.urls import Kind
from tests.local_crm import create, fill_boxes

NAMES = ("--map", "First=FIRSTNAME", "--map", "Last=LASTNAME")
Import = Callable[..., Result]


@pytest.fixture
def engine(sim_settings: Settings, clock: ManualClock) -> Iterator[Engine]:
    """The database that the command works on: every box is filled, so an agent's change fires."""
    engine = open_database(sim_settings.database_path)
    with session_factory(engine).begin() as session:
        fill_boxes(session, "https://crm.example.com")
    yield engine
    engine.dispose()


@pytest.fixture
def run(engine: Engine, sim_settings: Settings, tmp_path: Path) -> Import:
    """Write a file and import it; by default customers with First and Last."""

    def run(content: str | bytes, *options: str, kind: str = "customer") -> Result:
        file = tmp_path / "records.csv"
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        arguments = ["import-csv", str(file), "--kind", kind, *(options or NAMES)]
        return CliRunner().invoke(
            main, [*arguments, "--data-dir", str(sim_settings.data_dir)], catch_exceptions=False
        )

    return run


def customers(engine: Engine) -> list[Customer]:
    with read_session(engine) as session:
        return list(session.scalars(select(Customer).order_by(Customer.accountnum)))


def count(engine: Engine, model: type) -> int:
    with read_session(engine) as session:
        return session.scalar(select(func.count()).select_from(model)) or 0


def assert_refused(done: Result, *words: str) -> None:
    """Exit code 2, one sentence."""
    assert done.exit_code == 2
    [line] = done.stderr.splitlines()
    for word in ("Error: ", "Nothing was loaded.", *words):
        assert word in line


def test_rows_become_customers_with_a_version_and_no_trigger(run: Import, engine: Engine) -> None:
    done = run("First,Last,ignored\nZoë,O'Brien,x\n伟,王,y\n")
    assert done.exit_code == 0, done.stderr
    assert "Loaded 2 records" in done.stdout
    assert [(c.accountnum, c.firstname, c.lastname) for c in customers(engine)] == [
        ("10000000", "Zoë", "O'Brien"),
        ("10000001", "伟", "王"),
    ]
    with read_session(engine) as session:
        origins = {(v.origin, v.actor, v.version) for v in session.scalars(select(RecordVersion))}
    assert origins == {(Origin.CSV, "csv import", 1)}
    assert count(engine, Delivery) == 0
    with session_factory(engine).begin() as session:
        create(session, Kind.CUSTOMER, session.scalars(select(RecordVersion.changed_at)).first())  # type: ignore[arg-type]
    assert count(engine, Delivery) == 1  # so an agent's would have fired


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("First,Last\nZoë,Müller\n".encode(), "utf-8"),
        ("\ufeffFirst,Last\nZoë,Müller\n".encode(), "utf-8"),
        ("First,Last\r\nZoë,Müller\r\n".encode("latin-1"), "latin-1"),
        ('"First","Last"\n\n"Zoë","Müller"\n\n'.encode(), "utf-8"),
    ],
)
def test_encodings_marks_line_ends_and_quotes(
    run: Import, engine: Engine, content: bytes, encoding: str
) -> None:
    done = run(content, *NAMES, "--encoding", encoding)
    assert done.exit_code == 0, done.stderr
    assert [(c.firstname, c.lastname) for c in customers(engine)] == [("Zoë", "Müller")]


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (
            "a,b\n1,ü\nZoë,x\n".encode("latin-1"),
            (),
            ("line 2 has the byte 0xFC", "--encoding latin-1"),
        ),
        ("First,Last\nA,B\n".encode("utf-16"), (), ("not UTF-8", "line 1")),
        ("\ufeffFirst,Last\nA,B\n", ("--encoding", "latin-1"), ("mark of UTF-8",)),
        ("", (), ("is empty",)),
        ("\n\n", (), ("is empty",)),
        ('First,Last\n"A,B\n', (), ("is not CSV after line",)),
        ('First,Last\n"A"x,B\n', (), ("is not CSV after line",)),
        ("First,Last,First\nA,B,C\n", (), ("more than one column 'First'",)),
        ("First;Last\nA;B\n", (), ("no column 'First'", "it has: First;Last")),
        ("First,Last\nA,B\n", ("--map", "First=FIRSTNAME", "--map", "Name=LASTNAME"), ("'Name'",)),
        ("First,Last\nA,B\n", ("--map", "First=FIRSTNAME"), ("Last Name is required",)),
        ("First,Last\nA,B\n", ("--map", "First=SHOESIZE"), ("no field SHOESIZE", "FIRSTNAME")),
        (
            "First,Last\nA,B\n",
            ("--map", "First=FIRSTNAME", "--map", "Last=ACCOUNTNUM"),
            ("no field ACCOUNTNUM",),
        ),
        ("First,Last,X\nA,B,C\n", (*NAMES, "--map", "X=firstname"), ("Two columns",)),
        ("First,Last\n" + "A,B\n" * 60_000, (), ("more than 50000 records", "Split")),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_before_anything_is_loaded(
    run: Import,
    engine: Engine,
    content: str | bytes,
    options: tuple[str, ...],
    words: tuple[str, ...],
) -> None:
    maps = () if "--map" in options else NAMES
    assert_refused(run(content, *maps, *options), *words)
    assert count(engine, Customer) == 0


@pytest.mark.parametrize("pair", ["First", "=FIRSTNAME", "First="])
def test_a_mapping_that_is_none_is_refused(run: Import, pair: str) -> None:
    done = run("First,Last\nA,B\n", "--map", pair)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "is not COLUMN=FIELD" in done.stderr


@pytest.mark.parametrize("path", ["missing.csv", "."])
def test_a_file_that_is_not_there_is_refused(sim_settings: Settings, path: str) -> None:
    done = CliRunner().invoke(
        main,
        ["import-csv", path, "--kind", "case", "--data-dir", str(sim_settings.data_dir)],
    )
    assert_refused(done, f"{path} cannot be read")


def test_each_rejected_row_is_reported_with_line_value_and_reason(
    run: Import, engine: Engine, tmp_path: Path
) -> None:
    rejects = tmp_path / "rejects.csv"
    rows = [
        ("Ada", "Byron", "ada@example.com", "Default", "fine"),
        ("Bob", "", "bob@example.com", "Default", "a name is missing"),
        ("Cy\nthia", "Day", "ADA@example.com", "Lead", "line break, unknown choice"),
        ("Dan", "East", "Ada@example.com", "Default", "taken by the first row"),
        ("x" * 1_000_000, "Fox", "", "Default", "a million characters"),
        ("Eve\x00", "Gus", "", "Default", "a control character"),
        ("Flo", "Hill", "flo@example.com", "Partner", "fine as well"),
    ]
    with (tmp_path / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("First", "Last", "Mail", "Type", "Note"), *rows])
    content = (tmp_path / "rows.csv").read_text(encoding="utf-8") + "Gil,Ives\nHal,Jo,,,,,\n"
    done = run(
        content, *NAMES, "--map", "Mail=EMAIL", "--map", "Type=customertype",
        "--rejects", str(rejects),
    )  # fmt: skip
    assert done.exit_code == 1
    assert "Loaded 2 records" in done.stdout
    assert "7 rows were rejected." in done.stdout
    assert [c.firstname for c in customers(engine)] == ["Ada", "Flo"]
    with rejects.open(encoding="utf-8", newline="") as file:
        reported = list(csv.reader(file))
    assert reported == [
        ["line", "column", "value", "reason"],
        ["3", "Last", "", "Last Name is required."],
        ["4", "First", "Cy\nthia", "First Name contains a control character. Remove it."],
        ["4", "Type", "Lead", "Customer Type must be one of: Default, Prospect, Partner."],
        ["6", "Mail", "Ada@example.com", "Another customer has the email Ada@example.com."],
        [
            *("7", "First", "x" * 100 + "..."),
            "First Name is 1000000 characters long; at most 30 are allowed.",
        ],
        ["8", "First", "Eve\x00", "First Name contains a control character. Remove it."],
        ["10", "", "Gil,Ives", "The row has 2 cells; the first line has 5."],
        ["11", "", "Hal,Jo,,,,,", "The row has 7 cells; the first line has 5."],
    ]
    assert "Line 3: Last Name is required." in done.stderr


def test_custom_fields_dates_and_passwords(run: Import, engine: Engine) -> None:
    with session_factory(engine).begin() as session:
        for definition in (
            Definition(Kind.CUSTOMER, "since", "Since", CustomType.DATE),
            Definition(
                *(Kind.CUSTOMER, "tier", "Tier", CustomType.PICK_LIST),
                choices=("Gold", "Tin"),
                default="Tin",
            ),
        ):
            custom_fields.define(session, definition)
    options = (*NAMES, "--map", "S=SINCE", "--map", "T=tier", "--map", "P=PASSWORD")
    done = run(
        "First,Last,S,T,P\n"
        "A,B,02/29/2024,Gold,secret\n"
        "C,D,,,\n"
        "E,F,02/30/2024,gold,0123456789abcdef\n"
        "G,H,2024-02-29,Gold,\n",
        *options,
    )
    assert [c.custom_fields for c in customers(engine)] == [
        {"since": "02292024", "tier": "Gold"},
        {"since": "", "tier": "Tin"},
    ]
    assert done.exit_code == 1
    assert "Line 4: Since must be a date like 12/31/2030 (MM/DD/YYYY)." in done.stderr
    assert "Line 4: Password is 16 characters long; at most 15 are allowed." in done.stderr
    assert "Line 5: Since must be a date" in done.stderr
    assert "secret" not in str([vars(c) for c in customers(engine)])


def test_cases_and_tasks_find_their_customer_or_are_rejected(run: Import, engine: Engine) -> None:
    run("First,Last\nA,B\n")
    cases = run(
        "Customer,About\n10000000,Noise\n99,Noise\n,Noise\n",
        *("--map", "Customer=ACCOUNTNUM", "--map", "About=SUBJECT"),
        kind="case",
    )
    assert "Line 3: Account Number: there is no Customer 99. (value: 99)" in cases.stderr
    assert "Line 4: Account Number: there is no Customer (empty)." in cases.stderr
    tasks = run(
        "Customer,About,Due,Who\n10000000,Call,12/31/2030,ag1002\n10000000,Call,,nobody\n",
        *("--map", "Customer=ACCOUNTNUM", "--map", "About=SUBJECT", "--map", "Due=DUEDATE"),
        *("--map", "Who=ASSIGNEDTO"),
        kind="task",
    )
    assert "Line 3: Assigned To: there is no agent nobody. (value: nobody)" in tasks.stderr
    with read_session(engine) as session:
        case, task = session.scalars(select(Case)).one(), session.scalars(select(Task)).one()
    assert (case.accountnum, case.status, case.createdby) == ("10000000", "Open", "csv import")
    assert task.duedate is not None
    assert f"{task.duedate:%Y-%m-%d %H:%M %Z}" == "2030-12-31 00:00 UTC"


def test_a_hundred_rows_are_a_transaction_and_a_batch_that_fails_leaves_those_before(
    engine: Engine, clock: ManualClock, tmp_path: Path
) -> None:
    file = tmp_path / "records.csv"
    file.write_text("First,Last\n" + "A,B\n" * 250, encoding="utf-8")
    seen: list[tuple[int, int, int]] = []

    def stop_in_the_third(done: int, total: int) -> None:
        seen.append((done, total, count(engine, Customer)))
        if done == 200:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        csv_import.import_csv(
            session_factory(engine), file, Kind.CUSTOMER,
            {"First": "FIRSTNAME", "Last": "LASTNAME"}, clock.now(),
            on_progress=stop_in_the_third,
        )  # fmt: skip
    assert seen == [(100, 250, 100), (200, 250, 200)]
    assert count(engine, Customer) == 200


def test_a_pipe_is_refused(engine: Engine, clock: ManualClock) -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(ImportRefused, match="Give a file, not a pipe"):
            csv_import.import_csv(
                session_factory(engine), Path(f"/dev/fd/{reading}"), Kind.CUSTOMER, {}, clock.now()
            )
    finally:
        os.close(reading)
        os.close(writing)


def test_every_kind_can_be_imported(run: Import, engine: Engine) -> None:
    run("First,Last\nA,B\n")
    parent = ("--map", "P=ACCOUNTNUM", "--map", "S=SUBJECT")
    run("P,S\n10000000,x\n", *parent, kind="case")
    run("P,S\n10000000,x\n", *parent, kind="task")
    run("P,S\n10000000,x\n", "--map", "P=CASENUM", "--map", "S=SUBJECT", kind="followup")
    assert [count(engine, model) for model in MODELS.values()] == [1, 1, 1, 1]
