"""/metrics as Prometheus reads it: figures of the database, whichever process is asked."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine

from external_crm.db import session_factory
from receiver import repair
from receiver.alarm import Bounds
from receiver.app import create_app
from receiver.crm_api import BadAnswer, Refused, Temporary
from receiver.messenger import Nobody
from receiver.repair import DeadChoice
from receiver.retention import Ages
from receiver.settings import Settings
from receiver.upkeep import Upkeep
from tests.receiver_world import CUSTOMER, TestClock, World

SECRET = "a-secret-of-24-characters"


def scrape(engine: Engine, clock: TestClock, path: str = "/metrics") -> dict[str, float]:
    """Each sample by its name behind `crm_receiver_`, and its label's value."""
    app = create_app(Settings(secret=SECRET), engine, clock)
    response = app.test_client().get(path)
    assert response.status_code == 200
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(response.text):
        for sample in family.samples:
            labels = "".join(f" {value}" for value in sample.labels.values())
            found[sample.name.removeprefix("crm_receiver_") + labels] = sample.value
    return found


def figures(world: World) -> dict[str, float]:
    return scrape(world.engine, world.clock)


def test_everything_is_there_before_anything_happened(world: World) -> None:
    found = figures(world)
    assert found.pop("store_up") == 1
    assert {value for name, value in found.items() if not name.startswith("lag")} == {0}
    assert {"received_total", "applied_total gone", "api_calls_total refused"} <= found.keys()
    assert {"on_hold tombstones", "triggers dead", "lag_seconds_count"} <= found.keys()


def test_triggers_are_counted_from_their_arrival_to_their_row(world: World) -> None:
    key = world.crm.put(CUSTOMER, "A1")
    world.receive(key)
    world.receive(key)
    world.clock.advance(4)
    found = figures(world)
    assert (found["received_total"], found["triggers waiting"]) == (2, 2)
    assert found["oldest_waiting_seconds"] == 4
    world.run(world.worker(settle_after_s=60))
    found = figures(world)
    assert (found["received_total"], found["applied_total applied"]) == (2, 2)
    assert (found["triggers waiting"], found["triggers settling"]) == (0, 1)
    assert found["oldest_waiting_seconds"] == 0
    assert found["api_calls_total answered"] == 1
    assert (found["lag_seconds_count"], found["lag_seconds_sum"]) == (2, 8)
    assert (found["lag_seconds_bucket 2.5"], found["lag_seconds_bucket 5"]) == (0, 2)


def test_failures_are_counted_by_their_kind(world: World) -> None:
    errors = [Temporary("HTTP 503."), BadAnswer("Nonsense.", ""), Refused("No right.", CUSTOMER)]
    for n, error in enumerate(errors):
        key = world.crm.put(CUSTOMER, f"A{n}")
        world.crm.errors[key] = error
        world.receive(key)
    world.run(world.worker(max_attempts=1))
    found = figures(world)
    assert found["api_calls_total failed"] == found["api_calls_total unusable"] == 1
    assert found["api_calls_total refused"] == 1
    assert (found["retried_total"], found["died_total"]) == (2, 1)
    assert (found["triggers retrying"], found["triggers dead"]) == (2, 1)
    assert (found["on_hold credentials"], found["on_hold circuit"]) == (1, 0)
    assert found["received_total"] == 3


def test_an_overtaken_read_is_counted(world: World) -> None:
    key = world.crm.put(CUSTOMER, "A1")
    world.receive(key)
    slow, quick = world.worker(), world.worker()
    claim = slow.claim(world.clock.now())
    assert claim is not None
    world.receive(key)
    later = quick.claim(world.clock.now())
    assert later is not None
    early = quick.fetch(later)
    world.crm.put(CUSTOMER, "A1", LASTNAME="Byron")
    slow.apply(slow.fetch(claim), world.clock.now())
    quick.apply(early, world.clock.now())
    assert figures(world)["overtaken_total"] == 1


def test_what_is_received_never_goes_down(world: World) -> None:
    """Neither a replay, nor giving up, nor forgetting what is old may look like a restart."""
    good, bad = world.crm.put(CUSTOMER, "A1"), world.crm.put(CUSTOMER, "A2")
    world.crm.errors[bad] = BadAnswer("Nonsense.", "")
    for key in (good, bad):
        world.receive(key)
    for _ in range(2):
        world.run(world.worker(max_attempts=1))
        assert figures(world)["received_total"] == 2
        with session_factory(world.engine).begin() as session:
            assert repair.replay_dead(session, DeadChoice(), world.clock.now()) == 1
        assert figures(world)["received_total"] == 2
    world.run(world.worker(max_attempts=1))
    with session_factory(world.engine).begin() as session:
        repair.drop_dead(session, DeadChoice(), world.clock.now())
    world.clock.advance(100 * 86_400)
    Upkeep(world.engine, world.clock, Nobody(), Bounds(), Ages()).run_once()
    assert world.inbox() == []
    found = figures(world)
    assert (found["received_total"], found["applied_total applied"]) == (2, 1)
    assert found["triggers dropped"] == 0


def test_a_reject_is_counted(world: World) -> None:
    app = create_app(Settings(secret=SECRET), world.engine, world.clock)
    for _ in range(2):
        assert app.test_client().get(f"/8x8/{SECRET}?Nonsense=1").status_code == 400
    assert figures(world)["rejected_total"] == 2


def test_a_store_that_is_away_is_a_figure(
    sqlite: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = TestClock()
    assert scrape(sqlite, clock)["store_up"] == 1
    (tmp_path / "external_crm.db").rename(tmp_path / "away")
    assert scrape(sqlite, clock) == {"store_up": 0}
