"""`crm-receiver dead` and `rejects`: what an operator finds, replays and drops; both databases."""

import json
import os
from collections.abc import Callable
from datetime import timedelta

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine

from external_crm.db import session_factory
from external_crm.rows import Key
from receiver import inbox
from receiver.app import create_app
from receiver.cli import main
from receiver.crm_api import BadAnswer
from receiver.settings import Settings
from receiver.trigger import Event
from tests.receiver_world import CASE, CUSTOMER, START, World

SECRET = "a-secret-of-24-characters"
Run = Callable[..., Result]


@pytest.fixture
def run(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`crm-receiver` on the test's database."""
    for name in [name for name in os.environ if name.startswith("CRM_")]:
        monkeypatch.delenv(name)
    url = engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("CRM_RECEIVER_DATABASE_URL", url)
    return lambda *arguments, **options: CliRunner().invoke(main, list(arguments), **options)


def bury(world: World, reason: str = "The reply is not XML.", reply: str = "<html>") -> int:
    """Let one trigger of case C1 die; its row id."""
    customer = world.crm.put(CUSTOMER, "A1")
    case = world.crm.put(CASE, "C1", ACCOUNTNUM=customer.id)
    world.crm.errors[case] = BadAnswer(reason, reply)
    row_id = world.receive(case, Event.EDIT)
    world.run(world.worker(max_attempts=1))
    assert world.trigger(row_id).state == "dead"
    return row_id


def test_a_dead_trigger_is_listed_with_its_reason_and_shown_with_its_reply(
    world: World, run: Run
) -> None:
    row_id = bury(world)

    listed = run("dead", "list").stdout
    assert "case edit" in listed
    assert "The reply is not XML." in listed
    assert listed.endswith("1 dead trigger.\n")
    [fields] = [json.loads(line) for line in run("dead", "list", "--json").stdout.splitlines()]
    assert (fields["id"], fields["record_id"], fields["last_reply"]) == (row_id, "C1", "<html>")
    assert "last reply   <html>" in run("dead", "show", str(row_id)).stdout


def test_a_replayed_trigger_takes_effect_once_its_cause_is_mended(world: World, run: Run) -> None:
    row_id = bury(world)
    world.crm.errors.clear()

    done = run("dead", "replay", str(row_id), "--yes")

    assert (done.exit_code, done.stdout) == (0, "1 trigger due again now.\n")
    assert world.trigger(row_id).attempts == 0
    world.clock.instant = world.trigger(row_id).due_at
    world.run()
    assert world.trigger(row_id).state == "done"
    assert world.row(Key(CASE, "C1")) is not None


def test_replay_says_how_many_and_waits_for_a_yes(world: World, run: Run) -> None:
    row_id = bury(world)

    refused = run("dead", "replay", "--kind", "case", input="n\n")

    assert "Replay 1 dead trigger? [y/N]" in refused.stdout
    assert refused.exit_code == 1
    assert world.trigger(row_id).state == "dead"
    assert run("dead", "replay", "--kind", "case", input="y\n").exit_code == 0
    assert world.trigger(row_id).state == "waiting"


@pytest.mark.parametrize(
    "condition",
    [
        ("--kind", "task"),
        ("--record", "C2"),
        ("--reason", "100%"),
        ("--before", f"{START - timedelta(days=1):%Y-%m-%d}"),
        ("999",),
    ],
)
def test_only_what_is_chosen_is_replayed(
    world: World, run: Run, condition: tuple[str, ...]
) -> None:
    row_id = bury(world)

    done = run("dead", "replay", *condition, "--yes")

    assert (done.exit_code, done.stderr) == (
        1,
        "Error: No dead trigger is chosen; nothing was changed.\n",
    )
    assert world.trigger(row_id).state == "dead"


def test_a_condition_finds_part_of_the_reason_in_any_case(world: World, run: Run) -> None:
    row_id = bury(world, "Only 100% of nothing came.")

    assert run("dead", "replay", "--reason", "ONLY 100%", "--yes").exit_code == 0
    assert world.trigger(row_id).state == "waiting"


@pytest.mark.parametrize("given", [(), ("--all", "1"), ("--all", "--kind", "case")])
def test_all_must_be_said_and_nothing_beside_it(
    world: World, run: Run, given: tuple[str, ...]
) -> None:
    row_id = bury(world)

    done = run("dead", "drop", *given, "--yes")

    assert done.exit_code == 2
    assert "Give ids or conditions, or --all, but not both." in done.stderr
    assert world.trigger(row_id).state == "dead"


def test_a_dropped_trigger_is_dead_no_more_and_still_counted(world: World, run: Run) -> None:
    bury(world)

    assert run("dead", "drop", "--all", "--yes").stdout == "1 dead trigger dropped.\n"

    status = run("status").stdout
    assert "dead       0" in status
    assert "dropped    1" in status
    assert run("dead", "list").stdout == "0 dead triggers.\n"
    assert run("dead", "replay", "--all", "--yes").exit_code == 1


def test_waiting_triggers_are_out_of_reach(world: World, run: Run) -> None:
    row_id = world.receive(world.crm.put(CUSTOMER, "A1"))

    assert run("dead", "drop", str(row_id), "--yes").exit_code == 1
    assert "There is no dead trigger" in run("dead", "show", str(row_id)).stderr
    assert world.trigger(row_id).state == "waiting"


def reject(world: World, address: str) -> None:
    """Call a trigger URL that is none, as 8x8 would."""
    settings = Settings(secret=SECRET)
    client = create_app(settings, world.engine, world.clock).test_client()
    assert client.get(f"/8x8/{SECRET}{address}").status_code == 400


def test_a_reject_is_listed_and_shown_with_its_line_and_reason(world: World, run: Run) -> None:
    reject(world, "/case/edit?CaseID=C%201")

    listed = run("rejects", "list").stdout
    assert "case/edit?CaseID=C%201" in listed
    assert "AccountID is missing." not in listed  # the first thing wrong is said
    assert "CaseID may hold letters, digits and - _ . only." in listed
    assert "1 reject." in listed
    assert "line         case/edit?CaseID=C%201" in run("rejects", "show", "1").stdout
    assert "There is no reject 7" in run("rejects", "show", "7").stderr


def test_a_reject_that_is_a_trigger_now_is_stored_and_takes_effect(world: World, run: Run) -> None:
    """As after an update of the receiver: a line it could not read when it came."""
    customer = world.crm.put(CUSTOMER, "A1")
    with session_factory(world.engine).begin() as session:
        inbox.reject(session, "GET", "customer/edit?AccountID=A1", "Not understood.", START)
    reject(world, "?CaseID=C1")

    done = run("rejects", "replay", "--all", "--yes")

    assert done.stdout == "1 trigger stored and due now; 1 still rejected.\n"
    [trigger] = world.inbox()
    world.clock.instant = trigger.due_at
    world.run()
    assert world.row(customer) is not None
    assert "AccountID is missing." in run("rejects", "list").stdout


def test_dropped_rejects_are_gone(world: World, run: Run) -> None:
    reject(world, "?CaseID=C1")
    reject(world, "?TaskID=T1&TaskID=T2")

    assert run("rejects", "drop", "--reason", "twice", "--yes").stdout == "1 reject dropped.\n"
    assert "1 reject." in run("rejects", "list").stdout
    assert run("rejects", "drop", "--all", "--yes").exit_code == 0
    assert run("rejects", "list").stdout == "0 rejects.\n"
