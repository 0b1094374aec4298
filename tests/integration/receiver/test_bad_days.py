"""Days on which the CRM API or the clock goes wrong: what is kept, retried, said, and healed.

Real sockets and real databases; the hours pass by moving the clock.
"""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine
from structlog.testing import capture_logs

from external_crm import audit
from external_crm.rows import Key
from receiver.app import create_app
from receiver.cli import main
from receiver.crm_api import CrmApi
from receiver.records import Credentials
from receiver.settings import Settings
from receiver.transport import HttpTransport
from receiver.trigger import Event
from tests.loopback_crm_api import LoopbackCrmApi, body, ok
from tests.receiver_world import CASE, CUSTOMER, TASK, World

SECRET = "a-secret-of-24-characters"
MINUTE, HOUR = 60, 3600


@pytest.fixture
def api() -> Iterator[LoopbackCrmApi]:
    api = LoopbackCrmApi().start()
    yield api
    api.stop()


@pytest.fixture
def world(engine: Engine, api: LoopbackCrmApi) -> Iterator[World]:
    transport = HttpTransport(20, None)
    world = World(engine)
    world.crm = CrmApi(transport, api.url, Credentials("acme", "api", "pw"))
    yield world
    transport.close()


def people(api: LoopbackCrmApi, world: World, number: int) -> list[Key]:
    """So many customers, each with a case and a task, all out."""
    keys = []
    for n in range(number):
        keys.append(api.put(Key(CUSTOMER, f"A{n}"), FIRSTNAME="Ada"))
        keys.append(api.put(Key(CASE, f"C{n}"), ACCOUNTNUM=f"A{n}", SUBJECT="Old"))
        keys.append(api.put(Key(TASK, f"T{n}"), ACCOUNTNUM=f"A{n}", SUBJECT="Old"))
    trigger(world, keys, Event.CREATE)
    world.run()
    return keys


def trigger(world: World, keys: list[Key], event: Event | None = Event.EDIT) -> list[int]:
    return [world.receive(key, event, account=f"A{key.id[1:]}") for key in keys]


