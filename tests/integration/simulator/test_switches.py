"""Each setting that stands for an assumption, flipped: what goes over the wire is another."""

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from simulator.app import create_app
from simulator.clock import ManualClock
from simulator.local_crm import custom_fields, inbound_email
from simulator.local_crm.fields import CustomType, Definition
from simulator.local_crm.inbound_email import InboundEmail
from simulator.services import EXTENSION, Services
from simulator.settings import Settings
from simulator.triggers.models import Delivery, DeliveryState
from simulator.triggers.urls import Kind
from tests.crm_api_clients import FORM, Reply, document, encoded, read_reply, with_key
from tests.forms import Browser
from tests.local_crm import create, fill_boxes
from tests.tls_receiver import TlsReceiver, answer

BASE = "https://crm.example.com/t"
NAME = (("FIRSTNAME", "Ada"), ("LASTNAME", "Byron"))
Start = Callable[..., Flask]


@pytest.fixture
def start(
    sim_settings: Settings, clock: ManualClock, tmp_path: Path, first_start: Path
) -> Iterator[Start]:
    """Apps over Local CRMs of their own; each has a customer with a case, a follow-up, a task."""
    apps: list[Flask] = []

    def start(box_base: str = BASE, **given: Any) -> Flask:
        folder = tmp_path / f"app-{len(apps)}"
        shutil.copytree(first_start, folder)
        changed = {**sim_settings.model_dump(), **given, "data_dir": folder}
        app = create_app(Settings(**changed), clock=clock)
        apps.append(app)
        now = clock.now()
        with services_of(app).sessions.begin() as session:
            definition = Definition(Kind.CASE, "CF02", "CF02", CustomType.TEXT)
            custom_fields.define(session, definition)
            customer = create(session, Kind.CUSTOMER, now, email="zoe@example.com")
            case = create(session, Kind.CASE, now, accountnum=customer)
            create(session, Kind.FOLLOWUP, now, casenum=case)
            create(session, Kind.TASK, now, accountnum=customer, description="李", duedate=now)
            fill_boxes(session, box_base)
        return app

    yield start
    for app in apps:
        services_of(app).close()


def services_of(app: Flask) -> Services:
    found: Services = app.extensions[EXTENSION]
    return found


def deliveries(app: Flask) -> list[Delivery]:
    """All of them, the first first."""
    with services_of(app).sessions() as session:
        return list(session.query(Delivery).order_by(Delivery.id))


def events(app: Flask) -> list[str]:
    """What fired, such as `Customer Delete`."""
    return [f"{delivery.kind} {delivery.event}" for delivery in deliveries(app)]


def agent(app: Flask) -> Browser:
    return Browser.of(app.test_client())


def call(app: Flask, *args: Any) -> Reply:
    return encoded(app.test_client(), *args)


# --- CRM triggers --------------------------------------------------------------------------


def test_followup_edit_fires_only_under_its_switch(start: Start) -> None:
    def fired(**given: Any) -> list[str]:
        app = start(**given)
        agent(app).submit("/agent/followups/10000000/edit", subject="Other")
        return events(app)

    assert fired() == []
    assert fired(followup_edit_trigger=True) == ["Followup Edit"]


def test_delete_selected_fires_for_each_until_it_is_switched_off(start: Start) -> None:
    def fired(**given: Any) -> list[str]:
        app = start(**given)
        browser = agent(app)
        question = browser.get("/agent/customers/delete-selected?chosen=10000000")
        page = browser.send(question)
        assert ("The switch delete_selected_fires is off." in page.text) is bool(given)
        return events(app)

    assert fired() == ["Customer Delete"]
    assert fired(delete_selected_fires=False) == []


def test_delete_all_fires_for_each_until_it_is_switched_off(start: Start) -> None:
    def fired(**given: Any) -> list[str]:
        app = start(**given)
        agent(app).submit("/agent/cases/delete-all", password="agent-demo")
        return events(app)

    assert fired() == ["Case Delete"]
    assert fired(delete_all_fires=False) == []
    assert fired(delete_cascade_fires=True) == ["Followup Delete", "Case Delete"]


