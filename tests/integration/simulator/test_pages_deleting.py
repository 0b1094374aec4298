"""Delete Selected and Delete All: the question, the deed, and what fires."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from simulator.app import create_app
from simulator.clock import ManualClock
from simulator.db import read_session
from simulator.local_crm import delete_all, many
from simulator.local_crm.models import MODELS, RecordVersion
from simulator.services import EXTENSION, Services
from simulator.settings import Settings
from simulator.triggers.models import Delivery
from simulator.triggers.urls import Event, Kind
from tests.forms import Browser, Page
from tests.local_crm import create, fill_boxes

BASE = "https://crm.example.com/t"
FIRST = 10_000_000
PASSWORD = "agent-demo"


@pytest.fixture
def customers(services: Services) -> list[str]:
    """Four customers, the first with two cases, a follow-up and a task; all boxes filled."""
    now = services.clock.now()
    with services.sessions.begin() as session:
        made = [create(session, Kind.CUSTOMER, now, lastname=f"No {n}") for n in range(4)]
        cases = [create(session, Kind.CASE, now, accountnum=made[0]) for _ in range(2)]
        create(session, Kind.FOLLOWUP, now, casenum=cases[0])
        create(session, Kind.TASK, now, accountnum=made[0])
    with services.sessions.begin() as session:
        session.execute(Delivery.__table__.delete())
        fill_boxes(session, BASE)
    return made


def left(services: Services) -> list[int]:
    """How many records of each kind there are."""
    with read_session(services.engine) as session:
        return [session.scalar(select(func.count()).select_from(m)) or 0 for m in MODELS.values()]


def fired(services: Services) -> list[str]:
    """The URLs of all deliveries, the first first, without the common beginning."""
    with read_session(services.engine) as session:
        urls = session.scalars(select(Delivery.url).order_by(Delivery.id))
        return [url.removeprefix(BASE) for url in urls]


def tick(browser: Browser, path: str, *numbers: str) -> Page:
    """Tick records of a list and press Delete Selected."""
    page = browser.get(path)
    offered = page.document.xpath("//input[@name='chosen']/@value")
    assert set(numbers) <= set(offered)
    (form,) = page.document.xpath("//form[.//button[text()='Delete Selected']]")
    query = "&".join(f"chosen={number}" for number in numbers)
    return browser.get(f"{form.get('action')}?{query}")


def test_a_selection_is_deleted_after_a_question_that_says_what_else_goes(
    browser: Browser, services: Services, customers: list[str]
) -> None:
    question = tick(browser, "/agent/customers", customers[0], customers[2])
    assert "2 records are selected: 10000000, 10000002." in question.text
    assert "deleted for good with all data associated with it" in question.text
    assert "With them go 2 cases, 1 follow-up, 1 task; they fire no trigger" in question.text
    assert left(services) == [4, 2, 1, 1]
    page = browser.send(question)
    assert left(services) == [2, 0, 0, 0]
    assert fired(services) == [
        f"/customer/delete?AccountID={number}" for number in (customers[0], customers[2])
    ]
    assert page.path == "/agent/customers"
    assert page.flashes == [
        "2 customers were deleted. 2 triggers Customer Delete fired: "
        "delivery 1 waiting, delivery 2 waiting"
    ]
    assert {"/deliveries/1", "/deliveries/2"} <= set(page.links)


def test_every_record_that_goes_has_its_last_version(
    browser: Browser, services: Services, customers: list[str]
) -> None:
    browser.send(tick(browser, "/agent/customers", customers[0]))
    with read_session(services.engine) as session:
        last = session.scalars(select(RecordVersion).where(RecordVersion.event == Event.DELETE))
        kept = [(v.kind, v.record_id, v.version, v.actor, v.data) for v in last]
    assert sorted(kept) == sorted(
        (kind, number, 2, "ag1001", None)
        for kind, number in (
            (Kind.FOLLOWUP, "10000000"),
            (Kind.TASK, "10000000"),
            (Kind.CASE, "10000000"),
            (Kind.CASE, "10000001"),
            (Kind.CUSTOMER, "10000000"),
        )
    )
    assert browser.get(f"/agent/customers/{customers[0]}").status == 404


def test_what_is_gone_from_a_selection_meanwhile_is_said(
    browser: Browser, services: Services, customers: list[str]
) -> None:
    question = tick(browser, "/agent/customers", customers[1], customers[2])
    browser.submit(f"/agent/customers/{customers[1]}/delete")
    page = browser.send(question)
    assert "1 of the selected were deleted before." in page.flashes
    assert len(fired(services)) == 2
    again = browser.send(question)
    assert again.flashes == ["2 of the selected were deleted before."]
    assert left(services)[0] == 2


def test_nothing_selected_is_said(browser: Browser, customers: list[str]) -> None:
    page = browser.get("/agent/customers/delete-selected")
    assert page.path == "/agent/customers"
    assert "Nothing was selected: tick the records to delete" in page.flashes[0]


def test_a_link_ticks_the_whole_page(browser: Browser, customers: list[str]) -> None:
    page = browser.get("/agent/customers?q=no+1")
    (link,) = page.document.xpath("//a[text()='Select all on this page']/@href")
    ticked = browser.get(link).document.xpath("//input[@name='chosen'][@checked]/@value")
    assert ticked == [customers[1]]


def test_follow_ups_are_deleted_one_at_a_time(
    browser: Browser, services: Services, customers: list[str]
) -> None:
    page = browser.get("/agent/followups")
    assert "Delete Selected" not in page.text
    for path in ("delete-all", f"delete-selected?chosen={FIRST}"):
        refused = browser.get(f"/agent/followups/{path}")
        assert refused.status == 404
        assert "Follow-ups are deleted one at a time" in refused.text
    browser.submit(f"/agent/followups/{FIRST}/delete")
    assert left(services) == [4, 2, 0, 1]


def test_delete_all_asks_for_the_password(
    browser: Browser, services: Services, customers: list[str]
) -> None:
    question = browser.get("/agent/customers/delete-all")
    assert "All 4 customers are deleted for good" in question.text
    assert "With them go 2 cases, 1 follow-up, 1 task" in question.text
    assert "Delete Now" in question.text
    for password, problem in (
        ("", "Password is required."),
        ("guess", "This is not the agent's password. Nothing was deleted."),
        ("Ä ", "This is not the agent's password. Nothing was deleted."),
    ):
        page = browser.send(question, password=password)
        assert (page.status, page.problem("password")) == (422, problem)
        assert left(services) == [4, 2, 1, 1]
    page = browser.send(question, password=PASSWORD)
    assert page.path == "/agent/customers"
    assert left(services) == [0, 0, 0, 0]
    assert len(fired(services)) == 4


def test_delete_all_takes_all_of_a_kind_whatever_was_searched_for(
    browser: Browser,
    services: Services,
    customers: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delete_all, "AT_A_TIME", 1)
    browser.get("/agent/cases?casenum=10000001")
    page = browser.submit("/agent/cases/delete-all", password=PASSWORD)
    services.wait_for_jobs()
    page = browser.get(page.path)
    assert left(services) == [4, 0, 0, 1]
    assert fired(services) == [
        f"/case/delete?AccountID={FIRST}&CaseID={FIRST}",
        f"/case/delete?AccountID={FIRST}&CaseID={FIRST + 1}",
    ]
    assert page.flashes[0].startswith("2 cases were deleted. 2 triggers Case Delete fired:")


def test_delete_all_of_nothing_says_so(browser: Browser) -> None:
    assert "There are no tasks." in browser.get("/agent/tasks/delete-all").text


def test_a_long_row_of_deliveries_is_linked_as_a_list(browser: Browser, services: Services) -> None:
    now = services.clock.now()
    with services.sessions.begin() as session:
        for _ in range(7):
            create(session, Kind.CUSTOMER, now)
        fill_boxes(session, BASE)
    page = browser.submit("/agent/customers/delete-all", password=PASSWORD)
    assert "7 triggers Customer Delete fired" in page.flashes[0]
    assert "/deliveries?kind=Customer&event=Delete" in page.links


class TestDeleteAllOfMany:
    """More than are deleted at once go in the background, batch by batch."""

    @pytest.fixture(autouse=True)
    def many(self, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
        """Seven customers, two a batch; all boxes filled."""
        monkeypatch.setattr(delete_all, "AT_A_TIME", 2)
        with services.sessions.begin() as session:
            for _ in range(7):
                create(session, Kind.CUSTOMER, services.clock.now())
            fill_boxes(session, BASE)

    def test_a_page_follows_it_and_says_in_the_end_what_fired(
        self, browser: Browser, services: Services
    ) -> None:
        # The write lock keeps it from its first batch until the page was looked at.
        with services.sessions.begin():
            page = browser.submit("/agent/customers/delete-all", password=PASSWORD)
            assert page.path == "/agent/customers/delete-all/1"
            assert "0 of 7" in page.text
            assert page.document.xpath("//noscript//meta[@http-equiv='refresh']")
            [live] = page.document.xpath("//@data-live")
            assert "0 of 7" in browser.get(live).text
        services.wait_for_jobs()
        over = browser.get(page.path)
        assert "Finished: 7 of 7" in over.text
        assert over.flashes[0].startswith(
            "7 customers were deleted. 7 triggers Customer Delete fired: delivery 1 waiting,"
        )
        assert over.document.xpath("//@data-live") == []
        assert left(services)[0] == 0
        assert fired(services) == [f"/customer/delete?AccountID={FIRST + n}" for n in range(7)]

    def test_it_leaves_what_is_created_meanwhile_and_does_what_is_asked_twice_once(
        self, browser: Browser, services: Services
    ) -> None:
        question = browser.get("/agent/customers/delete-all")
        with services.sessions.begin() as session:
            browser.send(question, password=PASSWORD)
            create(session, Kind.CUSTOMER, services.clock.now())
        services.wait_for_jobs()
        assert left(services)[0] == 1
        assert len(fired(services)) == 7 + 1  # with the one that was created

    @pytest.mark.parametrize("breaks_at", [1, 3])
    def test_broken_off_midway_it_has_deleted_whole_batches_and_goes_on_when_asked(
        self,
        browser: Browser,
        services: Services,
        monkeypatch: pytest.MonkeyPatch,
        breaks_at: int,
    ) -> None:
        batches = 0
        real = many.delete_many

        def break_off(*args: Any, **options: Any) -> Any:
            nonlocal batches
            batches += 1
            deleted = real(*args, **options)  # and is rolled back
            if batches == breaks_at:
                raise RuntimeError("internal detail")
            return deleted

        monkeypatch.setattr(many, "delete_many", break_off)
        page = browser.submit("/agent/customers/delete-all", password=PASSWORD)
        services.wait_for_jobs()
        gone = 2 * (breaks_at - 1)
        over = browser.get(page.path)
        assert f"It failed after {gone} of 7; those are gone." in over.text
        assert "internal detail" not in over.text
        assert left(services)[0] == 7 - gone
        assert len(fired(services)) == gone
        again = browser.submit("/agent/customers/delete-all", password=PASSWORD)
        services.wait_for_jobs()
        assert f"{7 - gone} of {7 - gone}" in browser.get(again.path).text
        assert len(fired(services)) == 7

    def test_a_second_one_finds_nothing_left(self, browser: Browser, services: Services) -> None:
        with services.sessions.begin():  # neither gets to its first batch
            question = browser.get("/agent/customers/delete-all")
            browser.send(question, password=PASSWORD)
            second = browser.send(question, password=PASSWORD)
        services.wait_for_jobs()
        over = browser.get(second.path)
        assert (second.path, over.flashes) == (
            "/agent/customers/delete-all/2",
            ["There were none left to delete."],
        )
        assert "Finished: 0 of 0" in over.text
        assert len(fired(services)) == 7
        third = browser.send(question, password=PASSWORD)
        assert third.flashes == ["There were no customers to delete."]

    def test_one_that_is_none_is_a_sentence(self, browser: Browser) -> None:
        for path in ("customers", "cases"):
            page = browser.get(f"/agent/{path}/delete-all/9")
            assert page.status == 404
            assert f"There is no Delete All 9 of {path}" in page.text
        assert browser.get("/agent/followups/delete-all/1").status == 404


class TestWithAPasswordOfItsOwn:
    """The password is a setting."""

    @pytest.fixture
    def app(self, sim_settings: Settings, clock: ManualClock) -> Iterator[Flask]:
        """The app with another password."""
        values = sim_settings.model_dump() | {"agent_password": "s3cret-wörd"}
        app = create_app(Settings(**values), clock=clock)
        yield app
        app.extensions[EXTENSION].close()

    def test_it_is_the_one_that_counts(
        self, browser: Browser, services: Services, customers: list[str]
    ) -> None:
        assert browser.submit("/agent/tasks/delete-all", password=PASSWORD).status == 422
        browser.submit("/agent/tasks/delete-all", password="s3cret-wörd")
        assert left(services) == [4, 2, 1, 0]
