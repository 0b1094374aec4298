"""What a customer does first: edit `receiver/mapping.py` in a copy, and see it outside."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from external_crm.rows import Key, Kind
from simulator.local_crm import custom_fields
from simulator.local_crm.fields import CustomType, Definition
from simulator.triggers.urls import Kind as Object

from .conftest import Loop

ROOT = Path(__file__).parents[2]


def edited_copy(folder: Path, line: str, instead: str) -> Path:
    """The receiver and the External CRM, copied, with one line of the mapping changed."""
    for package in ("receiver", "external_crm"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    path = folder / "receiver" / "mapping.py"
    text = path.read_text()
    assert text.count(line) == 1
    path.write_text(text.replace(line, instead))
    return folder


def work(loop: Loop, code: Path) -> None:
    """`crm-receiver work` of that copy, until nothing is due."""
    known = loop.simulator.services.settings
    settings = {
        "DATABASE_URL": str(loop.engine.url),
        "CRM_API_URL": loop.simulator.url,
        "CRM_API_CA": str(loop.simulator.ca_path),
        "CRM_API_TIMEOUT_S": "60",
        "TENANT": known.tenant,
        "USERNAME": known.api_username,
        "PASSWORD": known.api_password.get_secret_value(),
    }
    subprocess.run(
        [sys.executable, "-m", "receiver", "work", "--until-idle"],
        cwd=code,
        env=os.environ
        | {"PYTHONPATH": str(code)}
        | {f"CRM_RECEIVER_{name}": value for name, value in settings.items()},
        check=True,
        capture_output=True,
        timeout=120,
    )


def test_a_custom_field_is_typed_by_one_line_of_the_mapping(loop: Loop, tmp_path: Path) -> None:
    with loop.simulator.services.sessions.begin() as session:
        definition = Definition(Object.CUSTOMER, "seats", "Seats", CustomType.NUMBER)
        custom_fields.define(session, definition)
    customer = loop.create("customers", firstname="Ada", lastname="Byron", **{"custom-seats": "12"})
    loop.deliver()
    work(loop, edited_copy(tmp_path / "as-it-is", "    Kind.TASK: {},\n", "    Kind.TASK: {},\n"))
    key = Key(Kind.CUSTOMER, customer)
    assert loop.row(key)["custom_fields"] == {"SEATS": "12"}
    edited = edited_copy(
        tmp_path / "edited",
        "    Kind.CUSTOMER: {},\n",
        '    Kind.CUSTOMER: {"SEATS": number},\n',
    )
    loop.edit("customers", customer, lastname="Lovelace")
    loop.deliver()
    work(loop, edited)
    assert loop.row(key)["custom_fields"] == {"SEATS": 12}
    assert loop.row(key)["last_name"] == "Lovelace"
