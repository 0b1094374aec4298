"""The CRM API's calls and replies as files, and the Local CRM they meet (see the README there)."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from simulator.local_crm import changes, custom_fields
from simulator.local_crm.fields import CustomType, Definition
from simulator.local_crm.first_start import ALL_RIGHTS
from simulator.local_crm.models import ApiAccess
from simulator.services import Services
from simulator.triggers.urls import Kind
from tests.local_crm import AGENT

GOLDEN = Path(__file__).parent / "golden" / "crm_api"
WORLD = json.loads((GOLDEN / "world.json").read_text(encoding="utf-8"))
NAMES = sorted(str(p.relative_to(GOLDEN))[: -len(".request")] for p in GOLDEN.rglob("*.request"))


@dataclass(frozen=True)
class Message:
    """One file: the first line, the headers that matter, the body byte for byte."""

    first: str
    headers: dict[str, str]
    body: bytes


def read(name: str, part: str) -> Message:
    """A request or a reply."""
    head, _, body = (GOLDEN / f"{name}.{part}").read_bytes().partition(b"\n\n")
    first, *lines = head.decode("ascii").split("\n")
    return Message(first, dict(line.split(": ", 1) for line in lines), body)


def arrangement(name: str) -> dict[str, Any]:
    """What else holds for a call, beside the world."""
    found: dict[str, Any] = WORLD["arrangements"].get(name, {})
    return found


def fill(services: Services) -> None:
    """Custom fields and records, in the order of the file."""
    now = services.clock.now()
    with services.sessions.begin() as session:
        for given in WORLD["custom_fields"]:
            definition = {**given, "kind": Kind(given["kind"]), "type": CustomType(given["type"])}
            definition["choices"] = tuple(given.get("choices", ()))
            custom_fields.define(session, Definition(**definition))
        for given in WORLD["records"]:
            values = {name: value for name, value in given.items() if name != "kind"}
            if "duedate" in values:
                values["duedate"] = datetime.fromisoformat(values["duedate"])
            changes.create(session, Kind(given["kind"]), values, AGENT, now)


def arrange(services: Services, name: str) -> None:
    """What else holds for the call; its settings were given to the app already."""
    with services.sessions.begin() as session:
        access = session.get_one(ApiAccess, 1)
        access.enabled = arrangement(name).get("enabled", True)
        without = arrangement(name).get("without_rights", [])
        access.rights = [right for right in ALL_RIGHTS if right not in without]


def send(client: FlaskClient, name: str) -> Message:
    """What comes back: of the headers those that the file names, in its order."""
    request, expected = read(name, "request"), read(name, "reply")
    method, path = request.first.split(" ")
    for _ in range(arrangement(name).get("calls_before", 0)):
        client.open(path, method=method, headers=request.headers, data=request.body).close()
    with client.open(path, method=method, headers=request.headers, data=request.body) as reply:
        headers = {key: reply.headers.get(key, "") for key in expected.headers}
        return Message(str(reply.status_code), headers, bytes(reply.data))