def test_a_task_id_is_the_tasks_number_and_not_a_cases(start: Start) -> None:
    app = start()
    agent(app).submit("/agent/tasks/new", accountnum="10000000", subject="Second")
    (made,) = deliveries(app)
    assert made.url == f"{BASE}/task/create?AccountID=10000000&TaskID=10000001"


def test_a_query_is_continued_with_an_ampersand_or_by_a_second_question_mark(start: Start) -> None:
    def urls(**given: Any) -> list[str]:
        app = start(**given)
        browser = agent(app)
        box = {"customer_edit": "https://crm.example.com/t?key=a%20b"}
        browser.submit("/config/integration/crm-triggers", **box)
        browser.submit("/agent/customers/10000000/edit", company="New")
        return [delivery.url for delivery in deliveries(app)]

    assert urls() == ["https://crm.example.com/t?key=a%20b&AccountID=10000000"]
    assert urls(trigger_query_continuation="?") == [
        "https://crm.example.com/t?key=a%20b?AccountID=10000000"
    ]


def edit_and_send(app: Flask) -> Delivery:
    """An agent edits the customer, and what is due is sent once: the delivery."""
    agent(app).submit("/agent/customers/10000000/edit", company="New")
    assert services_of(app).dispatcher.run_once() == 1
    return deliveries(app)[0]


def test_triggers_are_get_or_post(start: Start, tls_receiver: TlsReceiver) -> None:
    for method in ("GET", "POST"):
        tls_receiver.will(answer(200))
        edit_and_send(start(tls_receiver.url(""), trigger_method=method))
        request = tls_receiver.requests[-1]
        assert (request.method, request.body) == (method, b"")
        assert request.target == "/customer/edit?AccountID=10000000"


@pytest.mark.parametrize(
    ("status", "exactly_200", "any_2xx"),
    [(200, True, True), (204, False, True), (201, False, True), (302, False, False)],
)
def test_which_answers_count_as_received(
    start: Start, tls_receiver: TlsReceiver, status: int, exactly_200: bool, any_2xx: bool
) -> None:
    def delivered(**given: Any) -> bool:
        tls_receiver.will(answer(status))
        delivery = edit_and_send(start(tls_receiver.url(""), **given))
        return delivery.state is DeliveryState.DELIVERED

    assert (delivered(), delivered(trigger_success="2xx")) == (exactly_200, any_2xx)


def test_a_call_has_as_long_as_the_setting_says(start: Start, tls_receiver: TlsReceiver) -> None:
    tls_receiver.will(lambda conversation: conversation.hold())
    hasty = start(tls_receiver.url(""), trigger_timeout_s=0.3)
    assert edit_and_send(hasty).state is DeliveryState.WAITING
    with services_of(hasty).sessions() as session:
        (attempt,) = session.get_one(Delivery, 1).attempts
        assert 250 <= attempt.duration_ms < 5_000
    assert services_of(start()).settings.trigger_timeout_s == 15


def test_a_schedule_says_when_a_failed_call_is_repeated(
    start: Start, tls_receiver: TlsReceiver, clock: ManualClock
) -> None:
    def waits(**given: Any) -> timedelta:
        tls_receiver.will(answer(500))
        again = edit_and_send(start(tls_receiver.url(""), **given)).next_attempt_at
        assert again is not None
        return again - clock.now()

    assert waits() == timedelta(seconds=5)
    assert waits(retry_schedule="quick") == timedelta(seconds=0.5)


def test_inbound_email_fires_only_under_its_switch(start: Start) -> None:
    def fired(**given: Any) -> list[str]:
        app = start(**given)
        services = services_of(app)
        with services.sessions.begin() as session:
            email = InboundEmail("New <new@example.com>", "Help", "me")
            inbound_email.receive(session, email, services.clock.now(), reopens=True)
        return events(app)

    assert fired() == []
    assert fired(email_fires=True) == ["Customer Create", "Case Create"]


