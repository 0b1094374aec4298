"""Programs that were written for the real service, and callers who should not get in."""

import logging
from urllib.parse import quote_plus, urlencode

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event

from simulator.clock import ManualClock
from simulator.crm_api.errors import Refusal
from simulator.local_crm import secrets
from simulator.local_crm.models import ApiAccess
from simulator.local_crm.secrets import hash_secret
from simulator.services import Services
from simulator.triggers.urls import Kind
from tests.crm_api_clients import (
    CLIENTS,
    FORM,
    KEY_HEADERS,
    Client,
    Reply,
    command,
    document,
    encoded,
    raw,
    read_reply,
    with_key,
)
from tests.local_crm import create

CUSTOMER_TAGS = (
    "FIRSTNAME LASTNAME COMPANY PBX COMMENTS ACCOUNTNUM customertype EMAIL VOICE ALTERNATIVE FAX "
    "ADDR1STR1 ADDR1STR2 ADDR1CITY ADDR1STATE ADDR1ZIP ADDR1COUNTRY ADDR2STR1 ADDR2STR2 ADDR2CITY "
    "ADDR2STATE ADDR2ZIP ADDR2COUNTRY"
)
CASE_TAGS = (
    "ACCOUNTNUM CASENUM SUBJECT DESCRIPTION STATUS PRIORITY SEVERITY CATEGORY PROJECT VISIBILITY "
    "MEDIATYPE ASSIGNEDTO ASSIGNEDDATE CREATEDBY CREATEDDATE CLOSEDBY CLOSEDDATE LASTACTDATE"
)
FOLLOWUP_TAGS = (
    "ACCOUNTNUM CASENUM FOLLOWUPNUM SUBJECT BODY DIRECTION MEDIATYPE VISIBILITY CREATEDBY "
    "CREATEDDATE"
)
TASK_TAGS = (
    "TASKNUM ACCOUNTNUM SUBJECT DESCRIPTION TASK_STATUS ASSIGNEDTO CALL_TYPE MEDIA_TYPE "
    "MIDDLEWARE_URL PHONE EMAIL DUEDATE CREATEDBY CREATEDDATE LASTMODDATE TRANSACTIONID "
    "PARENTTASKNUM"
)


@pytest.fixture(autouse=True)
def records(services: Services, clock: ManualClock) -> None:
    """A customer with a case, a follow-up and a task."""
    now = clock.now()
    with services.sessions.begin() as session:
        customer = create(session, Kind.CUSTOMER, now, email="zoe@example.com", lastname="王 & Ł")
        case = create(session, Kind.CASE, now, accountnum=customer)
        create(session, Kind.FOLLOWUP, now, casenum=case)
        create(session, Kind.TASK, now, accountnum=customer, assignedto="ag1002")


@pytest.mark.parametrize("send", CLIENTS)
@pytest.mark.parametrize(
    ("object_name", "number_tag", "tags"),
    [
        ("Customer", "ACCOUNTNUM", CUSTOMER_TAGS),
        ("Case", "CASENUM", CASE_TAGS),
        ("Followup", "FOLLOWUPNUM", FOLLOWUP_TAGS),
        ("Task", "TASKNUM", TASK_TAGS),
    ],
)
def test_each_way_of_calling_reads_each_object_with_its_tags_in_order(
    client: FlaskClient, send: Client, object_name: str, number_tag: str, tags: str
) -> None:
    reply = send(client, object_name, "GET", (number_tag, "10000000"))
    assert (reply.root, reply.error) == ("WAPI", "")
    (item,) = reply.items
    assert " ".join(tag for tag, _ in item) == tags
    if object_name == "Customer":
        assert dict(item)["LASTNAME"] == "王 & Ł"


def test_a_lead_is_looked_up_added_and_given_a_task(client: FlaskClient) -> None:
    """As a public integration does it: by email, by phone, Add, Add again, Task."""
    email, phone = ("EMAIL", "new@example.com"), ("VOICE", "4155550100")
    assert encoded(client, "Customer", "Get", email).items == []
    assert encoded(client, "Customer", "Get", phone).items == []
    person = (
        ("FIRSTNAME", "Housecall"),
        ("LASTNAME", "Lead 7"),
        email,
        phone,
        ("AUTOPASSWD", "TRUE"),
        ("ADDR1STR1", "1 Main St"),
        ("ADDR1STR2", ""),
        ("ADDR1ZIP", "94105"),
        ("COMMENTS", "Created by a webhook.\nLead: 7"),
    )
    added = encoded(client, "Customer", "Add", *person).added
    assert encoded(client, "Customer", "Add", *person).refused[0] == "81"
    assert encoded(client, "Customer", "Get", email).column("ACCOUNTNUM") == [added]
    task = (
        ("ACCOUNTNUM", added),
        ("SUBJECT", "Call"),
        ("TASK_STATUS", "Pending"),
        ("ASSIGNEDTO", "ag1003"),
        ("CALL_TYPE", "DAA"),
        ("MEDIA_TYPE", "Phone"),
        ("DUEDATE", "030320261545"),
    )
    assert encoded(client, "Task", "Add", *task).number == ("TASKNUM", "10000001")
    waiting = (("ASSIGNEDTO", "ag1003"), ("TASK_STATUS", "Pending"))
    assert len(encoded(client, "Task", "Get", *waiting).items) == 1


def test_a_raw_body_may_be_one_line_or_many_and_end_in_white_space(client: FlaskClient) -> None:
    one_line = document(command("Customer", "GET", (("EMAIL", "zoe@example.com"),)))
    for xml in (one_line, " ".join(one_line.split()), one_line + "\r\n\r\n", one_line.strip()):
        with client.post("/WAPI/wapi.php", headers=FORM, data=f"xml_query={xml}") as reply:
            assert read_reply(reply.data).column("ACCOUNTNUM") == ["10000000"]


