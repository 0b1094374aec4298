"""The ledger of assumptions: FIDELITY.md says the same, and code names only lines that exist."""

import re
import tokenize
from collections import Counter
from pathlib import Path

import simulator
from simulator.assumptions import AREAS, ASSUMPTIONS, BY_ID, Grade, render_fidelity
from simulator.settings import Settings

PACKAGE = Path(simulator.__file__).parent
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


def test_every_assumed_line_is_a_setting_or_stands_in_one_file_that_exists() -> None:
    for line in ASSUMPTIONS:
        assert line.setting or line.place, line.id
        assert line.setting is None or line.setting in Settings.model_fields, line.id
        assert line.place is None or (PACKAGE / line.place).is_file(), line.id
    assert {line.grade for line in ASSUMPTIONS} == set(Grade)
