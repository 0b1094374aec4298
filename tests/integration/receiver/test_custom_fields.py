"""Custom fields: kept without a code change, typed where the mapping says so, said when they come
and go."""

from collections.abc import Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from external_crm.rows import Key, Kind
from receiver import mapping
from receiver.worker import Worker
from tests.receiver_world import CASE, CUSTOMER, World


def said(world: World, worker: Worker | None = None) -> list[tuple[str, str, str]]:
    """Run, and what the log says of custom fields."""
    with capture_logs() as entries:
        world.run(worker)
    return [
        (entry["event"], entry["kind"], entry["field"])
        for entry in entries
        if entry["event"].startswith("custom_field")
    ]


def touch(world: World, **fields: str) -> Key:
    key = world.crm.put(CUSTOMER, "A1", **fields)
    world.receive(key)
    return key


def test_a_custom_field_arrives_as_it_comes_and_is_said_once(world: World) -> None:
    key = touch(world, **{"CF02.NAME": "7", "TIER": "Gold"})
    assert said(world) == [
        ("custom_field_appeared", "customer", "CF02.NAME"),
        ("custom_field_appeared", "customer", "TIER"),
    ]
    assert world.row(key)["custom_fields"] == {"CF02.NAME": "7", "TIER": "Gold"}
    touch(world, TIER="Tin")
    assert said(world, world.worker()) == []


def test_a_custom_field_that_vanishes_and_comes_back_is_said_each_time(world: World) -> None:
    key = touch(world, TIER="Gold")
    said(world)
    del world.crm.records[key]["TIER"]
    world.receive(key)
    assert said(world) == [("custom_field_vanished", "customer", "TIER")]
    world.receive(key)
    assert said(world) == []
    assert world.row(key)["custom_fields"] == {}
    touch(world, TIER="Tin")
    assert said(world) == [("custom_field_appeared", "customer", "TIER")]


def test_an_empty_field_and_another_kind_are_no_change(world: World) -> None:
    touch(world, TIER="Gold")
    said(world)
    touch(world, TIER="")
    world.receive(world.crm.put(CASE, "C1", ACCOUNTNUM="A1"))
    assert said(world) == []


def test_an_older_answer_says_nothing_of_a_field(world: World) -> None:
    key = touch(world)
    slow = world.worker()
    old = slow.fetch(slow.claim(world.clock.now()))
    touch(world, TIER="Gold")
    assert said(world) == [("custom_field_appeared", "customer", "TIER")]
    with capture_logs() as entries:
        slow.apply(old, world.clock.now())
    assert [entry["event"] for entry in entries if "field" in entry] == []
    assert world.row(key)["custom_fields"] == {"TIER": "Gold"}


@pytest.mark.parametrize(
    ("value", "kept"), [("7", 7), ("-2.50", -2.5), ("", None), ("seven", None), ("1_0", None)]
)
def test_a_listed_custom_field_is_typed_or_refused_visibly(
    world: World, monkeypatch: pytest.MonkeyPatch, value: str, kept: float | None
) -> None:
    typed: Mapping[str, Any] = {"CF02.NAME": mapping.number, "SINCE": mapping.iso_day}
    monkeypatch.setitem(mapping.CUSTOM_FIELDS, Kind.CUSTOMER, typed)
    key = touch(world, **{"CF02.NAME": value, "SINCE": "03022026"})
    world.run()
    if value in ("seven", "1_0"):
        assert world.row(key) is None
        said = f"customer A1 has {value!r} as CF02.NAME, which no number is."
        assert world.inbox()[0].last_error == said
    else:
        assert world.row(key)["custom_fields"] == {"CF02.NAME": kept, "SINCE": "2026-03-02"}