@pytest.mark.parametrize("white_space", ["", " ", "\n", "\r\n\t  ", "\n" * 50])
def test_a_bare_command_may_follow_any_white_space(client: FlaskClient, white_space: str) -> None:
    body = white_space + command("task", "get", (("tasknum", "10000000"),)) + "\n"
    with client.post("/cc/v1/wapi", headers=KEY_HEADERS, data=body) as reply:
        assert read_reply(reply.data).column("TASKNUM") == ["10000000"]


def test_a_key_opens_the_one_door_and_the_password_the_other(client: FlaskClient) -> None:
    whole = document(command("Customer", "GET", (("ACCOUNTNUM", "1"),))).strip()
    with client.post("/cc/v1/wapi", headers=KEY_HEADERS, data=whole) as reply:
        assert read_reply(reply.data).refused[0] == "1035"
    form = urlencode({"xml_query": command("Customer", "GET", (("ACCOUNTNUM", "1"),))})
    with client.post("/WAPI/wapi.php", headers={**FORM, **KEY_HEADERS}, data=form) as reply:
        assert read_reply(reply.data).refused[0] == "1035"


def wrong(client: FlaskClient, **changed: str) -> Reply:
    """A call to /WAPI/wapi.php with something else in TENANT, USERNAME or PASSWORD."""
    given = {"TENANT": "demo", "USERNAME": "crmapi", "PASSWORD": "crmapi-demo", **changed}
    tags = "".join(f"<{tag}>{text}</{tag}>" for tag, text in given.items())
    xml = f"<WAPI>{tags}{command('Customer', 'GET', (('ACCOUNTNUM', '10000000'),))}</WAPI>"
    with client.post("/WAPI/wapi.php", headers=FORM, data="xml_query=" + quote_plus(xml)) as reply:
        return read_reply(reply.data)


def test_tenant_user_name_and_password_must_all_be_right(client: FlaskClient) -> None:
    assert wrong(client).status == "0"
    for changed in (
        {"TENANT": "other"},
        {"TENANT": "Demo"},
        {"USERNAME": "ag1001"},
        {"PASSWORD": "crmapi-demo "},
        {"PASSWORD": "demo-api-key"},
        {"TENANT": "", "USERNAME": "", "PASSWORD": ""},
    ):
        code, sentence = wrong(client, **changed).refused
        assert (code, sentence) == ("1002", Refusal.BAD_CREDENTIALS.sentence)


def test_no_secret_shows_anywhere_and_none_is_hashed_again(
    client: FlaskClient,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    statements: list[str] = []
    event.listen(
        services.engine,
        "before_cursor_execute",
        lambda *args: statements.append(f"{args[2]} {args[3]}"),
    )
    with services.sessions.begin() as session:
        access = session.get_one(ApiAccess, 1)
        access.password_hash = hash_secret("Open-Sesame")
        access.api_key_hash = hash_secret("Key-Of-Mine")
    computed: list[str] = []
    real = secrets.check_password_hash

    def counted(stored: str, given: str) -> bool:
        computed.append(given)
        return real(stored, given)

    monkeypatch.setattr(secrets, "check_password_hash", counted)
    body = command("Customer", "GET", (("ACCOUNTNUM", "10000000"),))
    headers = {**KEY_HEADERS, "x-api-key": "Key-Of-Mine"}
    for _ in range(5):
        assert wrong(client, PASSWORD="Open-Sesame").status == "0"
        with client.post("/cc/v1/wapi", headers=headers, data=body) as reply:
            assert read_reply(reply.data).status == "0"
    assert computed == ["Open-Sesame", "Key-Of-Mine"]
    refused = str(wrong(client, PASSWORD="Open-Sesame", TENANT="x").refused)
    out, err = capsys.readouterr()
    pages = client.get("/config/integration/crm-api").text + client.get("/agent/customers").text
    for place in (out, err, caplog.text, refused, pages, *statements):
        assert "Open-Sesame" not in place
        assert "Key-Of-Mine" not in place


def test_the_strict_parser_refuses_what_the_service_never_sends() -> None:
    good = (
        '<?xml version="1.0" encoding="ISO-8859-1"?><WAPI><REPLY STATUS="0" ERROR_STR="" '
        'ERROR_CODE="0"> <ITEM><A>x</A><B/></ITEM> </REPLY></WAPI>'
    )
    assert read_reply(good.encode()).items == [[("A", "x"), ("B", "")]]
    for old, new in (
        ("ISO-8859-1", "UTF-8"),
        ("<B/>", "<B></B>"),
        ("<B/>", "<A/>"),
        ("<B/>", "<B>&#233;</B>"),
        ("<B/>", "<B>a & b</B>"),
        ("<B/>", "stray"),
        ('STATUS="0" ', ""),
        ('"0"> <', '"0"><'),
        ("</WAPI>", "</WAPI>\n"),
    ):
        with pytest.raises(AssertionError):
            read_reply(good.replace(old, new).encode())


@pytest.mark.parametrize("send", [raw, with_key])
def test_what_is_beyond_latin_1_goes_in_and_comes_out(client: FlaskClient, send: Client) -> None:
    name = (("FIRSTNAME", "Ān 😀"), ("LASTNAME", "Zoë Ünal €"))
    added = send(client, "Customer", "ADD", *name).added
    assert set(name) <= set(send(client, "Customer", "GET", ("ACCOUNTNUM", added)).items[0])