def test_save_without_a_change_fires_until_it_is_switched_off(start: Start) -> None:
    def fired(company: str, **given: Any) -> list[str]:
        app = start(**given)
        agent(app).submit("/agent/customers/10000000/edit", company=company)
        return events(app)

    assert fired("") == ["Customer Edit"]
    assert fired("", unchanged_edit_fires=False) == []
    assert fired("New", unchanged_edit_fires=False) == ["Customer Edit"]


def test_what_goes_with_a_deleted_record_fires_only_under_its_switch(start: Start) -> None:
    def fired(**given: Any) -> list[str]:
        app = start(**given)
        agent(app).submit("/agent/customers/10000000/delete")
        assert call(app, "Task", "Get", ("TASKNUM", "10000000")).items == []
        return events(app)

    assert fired() == ["Customer Delete"]
    assert sorted(fired(delete_cascade_fires=True)) == [
        "Case Delete",
        "Customer Delete",
        "Followup Delete",
        "Task Delete",
    ]


# --- CRM API -------------------------------------------------------------------------------


def test_a_raw_query_is_decoded_or_read_as_it_was_sent(start: Start) -> None:
    def answers(**given: Any) -> list[str]:
        app = start(**given)
        call(app, "Customer", "Modify", ("ACCOUNTNUM", "10000000"), ("COMPANY", "A+B & C"))
        found = []
        for filter_ in ("<COMPANY>A+B &amp; C</COMPANY>", "<LASTNAME>O+Brien</LASTNAME>"):
            xml = document(f'<COMMAND OBJECT="Customer" ACTION="GET">{filter_}</COMMAND>')
            client: FlaskClient = app.test_client()
            with client.post("/WAPI/wapi.php", headers=FORM, data=f"xml_query={xml}") as reply:
                found.append(f"{read_reply(reply.data).code}:{len(read_reply(reply.data).items)}")
        return found

    assert answers() == ["1032:0", "0:0"]
    assert answers(api_raw_query="as-sent") == ["0:1", "0:0"]


def test_the_limit_of_a_body_is_a_setting(start: Start) -> None:
    tags = (*NAME, ("COMMENTS", "é" * 390))
    assert call(start(), "Customer", "Add", *tags).status == "0"
    refused = call(start(api_body_limit_bytes=1_000), "Customer", "Add", *tags).refused
    assert refused == ("1037", "The request is larger than 1000 bytes.")


def test_the_case_of_objects_and_tags_matters_only_under_its_switch(start: Start) -> None:
    lenient, strict = start(), start(api_case_matters=True)
    number = ("ACCOUNTNUM", "10000000")
    for app in (lenient, strict):
        assert call(app, "Customer", "get", number).column("ACCOUNTNUM") == ["10000000"]
        assert len(call(app, "Customer", "GET", ("customertype", "Default")).items) == 1
        assert len(call(app, "Customer", "GET", ("CUSTOMERTYPE", "Default")).items) == 1
    assert len(call(lenient, "CUSTOMER", "GET", number).items) == 1
    assert call(strict, "CUSTOMER", "GET", number).refused[0] == "1011"
    assert len(call(lenient, "Customer", "GET", ("AccountNum", "10000000")).items) == 1
    assert call(strict, "Customer", "GET", ("AccountNum", "10000000")).refused[0] == "1022"


def test_the_root_is_wapi_or_the_user_name(start: Start) -> None:
    number = ("ACCOUNTNUM", "10000000")
    assert call(start(), "Customer", "GET", number).root == "WAPI"
    named = start(api_reply_root="username")
    assert call(named, "Customer", "GET", number).root == "CRMAPI"
    assert with_key(named.test_client(), "Customer", "GET", number).root == "CRMAPI"
    assert call(named, "Customer", "GET").root == "CRMAPI"


def test_characters_beyond_latin_1_are_references_or_question_marks(start: Start) -> None:
    number = ("TASKNUM", "10000000")
    assert call(start(), "Task", "GET", number).column("DESCRIPTION") == ["李"]
    marks = start(api_characters="question-mark")
    assert call(marks, "Task", "GET", number).column("DESCRIPTION") == ["?"]


