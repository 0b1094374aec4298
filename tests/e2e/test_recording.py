"""Recorded traffic, and `crm-simulator assumptions --check`: evidence instead of assumptions."""

import json
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from simulator.assumptions import ASSUMPTIONS, BY_ID
from simulator.cli import main as simulator_main
from simulator.evidence.check import UNTOLD
from simulator.evidence.weighing import CHECKS
from simulator.settings import Settings
from tests import external_databases
from tests.recorded_tenant import SECRET, RecordedTenant

Play = Callable[..., RecordedTenant]
# What a short recording of a tenant that is as assumed can never show.
NEVER_SEEN = {
    "trigger.followup-edit-silent",
    "trigger.percent-encoded",
    "api.rate-limit",
    "api.row-cap",
    "records.lengths",
    "records.custom-lengths",
    "records.names-required",
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return external_databases.make_sqlite_template(tmp_path_factory.mktemp("template"))


@pytest.fixture
def play(sim_settings: Settings, template: Path, tmp_path: Path) -> Iterator[Play]:
    def play(**changes: Any) -> RecordedTenant:
        return RecordedTenant(sim_settings, template, tmp_path, **changes)

    yield play


def check(path: Path) -> tuple[int, dict[str, set[str]], str]:
    """Exit code, the lines of the ledger by verdict, and all that is printed."""
    done = CliRunner().invoke(simulator_main, ["assumptions", "--check", str(path)])
    found = re.findall(r"^(refuted|confirmed|not seen) +([a-z]+\.[a-z0-9-]+)", done.output, re.M)
    verdicts: dict[str, set[str]] = {"refuted": set(), "confirmed": set(), "not seen": set()}
    for verdict, name in found:
        verdicts[verdict].add(name)
    return done.exit_code, verdicts, done.output


def test_a_tenant_that_does_as_assumed_confirms_it(play: Play) -> None:
    code, verdicts, said = check(play().path)
    assert verdicts["refuted"] == set(), said
    assert verdicts["not seen"] == NEVER_SEEN | {"api.cc-endpoint"}
    assert code == 0


def test_the_other_endpoint_is_confirmed_too(play: Play) -> None:
    _, verdicts, said = check(play(with_key=True).path)
    assert "api.cc-endpoint" in verdicts["confirmed"], said
    assert verdicts["refuted"] == set()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("followup_edit_trigger", True),
        ("trigger_query_continuation", "?"),
        ("trigger_method", "POST"),
        ("retry_schedule", "quick"),
        ("delete_cascade_fires", True),
        ("custom_tag_suffix", ""),
        ("first_number", 500),
        ("api_raw_query", "as-sent"),
        ("api_case_matters", True),
        ("api_reply_root", "username"),
        ("api_characters", "question-mark"),
        ("api_get_without_filter", "all"),
        ("api_unknown_tags", "ignore"),
        ("api_more_filters", False),
        ("api_partial_match", "beginning"),
        ("api_duedate_reply", "date"),
        ("api_rate_limit_per_minute", 25),
        ("api_row_cap", 1),
    ],
)
def test_a_tenant_that_does_otherwise_refutes_that_alone(
    play: Play, setting: str, value: object
) -> None:
    refuted = {line.id for line in ASSUMPTIONS if line.setting == setting}
    code, verdicts, said = check(play(**{setting: value}).path)
    assert verdicts["refuted"] == refuted, said
    assert f"Set CRM_SIM_{setting.upper()}" in said
    assert code == 1


def test_no_value_no_secret_and_no_credential_is_in_the_file(play: Play) -> None:
    tenant = play(api_reply_root="username")
    told = tenant.path.read_text()
    # As JSON would write them, too.
    written = {form for value in tenant.values for form in (value, json.dumps(value)[1:-1])}
    assert {"Lovelace", "10000000", "Open", "03232026", "李明"} <= tenant.values | {"李明"}
    assert {value for value in written if value in told} == set()
    settings = tenant.settings
    hidden = [settings.tenant, settings.username, settings.password.get_secret_value(), SECRET]
    assert [word for word in hidden if word.lower() in told.lower()] == []
    assert stat.S_IMODE(tenant.path.stat().st_mode) == 0o600


def test_every_line_of_the_ledger_is_judged_or_has_a_reason_why_not() -> None:
    assert set(CHECKS) | set(UNTOLD) == set(BY_ID)
    assert set(CHECKS) & set(UNTOLD) == set()


GOOD = '{"what": "recording", "format": 1, "at": "2026-03-23T09:00:00+00:00"}\n'
CALL = (
    '{"what": "call", "at": "2026-03-23T09:00:00+00:00", "why": "work", "request": "",'
    ' "endpoint": "/WAPI/wapi.php", "status": 200, "body": null}\n'
)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is empty"),
        ("no JSON\n", "Line 1 of"),
        ("[]\n", "is no JSON object"),
        ('{"what": "trigger"}\n', "its first line must say so"),
        (GOOD.replace("1,", "9,"), "has the format 9; this version reads 1"),
        (GOOD + '{"what": "trigger"}\n', "Line 2 of"),
        (GOOD + '{"what": "call", "at": "yesterday"}\n', "Line 2 of"),
        (GOOD + CALL.replace("null", "5"), "Line 2 of"),
        (GOOD + '{"what": "call", "at": "2026-03-23T09:00:00"}\n', "a value of the wrong kind"),
    ],
)
def test_a_file_that_is_no_recording_gets_a_sentence(
    tmp_path: Path, content: str, sentence: str
) -> None:
    path = tmp_path / "recording.jsonl"
    path.write_text(content)
    code, _, said = check(path)
    assert (code, sentence in said) == (2, True), said
    assert "Traceback" not in said


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_an_answer_from_before_the_api_refutes_nothing_about_it(
    tmp_path: Path, status: int
) -> None:
    """A proxy's error page, or too many calls: it says nothing of how the API answers."""
    path = tmp_path / "recording.jsonl"
    said = CALL.replace("200", str(status)).replace("}", ', "unkept": "no XML"}')
    probes = ["work", "raw", "unknown-tag", "filters", "no-filter"]
    path.write_text(GOOD + "".join(said.replace("work", probe) for probe in probes))
    _, verdicts, _ = check(path)
    assert verdicts["refuted"] == ({"api.rate-limit"} if status == 429 else set())


def test_a_recording_that_was_cut_off_is_read_to_its_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "recording.jsonl"
    path.write_text(GOOD + '{"what": "trig')
    code, verdicts, said = check(path)
    assert code == 0
    assert verdicts["confirmed"] == set()
    assert "The recording has no end" in said
