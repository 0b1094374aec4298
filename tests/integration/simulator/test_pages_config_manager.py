"""Administrators set the twelve boxes and the CRM API access; what is wrong saves nothing."""

import pytest
from sqlalchemy import select

from simulator.db import read_session
from simulator.local_crm.api_access import verify, verify_key
from simulator.local_crm.models import ApiAccess
from simulator.services import Services
from simulator.triggers.models import TriggerBox
from simulator.triggers.urls import BOXES
from tests.forms import Browser

TRIGGERS = "/config/integration/crm-triggers"
API = "/config/integration/crm-api"


def saved_urls(services: Services) -> dict[str, str]:
    """The boxes with something in them."""
    with read_session(services.engine) as session:
        boxes = session.scalars(select(TriggerBox).where(TriggerBox.url != ""))
        return {f"{box.kind}_{box.event}".lower(): box.url for box in boxes}


def saved_access(services: Services) -> ApiAccess:
    """The row behind the CRM API tab."""
    with read_session(services.engine) as session:
        return session.get_one(ApiAccess, 1)


def test_twelve_boxes_are_saved_and_shown_again(browser: Browser, services: Services) -> None:
    urls = {f"{k}_{e}".lower(): f"https://crm.example.com/{k}-{e}" for k, e in BOXES}
    assert len(urls) == 12
    page = browser.submit(TRIGGERS, **urls)
    assert page.flashes == ["The CRM triggers are saved."]
    assert saved_urls(services) == urls
    assert {name: page.value(name) for name in urls} == urls


def test_the_page_shows_what_is_sent_beneath_each_box(browser: Browser) -> None:
    page = browser.get(TRIGGERS)
    assert page.field("customer_edit").endswith("?AccountID=aaa")
    assert page.field("case_create").endswith("?AccountID=aaa&CaseID=ccc")
    assert page.field("followup_delete").endswith("?AccountID=aaa&CaseID=ccc&FollowupID=fff")
    assert page.field("task_delete").endswith("?AccountID=aaa&TaskID=ttt")
    assert page.field("followup_edit").endswith(
        "This box fires nothing: the switch followup_edit_trigger is off."
    )
    page = browser.submit(TRIGGERS, task_edit="https://crm.example.com/t?k=1")
    assert page.field("task_edit").endswith("…/t?k=1&AccountID=aaa&TaskID=ttt")
    page = browser.submit(TRIGGERS, case_edit=f"https://crm.example.com/{'secret' * 9}/case/edit")
    assert page.field("case_edit").endswith(" …/case/edit?AccountID=aaa&CaseID=ccc")
    page = browser.submit(TRIGGERS, case_edit="https://a.example/c")
    assert page.field("case_edit").endswith(" https://a.example/c?AccountID=aaa&CaseID=ccc")


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (
            "http://crm.example.com/t",
            "8x8 Contact Center requires a secure URL: it must begin with https://.",
        ),
        ("/8x8/customer", "Type the whole URL, beginning with https://."),
        ("crm.example.com/t", "Type the whole URL, beginning with https://."),
        ("https://", "The URL names no server. Type one like https://crm.example.com/trigger."),
        (
            "https://crm.example.com:port/t",
            "This is not a well-formed URL. Type one like https://crm.example.com/trigger.",
        ),
        (
            "https://crm.example.com/a b",
            "The URL contains a space or a control character. Remove it or write it as %20.",
        ),
        *(
            (
                f"https://{server}/t",
                "No server can be called that. Type a URL like https://crm.example.com/trigger.",
            )
            for server in ("crm..example.com", "..", "a" * 64 + ".com", "crm.example.com:0")
        ),
    ],
)
def test_a_wrong_url_is_named_beside_its_box_and_what_was_saved_stays(
    browser: Browser, services: Services, typed: str, sentence: str
) -> None:
    browser.submit(TRIGGERS, case_edit="https://crm.example.com/saved")
    page = browser.submit(
        TRIGGERS, case_edit=typed, task_create="https://crm.example.com/typed-with-it"
    )
    assert page.status == 422
    assert page.problem("case_edit") == sentence
    assert page.problem("task_create") == ""
    assert page.value("case_edit") == typed
    assert page.value("task_create") == "https://crm.example.com/typed-with-it"
    assert "Nothing was saved" in page.text
    assert saved_urls(services) == {"case_edit": "https://crm.example.com/saved"}


