"""The commands that drive a running simulator: what they print, and with which code they end."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from werkzeug import Response

from simulator.cli import main
from simulator.server import Simulator
from simulator.settings import Settings
from simulator.triggers.models import DeliveryState

NOWHERE = "https://127.0.0.1:1/{kind}/{event}"  # nothing listens there
Run = Callable[..., Result]


@pytest.fixture
def sim() -> Iterator[Simulator]:
    """A simulator of its own, whose clock stands still at nine."""
    with Simulator(freeze_at="2026-03-02T09:00Z", retry_jitter=0, chaos_seed="cli") as running:
        yield running


def runner(**variables: str) -> Run:
    """Runs a command under these variables."""

    def run(*arguments: str, **options: Any) -> Result:
        return CliRunner(env=variables).invoke(main, arguments, **options)

    return run


@pytest.fixture
def run(sim: Simulator) -> Run:
    """Runs a command that finds the simulator by its variables."""
    return runner(CRM_SIM_URL=sim.url, CRM_SIM_CA=str(sim.ca_path))


def done(result: Result) -> str:
    """What a command that ended well has printed."""
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def objects(result: Result) -> list[dict[str, Any]]:
    """The objects that --json has printed."""
    return [json.loads(line) for line in done(result).splitlines()]


def assert_says(result: Result, code: int, *words: str) -> None:
    """This exit code, and one sentence on standard error."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, result.stderr
    assert result.stderr.endswith(f"{errors[0]}\n")
    for word in words:
        assert word in errors[0]


# --- the clock, deliveries, waiting -------------------------------------------------------------


def test_an_outage_is_played_and_healed_from_a_shell(sim: Simulator, run: Run) -> None:
    done(run("triggers", "set-all", sim.serve(Response("ok"))))
    done(run("faults", "add", "lose_request"))
    customer = sim.agent.create_customer(firstname="Ada", lastname="Byron").record_id
    assert_says(run("wait", "idle", "--timeout", "0"), 1, "Not idle within 0 s.", "Delivery 1")
    assert done(run("clock", "show")) == "2026-03-02T09:00:00Z standing still\n"
    assert done(run("clock", "run-until-idle")).endswith("nothing waits now.\n")
    [exhausted] = objects(run("deliveries", "list", "--state", "exhausted", "--json"))
    assert (exhausted["record_id"], exhausted["attempts"][0]["started_at"]) == (
        customer,
        "2026-03-02T09:00:00Z",
    )
    listed = done(run("deliveries", "list"))
    assert f"Customer  Create  {customer}  exhausted, {exhausted['attempt_count']}" in listed
    shown = done(run("deliveries", "show", "1")).splitlines()
    assert shown[1] == exhausted["url"]
    assert len(shown) == 2 + exhausted["attempt_count"]

    done(run("faults", "clear"))
    asked = run("deliveries", "redeliver", "--state", "exhausted", input="y\n")
    assert (asked.exit_code, asked.stdout) == (0, "1 delivery is due again.\n")
    assert "Send 1 delivery again?" in asked.stderr
    done(run("wait", "delivered", "customer", customer))
    done(run("wait", "delivery", "1"))
    assert [one["state"] for one in objects(run("deliveries", "list", "--json"))] == ["delivered"]


def test_the_clock_moves_by_words(run: Run) -> None:
    assert done(run("clock", "advance", "30h")).startswith("2026-03-03T15:00:00Z standing still")
    done(run("clock", "set", "2026-03-04T00:00Z"))
    [moved] = objects(run("clock", "freeze", "--at", "2026-03-05T01:00+01:00", "--json"))
    assert moved == {"now": "2026-03-05T00:00:00Z", "frozen": True, "attempts": 0, "idle": True}
    assert "running" in done(run("clock", "resume"))
    assert "standing still" in done(run("clock", "freeze"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["set", "2020-01-01T00:00Z"], "A clock does not go backwards"),
        (["freeze", "--at", "2020-01-01T00:00Z"], "A clock does not go backwards"),
        (["set", "2026-03-04T00:00"], "no instant with its zone, such as"),
        (["set", "tomorrow"], "no instant with its zone, such as"),
        (["advance", "-5"], "'-5' is no span forward"),
        (["advance", "soon"], "'soon' is no span forward"),
        (["advance", "9999999999d"], "by_s: "),
        (["advance", "1h", "--timeout", "2h"], "timeout_s: "),
    ],
)
def test_a_wrong_move_of_the_clock_is_asked_wrongly(
    run: Run, arguments: list[str], words: str
) -> None:
    assert_says(run("clock", *arguments), 2, words)


