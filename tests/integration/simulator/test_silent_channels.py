"""Bulk creation, auto-log, inbound email and seeding: what they leave, and that none fires."""

import random
import re
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session, sessionmaker

from simulator.cli import main
from simulator.clock import ManualClock
from simulator.db import open_database, read_session, session_factory
from simulator.local_crm import changes, fields
from simulator.local_crm.auto_log import INTERACTIONS, NobodyCalls, auto_log
from simulator.local_crm.first_start import fill_at_first_start
from simulator.local_crm.inbound_email import Filed, InboundEmail, receive
from simulator.local_crm.models import (
    MODELS,
    Case,
    Customer,
    Followup,
    Origin,
    RecordVersion,
    Task,
)
from simulator.services import Services
from simulator.settings import Settings
from simulator.triggers.models import Delivery
from simulator.triggers.urls import Kind
from tests.forms import Browser
from tests.local_crm import AGENT, create, fill_boxes

Command = Callable[..., Result]
Receive = Callable[..., Filed]


@pytest.fixture
def engine(sim_settings: Settings) -> Iterator[Engine]:
    """The database that commands work on, every box filled: an agent's change fires."""
    engine = open_database(sim_settings.database_path)
    with session_factory(engine).begin() as session:
        fill_at_first_start(session, sim_settings)
        fill_boxes(session, "https://crm.example.com")
    yield engine
    engine.dispose()


@pytest.fixture
def sessions(engine: Engine) -> sessionmaker[Session]:
    return session_factory(engine)


@pytest.fixture
def command(engine: Engine, sim_settings: Settings) -> Command:
    """Run a verb of crm-simulator on that database."""

    def run(*arguments: str, **variables: str) -> Result:
        given = [*arguments, "--data-dir", str(sim_settings.data_dir)]
        return CliRunner(env=variables).invoke(main, given, catch_exceptions=False)

    return run


@pytest.fixture
def write_in(sessions: sessionmaker[Session], clock: ManualClock) -> Receive:
    """File an email."""

    def write_in(sender: str, subject: str = "", body: str = "", *, reopens: bool = True) -> Filed:
        with sessions.begin() as session:
            return receive(
                session, InboundEmail(sender, subject, body), clock.now(), reopens=reopens
            )

    return write_in


def rows(engine: Engine, model: type) -> list[object]:
    with read_session(engine) as session:
        return list(session.scalars(select(model)))


def count(engine: Engine, model: type) -> int:
    return len(rows(engine, model))


def origins(engine: Engine, kind: Kind) -> set[tuple[Origin, str]]:
    with read_session(engine) as session:
        found = session.scalars(select(RecordVersion).where(RecordVersion.kind == kind))
        return {(version.origin, version.actor) for version in found}


