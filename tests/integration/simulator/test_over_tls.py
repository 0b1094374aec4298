"""Pages and CRM API over a real TLS socket: what a client in the same process does not show."""

from collections.abc import Iterator

import pytest
import requests

from simulator.server import Simulator
from tests.forms import Browser


@pytest.fixture
def session(simulator: Simulator) -> Iterator[requests.Session]:
    """A caller that trusts the simulator's certificate and nothing from the environment."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(simulator.ca_path)
        yield session


def test_forms_are_accepted_over_https(simulator: Simulator, session: requests.Session) -> None:
    browser = Browser.over_http(simulator.url, session)
    page = browser.submit("/agent/customers/new", firstname="Zoë", lastname="Byron")
    assert (page.status, page.path) == (200, "/agent/customers/10000000")
    assert page.field("firstname") == "Zoë"


def test_a_form_from_elsewhere_is_refused(simulator: Simulator, session: requests.Session) -> None:
    browser = Browser.over_http(simulator.url, session)
    form = browser.get("/agent/customers/new").document.xpath("//input[@name='csrf_token']")[0]
    page = browser.post(
        "/agent/customers/new",
        [("csrf_token", form.get("value")), ("firstname", "A"), ("lastname", "B")],
        referer="https://evil.example/",
    )
    assert page.status == 400
    assert "The form was not accepted" in page.text


@pytest.mark.parametrize("path", ["/WAPI/wapi.php", "/cc/v1/wapi"])
def test_a_caller_sees_the_error_reply_to_ten_megabytes(
    simulator: Simulator, session: requests.Session, path: str
) -> None:
    """A connection closed on unread bytes would be reset instead."""
    reply = session.post(simulator.url + path, data=b"x" * 10_000_000, timeout=30)
    assert (reply.status_code, 'ERROR_CODE="1037"' in reply.text) == (200, True)


def test_a_body_in_chunks_has_the_same_limit(
    simulator: Simulator, session: requests.Session
) -> None:
    chunks = (b"x" * 500_000 for _ in range(4))
    reply = session.post(simulator.url + "/cc/v1/wapi", data=chunks, timeout=30)
    assert (reply.status_code, 'ERROR_CODE="1037"' in reply.text) == (200, True)
