"""The ledger of assumptions: FIDELITY.md says the same, and code names only lines that exist."""

import ast
import re
import tokenize
from collections import Counter
from functools import cache
from pathlib import Path

import simulator
from simulator.assumptions import AREAS, ASSUMPTIONS, BY_ID, Grade, render_fidelity
from simulator.settings import Settings

PACKAGE = Path(simulator.__file__).parent
ROOT = PACKAGE.parent
ID = re.compile(r"(?<![\w./-])(?:trigger|exchange|api|records)\.[a-z0-9-]+(?![\w(])")
FILE_NAME = re.compile(r"\.(?:py|html|md)$")


def _named_ids() -> dict[str, set[str]]:
    """Ids in comments, docstrings and strings of the package, with the files that name them."""
    named: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        if path.name == "assumptions.py":
            continue
        with tokenize.open(path) as file:
            tokens = [
                token.string
                for token in tokenize.generate_tokens(file.readline)
                if token.type in (tokenize.COMMENT, tokenize.STRING)
            ]
        for text in tokens:
            for found in ID.findall(text):
                if not FILE_NAME.search(found):
                    named.setdefault(found, set()).add(str(path.relative_to(PACKAGE)))
    return named


def test_every_id_that_code_names_is_in_the_ledger() -> None:
    named = _named_ids()
    assert {name: files for name, files in named.items() if name not in BY_ID} == {}
    assert "trigger.query-string" in named


def test_ids_are_unique_and_belong_to_an_area() -> None:
    assert [name for name, count in Counter(a.id for a in ASSUMPTIONS).items() if count > 1] == []
    assert {line.area for line in ASSUMPTIONS} == set(AREAS)
    assert all(ID.fullmatch(line.id) for line in ASSUMPTIONS)


def test_fidelity_page_is_the_ledger() -> None:
    assert (PACKAGE / "FIDELITY.md").read_text(encoding="utf-8") == render_fidelity()


def test_every_line_of_the_page_comes_from_the_ledger_and_the_other_way_round() -> None:
    page = (PACKAGE / "FIDELITY.md").read_text(encoding="utf-8")
    on_page = re.findall(r"^\| `([a-z0-9.-]+)` \|.*\| ([DCA]) \|", page, re.MULTILINE)
    assert on_page == [(line.id, line.grade.value) for line in ASSUMPTIONS]


def test_every_line_stands_somewhere_that_exists() -> None:
    for line in ASSUMPTIONS:
        assert line.setting or line.place, line.id
        assert line.setting is None or line.setting in Settings.model_fields, line.id
        assert line.place is None or _names_in_module(line.place), (line.id, line.place)
    assert {line.grade for line in ASSUMPTIONS} == set(Grade)


def test_every_assumption_has_a_test_that_exists() -> None:
    without = [line.id for line in ASSUMPTIONS if line.grade is Grade.ASSUMED and not line.test]
    assert without == []
    missing = {line.id: line.test for line in ASSUMPTIONS if line.test and not _exists(line.test)}
    assert missing == {}


def test_an_assumption_with_a_setting_is_tested_by_flipping_it() -> None:
    """A test that does not name the setting cannot flip it."""
    for line in ASSUMPTIONS:
        if line.setting is not None and line.test is not None:
            path, _, name = line.test.partition("::")
            body = ast.unparse(_functions(path)[name])
            assert line.setting in body, line.id


def test_settings_and_lines_name_each_other() -> None:
    named = {
        (name, found)
        for name, field in Settings.model_fields.items()
        for found in ID.findall(field.description or "")
    }
    # The jitter is one more number of the schedule.
    assert named - {("retry_jitter", "trigger.retry-schedule")} == {
        (line.setting, line.id) for line in ASSUMPTIONS if line.setting
    }


def test_what_is_no_test_is_noticed() -> None:
    assert not _exists("tests/unit/simulator/test_assumptions.py::test_nothing")
    assert not _exists("tests/unit/simulator/test_nowhere.py::test_nothing")
    assert not _names_in_module("triggers.urls:nothing")
    assert not _names_in_module("triggers.nowhere:trigger_url")


def _exists(test: str) -> bool:
    path, _, name = test.partition("::")
    return name.startswith("test_") and (ROOT / path).is_file() and name in _functions(path)


@cache
def _functions(path: str) -> dict[str, ast.FunctionDef]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def _names_in_module(place: str) -> bool:
    """Whether the module defines the name at its top level."""
    module, _, name = place.partition(":")
    relative = Path(*module.split(".")).with_suffix(".py")
    path = next((p for p in (PACKAGE / relative, ROOT / relative) if p.is_file()), None)
    if path is None:
        return False
    defined: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Assign):
            defined |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            defined.add(node.target.id)
    return name in defined