def test_add_answers_with_a_bare_number_or_an_item(start: Start) -> None:
    tags = (("CASENUM", "10000000"), ("SUBJECT", "x"))
    assert call(start(), "Followup", "Add", *tags).number == ("FOLLOWUPNUM", "10000001")
    items = call(start(api_add_reply="item"), "Followup", "Add", *tags).items
    assert items == [[("FOLLOWUPNUM", "10000001")]]


def test_modify_answers_with_nothing_or_the_number(start: Start) -> None:
    tags = (("CASENUM", "10000000"), ("SUBJECT", "x"))
    silent = call(start(), "Case", "Modify", *tags)
    assert (silent.status, silent.number, silent.items) == ("0", None, [])
    told = call(start(api_modify_reply="number"), "Case", "Modify", *tags)
    assert told.number == ("CASENUM", "10000000")


def test_a_get_without_a_filter_is_an_error_or_all(start: Start) -> None:
    assert call(start(), "Case", "GET").refused[0] == "1021"
    assert call(start(), "Case", "GET", ("STATUS", "")).refused[0] == "1021"
    all_of_them = start(api_get_without_filter="all")
    assert call(all_of_them, "Case", "GET").column("CASENUM") == ["10000000"]
    assert call(all_of_them, "Case", "GET", ("STATUS", "")).column("CASENUM") == ["10000000"]


def test_unknown_tags_are_refused_or_ignored(start: Start) -> None:
    unknown = ("SHOESIZE", "44")
    strict, lenient = start(), start(api_unknown_tags="ignore")
    assert call(strict, "Customer", "Add", *NAME, unknown).refused[0] == "1022"
    assert call(lenient, "Customer", "Add", *NAME, unknown).added == "10000001"
    number = ("ACCOUNTNUM", "10000000")
    assert call(strict, "Customer", "GET", number, unknown).refused[0] == "1022"
    assert len(call(lenient, "Customer", "GET", number, unknown).items) == 1


def test_filters_that_nobody_has_shown_can_be_taken_away(start: Start) -> None:
    shown, bare = start(), start(api_more_filters=False)
    for object_name, tag in (
        ("Followup", "FOLLOWUPNUM"),
        ("Followup", "CASENUM"),
        ("Followup", "ACCOUNTNUM"),
        ("Task", "TASKNUM"),
        ("Task", "ACCOUNTNUM"),
    ):
        assert len(call(shown, object_name, "GET", (tag, "10000000")).items) == 1
        assert call(bare, object_name, "GET", (tag, "10000000")).refused[0] == "1025"
    assert len(call(bare, "Task", "GET", ("TASK_STATUS", "Pending")).items) == 1


def test_a_partial_match_is_anywhere_or_at_the_beginning(start: Start) -> None:
    anywhere, beginning = start(), start(api_partial_match="beginning")
    for text, found in (("BRIEN", (1, 0)), ("o'b", (1, 1))):
        tag = ("LASTNAME", text)
        replies = [call(app, "Case", "GET", tag) for app in (anywhere, beginning)]
        assert tuple(len(reply.items) for reply in replies) == found


def test_calls_are_limited_only_where_the_setting_says_so(start: Start, clock: ManualClock) -> None:
    number = ("ACCOUNTNUM", "10000000")
    free, limited = start(), start(api_rate_limit_per_minute=2)
    for _ in range(20):
        assert call(free, "Customer", "GET", number).status == "0"
    assert [call(limited, "Customer", "GET", number).status for _ in range(2)] == ["0", "0"]
    clock.advance(timedelta(seconds=20.5))
    body = b"xml_query=" + document("<COMMAND/>").encode()
    with limited.test_client().post("/WAPI/wapi.php", headers=FORM, data=body) as reply:
        assert (reply.status_code, reply.headers["Retry-After"]) == (429, "40")
        assert read_reply(reply.data).refused[0] == "1051"
    clock.advance(timedelta(seconds=39.5))
    assert call(limited, "Customer", "GET", number).status == "0"