def test_sending_many_again_says_how_many_first(sim: Simulator, run: Run) -> None:
    sim.triggers.set_all(NOWHERE)
    for name in ("Ada", "Bea"):
        sim.agent.create_customer(firstname=name, lastname="Byron")
    sim.clock.run_until_idle()
    chosen = ("deliveries", "redeliver", "--kind", "Customer")
    assert done(run(*chosen, "--dry-run")) == "2 deliveries fit.\n"
    declined = run(*chosen, input="n\n")
    assert declined.exit_code == 1
    assert "Send 2 deliveries again?" in declined.stderr
    assert {one.state for one in sim.deliveries.list()} == {"exhausted"}
    done(run("deliveries", "pause"))
    assert done(run(*chosen, "--yes")) == "2 deliveries are due again.\n"
    assert done(run(*chosen, "--yes")) == "0 deliveries fit.\n"
    assert_says(run("deliveries", "redeliver", "1"), 1, "still waits")
    assert_says(run("deliveries", "redeliver"), 2, "Say which")
    assert_says(run("deliveries", "redeliver", "1", "--all"), 2, "Say which")
    done(run("deliveries", "resume"))
    sim.clock.run_until_idle()
    assert done(run("deliveries", "redeliver", "1")) == "Delivery 1 is due again.\n"


def test_a_delivery_that_is_not_there(run: Run) -> None:
    assert done(run("deliveries", "list")) == "No delivery fits.\n"
    for verb in ("show", "redeliver"):
        assert_says(run("deliveries", verb, "7"), 1, "There is no delivery 7.")


def test_the_states_to_choose_from_are_those_there_are() -> None:
    command = main.commands["deliveries"]
    assert isinstance(command, click.Group)
    states = next(one for one in command.commands["list"].params if one.name == "state").type
    assert isinstance(states, click.Choice)
    assert list(states.choices) == list(DeliveryState)


def test_waiting_in_vain_gives_the_reasons_as_json_too(run: Run) -> None:
    late = run("wait", "fetched", "Customer", "10000000", "--timeout", "0", "--json")
    assert late.exit_code == 1
    assert json.loads(late.stdout)["reasons"]
    assert objects(run("wait", "idle", "--json")) == [{"met": True}]
    assert_says(run("wait", "idle", "--timeout", "10h"), 2, "timeout_s")


# --- faults, reads, state -----------------------------------------------------------------------


def test_faults_are_added_listed_and_cleared(run: Run) -> None:
    added = run("faults", "add", "lose_answer", "kind=Case", "every=3", "record=10000000")
    told = "lose_answer kind=Case record=10000000 every=3"
    assert done(added) == f"Fault 1 is in force: {told}.\n"
    [fault] = objects(run("faults", "add", "timeout", "work_done=true", "--json"))
    assert (fault["id"], fault["fault"]["work_done"]) == (2, True)
    listed = done(run("faults", "list")).splitlines()
    assert listed[0] == f"1  in force  hit 0 of 0  {told}"
    assert done(run("faults", "clear", "1")) == "1 fault cleared.\n"
    assert done(run("faults", "clear")) == "1 fault cleared.\n"
    assert_says(run("faults", "clear", "9"), 1, "There is no fault 9.")


def test_faults_that_there_are_say_what_they_take(run: Run) -> None:
    assert "lose_answer           trigger  The receiver does its" in done(run("faults", "kinds"))
    assert "stale_s" in done(run("faults", "kinds", "stale_read"))
    assert len(objects(run("faults", "kinds", "--json"))) == 20
    assert_says(run("faults", "kinds", "nonsense"), 1, "There is no fault 'nonsense'")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lose_answers"], "There is no fault 'lose_answers'. There are: lose_request"),
        (["lose_answer", "evry=3"], "lose_answer has no parameter evry"),
        (["lose_answer", "every=x"], "every: "),
        (["stale_read", "stale_s=-1"], "stale_s: "),
        (["stale_read", "stale_s"], "stale_s is not NAME=VALUE."),
        (["stale_read", "stale_s=1", "stale_s=2"], "stale_s is given twice."),
    ],
)
def test_a_wrong_fault_is_asked_wrongly(run: Run, arguments: list[str], words: str) -> None:
    assert_says(run("faults", "add", *arguments), 2, words)
    assert done(run("faults", "list")) == "There are no faults.\n"


