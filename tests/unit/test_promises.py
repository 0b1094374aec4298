"""The table of promises names every promise and rule, and tests that exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "tests" / "PROMISES.md"
IDS = [f"P{number}" for number in range(1, 7)] + [f"R{number}" for number in range(1, 13)]


def rows() -> dict[str, list[str]]:
    """The tests that each row names, by the row's id."""
    found = {}
    for line in TABLE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if re.fullmatch(r"[PR]\d+", cells[0]):
            found[cells[0]] = re.findall(r"`(tests/[^`]+)`", cells[-1])
    return found


def test_every_promise_and_every_rule_has_a_row_with_tests() -> None:
    assert list(rows()) == IDS
    assert [name for name, tests in rows().items() if not tests] == []


def test_every_test_that_the_table_names_exists() -> None:
    named = {test for tests in rows().values() for test in tests}
    assert {test for test in named if not exists(test)} == set()


def exists(test: str) -> bool:
    """Whether there is such a file, and in it such a function and such a parameter."""
    path, _, name = test.partition("::")
    name, _, parameter = name.rstrip("]").partition("[")
    file = ROOT / path
    if not file.exists():
        return False
    functions = {node.name for node in ast.parse(file.read_text()).body if hasattr(node, "name")}
    if name and name not in functions:
        return False
    if parameter:
        return f'"{parameter}"' in (file.parent / "mutations.py").read_text()
    return True