def test_an_emptied_box_fires_no_more(browser: Browser, services: Services) -> None:
    browser.submit(TRIGGERS, customer_create=" https://crm.example.com/c ")
    assert saved_urls(services) == {"customer_create": "https://crm.example.com/c"}
    browser.submit(TRIGGERS, customer_create="")
    assert saved_urls(services) == {}
    page = browser.submit("/agent/customers/new", firstname="Ada", lastname="Byron")
    assert "No trigger fired" in page.flashes[0]


def test_the_crm_api_tab_saves_all_its_fields(browser: Browser, services: Services) -> None:
    page = browser.submit(
        API,
        enabled=False,
        username="sync",
        password="new secret",
        retype_password="new secret",
        used_identity="ag1004",
        rights=["Customer:Get", "Case:Modify"],
        tenant="acme",
        api_key="new key",
    )
    assert page.flashes == ["The CRM API access is saved."]
    access = saved_access(services)
    assert (access.enabled, access.username, access.tenant) == (False, "sync", "acme")
    assert access.used_identity == "ag1004"
    assert set(access.rights) == {"Customer:Get", "Case:Modify"}
    assert verify(access, "acme", "sync", "new secret")
    assert verify_key(access, "acme", "new key")


def test_an_empty_password_keeps_the_present_one(browser: Browser, services: Services) -> None:
    before = saved_access(services)
    browser.submit(API, username="sync")
    after = saved_access(services)
    assert (after.username, after.enabled) == ("sync", True)
    assert (after.password_hash, after.api_key_hash) == (before.password_hash, before.api_key_hash)
    assert after.rights == before.rights


def test_passwords_are_never_shown_again(browser: Browser) -> None:
    page = browser.submit(
        API, password="one secret", retype_password="another secret", api_key="third secret"
    )
    assert page.status == 422
    assert page.problem("retype_password") == "The two passwords differ. Type both again."
    assert b"secret" not in page.content
    assert b"crmapi-demo" not in browser.get(API).content


def test_wrong_entries_of_the_tab_are_named_beside_their_fields(
    browser: Browser, services: Services
) -> None:
    page = browser.submit(API, username="AG1002", tenant=" ", enabled=False)
    assert page.status == 422
    assert page.problem("username") == (
        "AG1002 is an agent. Give the CRM API a username of its own."
    )
    assert page.problem("tenant") == "Tenant is required."
    assert page.value("username") == "AG1002"
    assert saved_access(services).enabled
    assert browser.submit(API, username="").problem("username") == ("CRM API username is required.")


@pytest.mark.parametrize("name", ["username", "password", "tenant", "api_key"])
def test_a_text_of_the_tab_that_no_caller_could_send_is_refused(
    browser: Browser, services: Services, name: str
) -> None:
    before = saved_access(services)
    label = {"username": "CRM API username", "api_key": "API key"}.get(name, name.capitalize())
    page = browser.submit(API, **{name: "x" * 256})
    assert page.status == 422
    assert page.problem(name) == f"{label} is 256 characters long; at most 255 are allowed."
    token = str(page.document.xpath("//input[@name='csrf_token']/@value")[0])
    page = browser.post(API, [("csrf_token", token), (name, "a\x1bb")])
    assert page.problem(name) == f"{label} contains a control character. Remove it."
    assert saved_access(services).username == before.username
    assert saved_access(services).password_hash == before.password_hash


def test_spaces_around_names_of_the_tab_are_dropped(browser: Browser, services: Services) -> None:
    browser.submit(API, username=" sync ", tenant="acme ")
    access = saved_access(services)
    assert (access.username, access.tenant) == ("sync", "acme")
    assert "is an agent" in browser.submit(API, username=" ag1002 ").problem("username")


def test_a_key_that_fits_no_header_is_refused(browser: Browser) -> None:
    problem = browser.submit(API, api_key="Schlüssel").problem("api_key")
    assert problem == (
        "API key may hold letters, digits and signs of ASCII only: it is sent in a header."
    )


def test_followups_have_no_modify_right(browser: Browser) -> None:
    page = browser.get(API)
    offered = page.document.xpath("//input[@name='rights']/@value")
    assert len(offered) == 11
    assert "Followup:Modify" not in offered


def test_a_right_or_identity_that_is_none_is_refused(browser: Browser) -> None:
    token = browser.get(API).document.xpath("//input[@name='csrf_token']/@value")[0]
    page = browser.post(
        API,
        [
            ("csrf_token", str(token)),
            ("username", "sync"),
            ("tenant", "demo"),
            ("used_identity", "root"),
            ("rights", "Followup:Modify"),
        ],
    )
    assert page.status == 422
    assert page.problem("rights") == "There is no right Followup:Modify."
    assert page.problem("used_identity") == "Used Identify: there is no agent root."