def test_journal_events_and_digest_are_told(sim: Simulator, run: Run) -> None:
    assert done(run("journal")) == "The journal has no such entry.\n"
    sim.triggers.set_all(NOWHERE)
    sim.agent.create_customer(firstname="Ada", lastname="Byron")
    sim.clock.advance(0)
    assert "->  Customer Create  10000000" in done(run("journal", "--door", "trigger"))
    [entry] = objects(run("journal", "--delivery", "1", "--json"))
    assert entry["trigger"]["record_id"] == "10000000"
    assert "record-changed  Customer 10000000  " in done(run("events", "--what", "record-changed"))
    assert_says(run("events", "--what", "nonsense"), 2, "what: ")
    assert done(run("digest")) == f"{sim.events.digest}\n"
    [digest] = objects(run("digest", "--json"))
    assert digest["chaos_seed"] == "cli"


def test_states_are_kept_brought_back_and_reset(sim: Simulator, run: Run) -> None:
    assert done(run("snapshot", "list")).startswith("Nothing is kept.")
    done(run("triggers", "set-all", NOWHERE))
    done(run("snapshot", "save", "filled"))
    done(run("reset"))
    assert {box["url"] for box in objects(run("triggers", "list", "--json"))} == {""}
    done(run("snapshot", "restore", "filled"))
    assert "" not in {box.url for box in sim.triggers.list()}
    assert done(run("snapshot", "list")).startswith("filled  ")
    done(run("snapshot", "delete", "filled"))
    assert_says(run("snapshot", "restore", "filled"), 1, "There is no snapshot filled")
    assert_says(run("snapshot", "save", "a b"), 2, "name: ")
    assert_says(run("snapshot", "save", "../reset"), 1, "There is no PUT")


def test_boxes_are_filled_one_by_one(run: Run) -> None:
    done(run("triggers", "set", "case", "edit", "https://example.com/case"))
    assert "Case      Edit    https://example.com/case" in done(run("triggers", "list"))
    done(run("triggers", "set", "case", "edit", ""))
    assert "https" not in done(run("triggers", "list"))
    assert_says(run("triggers", "set-all", "ftp://example.com"), 2, "https://")
    assert_says(run("triggers", "set", "cases", "edit", NOWHERE), 2, "'cases' is not one of")


def test_doctor_says_what_to_do_and_ends_with_1_until_all_is_well(sim: Simulator, run: Run) -> None:
    empty = run("doctor")
    assert (empty.exit_code, "No box has a URL" in empty.stdout) == (1, True)
    sim.triggers.set_all(NOWHERE)
    sick = run("doctor")
    assert (sick.exit_code, sick.stdout) == (
        1,
        "BAD  127.0.0.1:1 refused the connection.\n"
        "     Start the receiver, or correct the port in the box.\n",
    )
    sim.triggers.set_all(sim.serve(Response("ok")))
    assert done(run("doctor")).startswith("ok   127.0.0.1:")
    [found] = objects(run("doctor", "--json"))
    assert found["well"] is True


# --- where the simulator is ---------------------------------------------------------------------


def test_without_options_the_settings_say_where_it_is(sim: Simulator) -> None:
    port, folder = sim.url.rpartition(":")[2], str(sim.settings.data_dir)
    done(runner(CRM_SIM_PORT=port, CRM_SIM_DATA_DIR=folder)("clock", "show"))
    assert_says(runner(CRM_SIM_PORT="0")("clock", "show"), 2, "CRM_SIM_PORT is 0", "--url")
    assert_says(runner(CRM_SIM_PORT="many")("clock", "show"), 2, "CRM_SIM_PORT cannot be used")


def test_no_simulator_there_is_exit_code_2(sim: Simulator, tmp_path: Path) -> None:
    run = runner(CRM_SIM_DATA_DIR=str(tmp_path))
    nobody = run("clock", "show", "--url", "http://127.0.0.1:1")
    assert_says(nobody, 2, "No simulator answers at http://127.0.0.1:1: Connection refused")
    for nonsense in ("nonsense", "https:", "https://[::", "https://127.0.0.1:99999"):
        assert_says(run("clock", "show", "--url", nonsense), 2, f"'{nonsense}' is no address")
    for answer in (Response("<html>", 404), Response("<html>"), Response("{}")):
        elsewhere, ca = sim.serve(answer), str(sim.ca_path)
        found = run("clock", "show", "--url", elsewhere, "--ca", ca)
        assert_says(found, 2, f"What answers at {elsewhere} is no simulator of this version.")