def test_a_reply_is_cut_only_where_the_setting_says_so(start: Start) -> None:
    for app, found in ((start(), 3), (start(api_row_cap=2), 2)):
        for _ in range(2):
            call(app, "Customer", "Add", *NAME)
        kind = ("CUSTOMERTYPE", "Default")
        assert len(call(app, "Customer", "GET", kind).items) == found


# --- Records -------------------------------------------------------------------------------


def test_dates_are_in_the_zone_of_the_setting(start: Start) -> None:
    tags = (("ACCOUNTNUM", "10000000"), ("SUBJECT", "x"), ("DUEDATE", "030120260930"))
    for zone, shown, created in (
        ("UTC", "030220260900", "03022026"),
        ("Asia/Tokyo", "030220261800", "03022026"),
        ("Pacific/Honolulu", "030120262300", "03012026"),
    ):
        app = start(api_time_zone=zone)
        task = call(app, "Task", "GET", ("TASKNUM", "10000000"))
        assert (task.column("DUEDATE"), task.column("CREATEDDATE")) == ([shown], [created])
        added = call(app, "Task", "Add", *tags).added
        assert call(app, "Task", "GET", ("TASKNUM", added)).column("DUEDATE") == ["030120260930"]
    with pytest.raises(ValueError, match="there is no time zone Nowhere"):
        Settings(api_time_zone="Nowhere")


def test_a_due_date_comes_back_with_its_time_or_without(start: Start) -> None:
    number = ("TASKNUM", "10000000")
    assert call(start(), "Task", "GET", number).column("DUEDATE") == ["030220260900"]
    bare = start(api_duedate_reply="date")
    assert call(bare, "Task", "GET", number).column("DUEDATE") == ["03022026"]


def test_numbers_begin_where_the_setting_says(start: Start) -> None:
    for app, first in ((start(), 10_000_000), (start(first_number=98), 98)):
        numbers = [call(app, "Customer", "Add", *NAME).added for _ in range(2)]
        assert numbers == [str(first + 1), str(first + 2)]
        tags = (("ACCOUNTNUM", numbers[0]), ("SUBJECT", "x"))
        assert call(app, "Case", "Add", *tags).added == str(first + 1)


def test_an_email_may_be_as_long_as_the_setting_says(start: Start) -> None:
    email = ("EMAIL", "a" * 29 + "@example.com")
    assert call(start(), "Customer", "Add", *NAME, email).status == "0"
    short = start(email_max_length=40)
    expected = ("5", "The value test of the tag email is not valid.")
    assert call(short, "Customer", "Add", *NAME, email).refused == expected
    page = agent(short).submit("/agent/customers/new", firstname="A", lastname="B", email=email[1])
    assert "at most 40 are allowed" in page.problem("email")
    assert call(short, "Customer", "Add", *NAME, ("EMAIL", email[1][1:])).status == "0"


def test_a_cases_custom_tag_has_the_suffix_of_the_setting(start: Start) -> None:
    for app, tag in ((start(), "CF02.NAME"), (start(custom_tag_suffix=""), "CF02")):
        call(app, "Case", "Modify", ("CASENUM", "10000000"), ("CF02", "x"))
        found = call(app, "Case", "GET", (tag, "x")).items
        assert found[0][-1] == (tag, "x")


def test_an_email_reopens_a_closed_case_or_opens_a_new_one(start: Start) -> None:
    for app, cases in (
        (start(), ["Open"]),
        (start(email_reopens_closed_case=False), ["Closed", "Open"]),
    ):
        call(app, "Case", "Modify", ("CASENUM", "10000000"), ("STATUS", "Closed"))
        services = services_of(app)
        with services.sessions.begin() as session:
            email = InboundEmail("zoe@example.com", "Re: [Case 10000000]", "again")
            reopens = services.settings.email_reopens_closed_case
            inbound_email.receive(session, email, services.clock.now(), reopens=reopens)
        found = call(app, "Case", "GET", ("ACCOUNTNUM", "10000000"))
        assert found.column("STATUS") == cases