def test_none_of_the_silent_commands_fires_and_an_agents_action_does(
    command: Command, engine: Engine, browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("csv") / "people.csv"
    file.write_text("First,Last\nAda,Byron\n", encoding="utf-8")
    maps = ("--map", "First=FIRSTNAME", "--map", "Last=LASTNAME")
    for arguments in (
        ("seed", "--customers", "5"),
        ("import-csv", str(file), "--kind", "customer", *maps),
        ("bulk-create", "--customers", "3"),
        ("auto-log", "--calls", "4"),
        ("inbound-email", "--from", "Zoë <zoe@example.org>", "--subject", "Hi"),
        ("inbound-email", "--from", "zoe@example.org", "--subject", "Again"),
        ("fields", "add", "--kind", "case", "--name", "CF1", "--type", "Text"),
    ):
        done = command(*arguments)
        assert done.exit_code == 0, done.stderr
    assert count(engine, Delivery) == 0
    assert {origin for origin, _ in origins(engine, Kind.CUSTOMER)} == {
        *(Origin.CSV, Origin.BULK, Origin.EMAIL),
    }
    assert origins(engine, Kind.TASK) >= {(Origin.AUTO_LOG, "system")}
    browser.submit("/agent/customers/new", firstname="Ada", lastname="Byron")
    assert count(engine, Delivery) == 1


def test_bulk_creation_makes_customers_alone_that_obey_the_rules(
    command: Command, engine: Engine
) -> None:
    done = command("bulk-create", "--customers", "30", "--seed", "7")
    assert (done.exit_code, done.stderr) == (0, "")
    assert [count(engine, model) for model in MODELS.values()] == [30, 0, 0, 0]
    assert origins(engine, Kind.CUSTOMER) == {(Origin.BULK, "bulk creation")}
    for customer in rows(engine, Customer):
        texts = {f.name: getattr(customer, f.name) for f in fields.FIELDS[Kind.CUSTOMER]}
        assert fields.check_all(Kind.CUSTOMER, texts) == {}
    assert command("bulk-create").exit_code == 0  # emails stay unique


def test_auto_log_ties_a_believable_task_to_a_customer_that_exists(
    engine: Engine, sessions: sessionmaker[Session], clock: ManualClock
) -> None:
    with sessions.begin() as session:
        numbers = [
            create(session, Kind.CUSTOMER, clock.now(), voice=f"+1 555 {n}") for n in range(3)
        ]
        changes.delete(session, Kind.CUSTOMER, numbers[1], AGENT, clock.now())
        tasks = auto_log(session, 40, random.Random(1), clock.now())
    assert len(set(tasks)) == 40
    with read_session(engine) as session:
        found = [session.get_one(Task, number) for number in tasks]
        owners = {c.accountnum: c for c in session.scalars(select(Customer))}
        agents = {"ag1001", "ag1002", "ag1003", "ag1004", "ag1005"}
        assert {task.accountnum for task in found} == {numbers[0], numbers[2]}
        for task in found:
            assert (task.call_type, task.media_type) in {pair[:2] for pair in INTERACTIONS}
            assert task.phone == owners[task.accountnum].voice
            assert task.assignedto in agents | {""}
            assert (task.task_status, task.createdby) == ("Completed", "system")
            assert re.fullmatch(r"20260302090000\d{8}", task.transactionid)
    assert len({task.transactionid for task in found}) == 40


def test_auto_log_with_the_same_seed_logs_the_same(
    sessions: sessionmaker[Session], clock: ManualClock
) -> None:
    with sessions.begin() as session:
        for _ in range(5):
            create(session, Kind.CUSTOMER, clock.now())
        logged = []
        for seed in (1, 1, 2):
            numbers = auto_log(session, 10, random.Random(seed), clock.now())
            made = [changes.version_data(session.get_one(Task, number)) for number in numbers]
            logged.append([{**data, "tasknum": ""} for data in made])
    assert logged[0] == logged[1] != logged[2]


def test_auto_log_without_a_customer_says_what_to_do(
    command: Command, sessions: sessionmaker[Session], clock: ManualClock
) -> None:
    done = command("auto-log")
    assert done.exit_code == 2
    assert done.stderr == (
        "Error: There is no customer who could call. Add some first: crm-simulator seed.\n"
    )
    with sessions.begin() as session, pytest.raises(NobodyCalls):
        auto_log(session, 1, random.Random(1), clock.now())


def test_an_unknown_sender_becomes_a_customer_with_a_case(
    write_in: Receive, engine: Engine
) -> None:
    filed = write_in("Zoë van Müller <zoe@example.org>", "No dial tone", "since\r\nMonday")
    assert filed == Filed("10000000", "10000000", None, new_customer=True, reopened=False)
    [customer], [case] = rows(engine, Customer), rows(engine, Case)
    assert isinstance(customer, Customer)
    assert isinstance(case, Case)
    assert (customer.firstname, customer.lastname) == ("Zoë", "van Müller")
    assert customer.email == "zoe@example.org"
    assert (case.subject, case.description, case.mediatype, case.status) == (
        *("No dial tone", "since\nMonday", "Email", "Open"),
    )
    assert (
        origins(engine, Kind.CUSTOMER)
        == origins(engine, Kind.CASE)
        == {(Origin.EMAIL, "inbound email")}
    )


@pytest.mark.parametrize(
    ("sender", "names"),
    [
        ("ada.byron@example.org", ("Ada", "Byron")),
        ("info@example.org", ("Info", "example.org")),
        ("...@example.org", ("Unknown", "example.org")),
        ("Ada <x@example.org>", ("Ada", "example.org")),
        (f"{'N' * 40} {'M' * 40} <x@example.org>", ("N" * 30, "M" * 30)),
    ],
)
def test_a_new_customer_always_has_both_names(
    write_in: Receive, engine: Engine, sender: str, names: tuple[str, str]
) -> None:
    write_in(sender)
    [customer] = rows(engine, Customer)
    assert isinstance(customer, Customer)
    assert (customer.firstname, customer.lastname) == names


def test_a_known_sender_follows_up_on_the_open_case_that_the_subject_names(
    write_in: Receive, engine: Engine
) -> None:
    first = write_in("zoe@example.org", "No dial tone")
    second = write_in("ZOE@example.org", f"Re: no dial tone [case {first.case}]", "Still none.")
    third = write_in("zoe@example.org", "Something else")
    assert second == Filed("10000000", first.case, "10000000", False, False)
    assert (third.case, third.new_customer, third.followup) == ("10000001", False, None)
    [followup] = rows(engine, Followup)
    assert isinstance(followup, Followup)
    assert (followup.direction, followup.mediatype, followup.body) == (
        *("Inbound", "Email", "Still none."),
    )
    assert count(engine, Customer) == 1


@pytest.mark.parametrize("reopens", [True, False])
def test_a_closed_case_is_reopened_if_the_setting_says_so(
    command: Command, write_in: Receive, sessions: sessionmaker[Session], clock: ManualClock,
    engine: Engine, reopens: bool,
) -> None:  # fmt: skip
    case = write_in("zoe@example.org", "No dial tone").case
    with sessions.begin() as session:
        changes.edit(session, Kind.CASE, case, {"status": "Closed"}, AGENT, clock.now())
    fired = count(engine, Delivery)
    done = command(
        "inbound-email", "--from", "zoe@example.org", "--subject", f"Again [Case {case}]",
        CRM_SIM_EMAIL_REOPENS_CLOSED_CASE=str(reopens),
    )  # fmt: skip
    with read_session(engine) as session:
        first = session.get_one(Case, case)
        assert (first.status, first.closedby) == (("Open", "") if reopens else ("Closed", "ag1001"))
    assert (count(engine, Case), count(engine, Followup)) == ((1, 1) if reopens else (2, 0))
    assert count(engine, Delivery) == fired
    assert done.stdout == (
        f"Filed as follow-up 10000000 of reopened case {case} of customer 10000000.\n"
        if reopens
        else "Filed as new case 10000001 of customer 10000000.\n"
    )


@pytest.mark.parametrize("named", ["10000000", "99999999", "../x", "x" * 100])
def test_nobody_writes_on_the_case_of_another(
    write_in: Receive, engine: Engine, named: str
) -> None:
    write_in("ada@example.org", "Mine")
    filed = write_in("zoe@example.org", f"[Case {named}]")
    write_in("zoe@example.org", f"[Case {named}]")
    assert filed.account == "10000001"
    assert (count(engine, Case), count(engine, Followup)) == (3, 0)


def test_what_an_email_says_is_cut_and_cleaned(write_in: Receive, engine: Engine) -> None:
    write_in("zoe@example.org", "s\x00\n" * 300, "b\ufffe" * 5000)
    write_in("zoe@example.org", " ", "")
    first, second = rows(engine, Case)
    assert isinstance(first, Case)
    assert isinstance(second, Case)
    assert first.subject == ("s " * 300)[:255]
    assert first.description == "b" * 4000
    assert second.subject == "(no subject)"


@pytest.mark.parametrize(
    ("sender", "words"),
    [
        ("", "has no address"),
        ("zoe", "must be an address"),
        ("a@b@c", "address"),
        ("<>", "address"),
    ],
)
def test_a_sender_without_an_address_is_refused(
    command: Command, engine: Engine, sender: str, words: str
) -> None:
    done = command("inbound-email", "--from", sender)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    assert (count(engine, Customer), count(engine, Case)) == (0, 0)


def test_an_email_address_is_no_longer_than_the_setting_says(
    command: Command, engine: Engine
) -> None:
    sender = f"{'a' * 40}@example.org"
    done = command("inbound-email", "--from", sender, CRM_SIM_EMAIL_MAX_LENGTH="40")
    assert "Email is 52 characters long; at most 40 are allowed." in done.stderr
    assert command("inbound-email", "--from", sender).exit_code == 0
    assert count(engine, Customer) == 1


def test_custom_fields_are_defined_and_listed_by_commands(
    command: Command, browser: Browser
) -> None:
    assert "There are no custom fields" in command("fields", "list").stdout
    tier = ("--name", "tier", "--type", "pick list", "--choice", "Gold", "--choice", "Tin")
    done = command("fields", "add", "--kind", "customer", *tier, "--default", "Tin")
    assert done.stdout == "Defined tier for every Customer; the CRM API sends it as <tier>.\n"
    date = ("--name", "CF02", "--label", "Since when", "--type", "Date", "--default", "12/31/2030")
    done = command("fields", "add", "--kind", "case", *date, "--required")
    assert done.stdout == "Defined CF02 for every Case; the CRM API sends it as <CF02.NAME>.\n"
    assert command("fields", "list").stdout.splitlines() == [
        "Customer\ttier\t<tier>\tPick List\ttier\toptional\tdefault Tin\tone of Gold, Tin",
        "Case\tCF02\t<CF02.NAME>\tDate\tSince when\trequired\tdefault 12312030",
    ]
    for wrong in (
        (*("--name", "TIER", "--type", "Text"),),
        (*("--name", "a b", "--type", "Text"),),
        (*("--name", "n", "--type", "Date", "--default", "02/30/2024"),),
        (*("--name", "n", "--type", "Text", "--max-length", "4001"),),
    ):
        done = command("fields", "add", "--kind", "customer", *wrong)
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1), wrong
    assert browser.get("/agent/customers/new").value("custom-tier") == "Tin"


def test_seeding_gives_the_same_data_for_the_same_seed_whatever_the_day(
    command: Command, engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def everything(other: Engine) -> list[list[dict[str, object]]]:
        with read_session(other) as session:
            return [
                [changes.version_data(row) for row in session.scalars(select(model))]
                for model in (*MODELS.values(), RecordVersion)
            ]

    first = command("seed", "--customers", "12", "--seed", "5")
    assert first.exit_code == 0
    folder = tmp_path_factory.mktemp("other")
    again = CliRunner().invoke(
        main, ["seed", "--customers", "12", "--seed", "5", "--data-dir", str(folder)]
    )
    assert again.exit_code == 0
    other = open_database(folder / "local_crm.db")
    try:
        assert everything(other) == everything(engine)
    finally:
        other.dispose()


def test_the_email_setting_holds_for_the_console_too(
    sim_settings: Settings, services: Services, browser: Browser
) -> None:
    with services.sessions() as session:
        assert session.info.items() >= changes.session_info(sim_settings).items()
        assert session.scalar(select(func.count()).select_from(Customer)) == 0