def let_pass(world: World, seconds: int, every: int = MINUTE) -> None:
    """Time passes, and the worker runs whenever it looks into its inbox."""
    for _ in range(seconds // every):
        world.clock.advance(every)
        world.run()


def crm_receiver(engine: Engine, *arguments: str) -> str:
    """What the command prints."""
    url = engine.url.render_as_string(hide_password=False)
    done = CliRunner().invoke(main, arguments, env={"CRM_RECEIVER_DATABASE_URL": url})
    assert done.exit_code == 0
    return done.stdout


# --- the API is down for a day --------------------------------------------------------------------


def test_an_api_that_is_down_for_a_day_costs_nothing_but_the_day(
    world: World, api: LoopbackCrmApi
) -> None:
    keys = people(api, world, 3)
    api.stop()
    api.put(Key(CASE, "C1"), SUBJECT="New")
    api.put(Key(CUSTOMER, "A9"), FIRSTNAME="Grace")
    del api.records[Key(TASK, "T2")]
    ids = trigger(world, keys)
    with capture_logs() as events:
        for hour in range(24):
            ids += trigger(world, [Key(CUSTOMER, "A9")])  # receiving goes on
            let_pass(world, HOUR, every=HOUR)
            assert world.row(Key(CASE, "C1"))["subject"] == "Old", hour
    assert {row.state for row in map(world.trigger, ids)} == {"waiting"}
    assert {row.attempts for row in world.inbox()} == {0}
    assert "Connection refused" in world.trigger(ids[0]).last_error
    assert "Connection refused" in "".join(str(entry.get("reason")) for entry in events)
    assert [entry for entry in events if entry["event"] == "dead"] == []
    said = crm_receiver(world.engine, "status")
    assert "dead       0" in said
    api.start()
    let_pass(world, 20 * MINUTE)
    assert {row.state for row in map(world.trigger, ids)} == {"done"}
    assert world.row(Key(CASE, "C1"))["subject"] == "New"
    assert world.row(Key(CUSTOMER, "A9"))["first_name"] == "Grace"
    assert world.row(Key(TASK, "T2")) is None
    for key in keys:
        assert audit.verify(world.history(key)) is None


# --- every reply spoilt for a day -----------------------------------------------------------------

SPOILT = {
    "not well-formed": ok(b"<ITEM>"),
    "no reply": b"<WAPI/>",
    "text in its place": ok(b"Back soon."),
    "an error": b'<WAPI><REPLY STATUS="-1" ERROR_STR="No database." ERROR_CODE="9"/></WAPI>',
}


@pytest.mark.parametrize("reply", SPOILT.values(), ids=SPOILT)
def test_a_day_of_replies_that_nobody_can_use_buries_nothing(
    world: World, api: LoopbackCrmApi, reply: bytes
) -> None:
    keys = people(api, world, 3)
    api.spoilt_all = body(reply)
    api.put(Key(CASE, "C1"), SUBJECT="New")
    with capture_logs() as events:
        ids = trigger(world, keys)
        let_pass(world, 24 * HOUR, every=HOUR)
    assert {(row.state, row.attempts) for row in map(world.trigger, ids)} == {("waiting", 0)}
    stopped = [entry for entry in events if entry["event"] == "stopped"]
    assert {entry["what"] for entry in stopped} == {"circuit"}
    assert "gives no usable reply, whatever is asked" in stopped[0]["reason"]
    api.spoilt_all = None
    let_pass(world, 20 * MINUTE)
    assert {row.state for row in map(world.trigger, ids)} == {"done"}
    assert world.row(Key(CASE, "C1"))["subject"] == "New"


# --- every read "not found" for an hour -----------------------------------------------------------


@pytest.mark.parametrize("how", ["they resume by themselves", "an operator resumes them"])
def test_an_hour_of_not_found_by_lost_rights_wipes_nothing_and_heals(
    world: World, api: LoopbackCrmApi, how: str
) -> None:
    # The guard lets the first ten through: customers whose children nobody will read again.
    alone = [api.put(Key(CUSTOMER, f"0{n}"), FIRSTNAME="Ada") for n in range(10)]
    trigger(world, alone)
    keys = alone + people(api, world, 5)
    whole = {key: world.row(key) for key in keys}
    api.spoilt_all = body(ok(b""))
    with capture_logs() as events:
        trigger(world, keys)
        for _ in range(6):
            trigger(world, keys[15:])  # edits go on
            let_pass(world, 10 * MINUTE, every=10 * MINUTE)
    left = [key for key in keys if world.row(key) is not None]
    assert len(left) >= len(keys) - 10
    stopped = [entry for entry in events if entry["event"] == "tombstones stopped"]
    assert len(stopped) == 1
    assert stopped[0]["log_level"] == "error"
    assert "Check the CRM API's rights" in stopped[0]["reason"]
    assert "on hold    tombstones since" in crm_receiver(world.engine, "status")
    assert "crm-receiver tombstones resume" in crm_receiver(world.engine, "status")
    believed = [key for key in keys if world.row(key) is None]
    assert believed == alone
    assert {row.attempts for row in world.inbox()} == {0}
    api.spoilt_all = None
    if how == "an operator resumes them":
        resumed = crm_receiver(world.engine, "tombstones", "resume")
        assert resumed.startswith("Tombstones go on; ")
        world.clock.instant = datetime.now(UTC)  # the command's clock is the real one
    let_pass(world, 5 * MINUTE)
    assert {row.state for row in world.inbox()} == {"done"}
    assert {key: world.row(key) for key in keys} == whole  # those believed too soon are back, too
    assert "on hold" not in crm_receiver(world.engine, "status")


def test_a_kind_whose_right_is_lost_leaves_the_other_kinds_working(
    world: World, api: LoopbackCrmApi
) -> None:
    keys = people(api, world, 15)
    tasks = [key for key in keys if key.kind is TASK]
    api.spoilt = dict.fromkeys(tasks, body(ok(b"")))
    trigger(world, tasks)
    let_pass(world, 10 * MINUTE)
    assert "tombstones since" in crm_receiver(world.engine, "status")
    api.put(Key(CASE, "C1"), SUBJECT="New")
    (changed,) = trigger(world, [Key(CASE, "C1")])
    (removed,) = trigger(world, [Key(CASE, "C2")], Event.DELETE)
    del api.records[Key(CASE, "C2")]
    let_pass(world, 5 * MINUTE)
    assert world.trigger(changed).state == "done"
    assert world.row(Key(CASE, "C1"))["subject"] == "New"
    assert world.trigger(removed).state == "done"  # announced, so it explains itself
    assert world.row(Key(CASE, "C2")) is None
    assert "tombstones since" in crm_receiver(world.engine, "status")


# --- two workers, one record ----------------------------------------------------------------------


def test_workers_in_a_hurry_on_one_record_never_show_an_older_version(
    world: World, api: LoopbackCrmApi
) -> None:
    """Four workers claim one trigger each while the record goes on changing."""
    customer = api.put(Key(CUSTOMER, "A1"), FIRSTNAME="0")
    versions = 40
    for _ in range(versions):
        world.receive(customer)
    lock, failures = threading.Lock(), []

    def work() -> None:
        worker = world.worker(batch_size=1)
        while worker.run_once():
            with lock:
                api.put(customer, FIRSTNAME=str(int(api.records[customer]["FIRSTNAME"]) + 1))
                world.receive(customer) if len(api.asked) < versions else None

    def try_to_work() -> None:
        try:
            work()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=try_to_work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    world.receive(customer)
    world.run()
    assert world.row(customer)["first_name"] == api.records[customer]["FIRSTNAME"]
    entries = world.history(customer)
    shown = [int(entry.after["first_name"]) for entry in entries]
    assert shown == sorted(set(shown))
    assert audit.verify(entries) is None
    assert {(row.state, row.attempts) for row in world.inbox()} == {("done", 0)}


# --- the clock ------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [-HOUR, -3 * 24 * HOUR, HOUR])
def test_a_clock_that_steps_loses_nothing_and_shows_the_newest(
    world: World, api: LoopbackCrmApi, step: int
) -> None:
    """In the web process and in the worker, while triggers wait, are retried and are doubted."""
    keys = people(api, world, 2)
    failing, doubted, waiting = keys[1], keys[2], keys[4]
    app = create_app(Settings(secret=SECRET), world.engine, world.clock)

    def call(key: Key) -> int:
        name = {CASE: "CaseID", TASK: "TaskID"}[key.kind]
        query = f"AccountID=A{key.id[1:]}&{name}={key.id}"
        return app.test_client().get(f"/8x8/{SECRET}?{query}").status_code

    worker = world.worker()
    api.spoilt[failing] = body(b"", 503)
    del api.records[doubted]
    assert call(failing) == 200
    assert call(doubted) == 200
    world.run(worker)
    assert call(waiting) == 200
    world.clock.advance(step)
    del api.spoilt[failing]
    for key in (failing, waiting):
        api.put(key, SUBJECT="After the step")
        assert call(key) == 200
    world.run(worker)
    for key in (failing, waiting):
        assert world.row(key)["subject"] == "After the step"
    let_pass(world, abs(step), every=abs(step) // 60)
    let_pass(world, 5 * MINUTE)
    assert world.row(doubted) is None
    assert {(row.state, row.attempts) for row in world.inbox()} == {("done", 0)}
    for key in keys:
        assert audit.verify(world.history(key)) is None


def test_a_doubt_that_began_on_a_wrong_clock_begins_anew(world: World, api: LoopbackCrmApi) -> None:
    """A not-found noted in the future would else be doubted until then."""
    (customer, *_) = people(api, world, 1)
    del api.records[customer]
    worker = world.worker()
    world.clock.advance(HOUR)
    trigger(world, [customer])
    world.run(worker)
    world.clock.advance(-HOUR)
    (row_id,) = trigger(world, [customer])
    world.run(worker)
    assert world.trigger(row_id).due_at == world.clock.now() + timedelta(seconds=30)
    assert world.state(customer).first_not_found_at == world.clock.now()
    world.clock.advance(MINUTE)
    world.run(worker)
    assert world.row(customer) is None


def test_a_retry_after_a_step_back_still_waits_for_its_time(
    world: World, api: LoopbackCrmApi
) -> None:
    (customer, *_) = people(api, world, 1)
    world.clock.advance(-HOUR)
    api.spoilt[customer] = body(b"", 503)
    (row_id,) = trigger(world, [customer])
    world.run()
    asked = len(api.asked)
    world.run()
    assert len(api.asked) == asked
    assert world.trigger(row_id).due_at <= world.clock.now() + timedelta(minutes=5)