def test_a_certificate_that_is_not_trusted_is_exit_code_2(sim: Simulator, tmp_path: Path) -> None:
    other, broken = tmp_path / "other", tmp_path / "broken.pem"
    with Simulator(Settings(data_dir=other, port=0, ephemeral=True)):
        pass
    broken.write_text("no certificate\n")
    run = runner(CRM_SIM_URL=sim.url)
    untrusted = run("clock", "show", "--ca", str(other / "ca.pem"))
    assert_says(untrusted, 2, "its certificate is not trusted", "its CA file")
    assert_says(run("clock", "show", "--ca", str(broken)), 2, "its CA file")
    assert_says(run("clock", "show", "--ca", str(tmp_path / "none")), 2, "does not exist")


def test_a_token_is_given_by_option_or_variable() -> None:
    with Simulator(control_token="open-sesame") as sim:
        run = runner(CRM_SIM_URL=sim.url, CRM_SIM_CA=str(sim.ca_path))
        done(run("clock", "show", "--token", "open-sesame"))
        for wrong in (["--token", "open-sesames"], []):
            assert_says(run("clock", "show", *wrong), 2, "CRM_SIM_CONTROL_TOKEN")
        variables = {"CRM_SIM_URL": sim.url, "CRM_SIM_CA": str(sim.ca_path)}
        done(runner(**variables, CRM_SIM_CONTROL_TOKEN="open-sesame")("clock", "show"))


def test_env_prints_exports_or_json(sim: Simulator, run: Run, tmp_path: Path) -> None:
    lines = done(run("env")).splitlines()
    assert lines[:2] == [f"export CRM_SIM_URL={sim.url}", f"export CRM_SIM_CA={sim.ca_path}"]
    assert json.loads(done(run("env", "--json")))["NODE_EXTRA_CA_CERTS"] == str(sim.ca_path)
    plain = done(run("env", "--url", "http://127.0.0.1:8801"))
    assert plain == "export CRM_SIM_URL=http://127.0.0.1:8801\n"
    assert_says(runner(CRM_SIM_DATA_DIR=str(tmp_path))("env"), 2, "There is no CA file", "--ca")
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate\n")
    assert_says(run("env", "--ca", str(broken)), 2, f"The CA file {broken} cannot be used")


# --- every command ------------------------------------------------------------------------------


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """All commands below, with the words that call them."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        yield (*path, name), command


@pytest.mark.parametrize("path", [" ".join(path) for path, _ in commands(main)])
def test_every_flag_has_a_variable_that_help_names(path: str) -> None:
    command = dict(commands(main))[tuple(path.split())]
    shown = done(runner()(*path.split(), "--help"))
    assert " ".join(shown.split()).startswith(f"Usage: main {path}")
    flags = [one for one in command.params if isinstance(one, click.Option)]
    for flag in flags:
        assert isinstance(flag.envvar, str)
        assert flag.envvar.startswith("CRM_SIM_")
        assert flag.envvar in shown
    assert len({flag.envvar for flag in flags}) == len(flags)


def test_a_variable_does_what_its_flag_does(sim: Simulator) -> None:
    variables = {"CRM_SIM_URL": sim.url, "CRM_SIM_CA": str(sim.ca_path), "CRM_SIM_JSON": "1"}
    at = runner(**variables, CRM_SIM_CLOCK_FREEZE_AT="2026-03-02T10:00Z")("clock", "freeze")
    assert objects(at)[0]["now"] == "2026-03-02T10:00:00Z"


def test_no_variable_of_a_flag_is_one_of_another_setting() -> None:
    settings = {f"CRM_SIM_{name.upper()}" for name in Settings.model_fields}
    for path, command in commands(main):
        for one in command.params:
            if isinstance(one, click.Option) and one.envvar in settings:
                assert one.name == str(one.envvar).removeprefix("CRM_SIM_").lower(), path


def test_help_lists_settings_and_exit_codes_and_the_version_is_told() -> None:
    shown = done(runner()("--help"))
    for name in Settings.model_fields:
        assert f"CRM_SIM_{name.upper()}\n" in shown
    assert "Exit codes: 0, done. 1, not done" in shown
    assert "demo-api-key" not in shown
    assert done(runner()("--version")).endswith("version 0.1.0\n")
