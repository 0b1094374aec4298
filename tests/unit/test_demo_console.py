"""The demo's browser, against a page that is served over real https."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from flask import Flask, Response, redirect, request
from werkzeug.serving import make_server

from scripts.demonstration.certificates import make_certificates
from scripts.demonstration.console import Console, FormRefused, PageFailed

_PAGE = """
<!doctype html><html><head><meta charset="utf-8"></head><body>
<form method="post" action="/elsewhere"><input name="agent_id"></form>
<form method="post">
  <input type="hidden" name="csrf_token" value="t0ken">
  <input name="subject" value="Zoë &amp; Kraków">
  <textarea name="body">
first
second</textarea>
  <select name="status"><option>Open</option><option selected>Closed</option></select>
  <button name="save" value="yes">Save</button>
</form></body></html>
"""
_REFUSED = '<html><body><div class="invalid-feedback">Subject is required.</div></body></html>'


class Site:
    """What was sent to the page, and the browser that sends it."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.sent: dict[str, str] = {}
        self.referer: str | None = None


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A page with two forms under /form, and what becomes of them."""
    made = make_certificates(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(made.cert, made.key)
    application = Flask("page")
    server = make_server("127.0.0.1", 0, application, ssl_context=tls)
    console = Console(f"https://127.0.0.1:{server.port}", made.ca)
    visited = Site(console)

    @application.get("/form")
    def form() -> str:
        return _PAGE

    @application.post("/form")
    def submitted() -> Response | tuple[str, int]:
        visited.sent = request.form.to_dict()
        visited.referer = request.headers.get("Referer")
        if not visited.sent["subject"]:
            return _REFUSED, 422
        return redirect("/shown/17")  # type: ignore[return-value]

    @application.get("/shown/<number>")
    def shown(number: str) -> str:
        return number

    thread = Thread(target=server.serve_forever)
    thread.start()
    yield visited
    console.close()
    server.shutdown()
    thread.join()
    server.server_close()


def test_fields_that_are_not_typed_over_go_back_as_the_page_showed_them(site: Site) -> None:
    shown = site.console.submit("/form", {"status": "Open"})

    assert shown == "/shown/17"
    assert site.sent == {
        "csrf_token": "t0ken",
        "subject": "Zoë & Kraków",
        "body": "first\r\nsecond",
        "status": "Open",
        "save": "yes",
    }
    assert site.referer is not None
    assert site.referer.endswith("/form")


def test_a_refused_form_says_what_the_page_said(site: Site) -> None:
    with pytest.raises(FormRefused, match="Subject is required"):
        site.console.submit("/form", {"subject": ""})


def test_a_choice_that_the_page_does_not_offer_is_refused(site: Site) -> None:
    with pytest.raises(FormRefused, match="does not offer 'Lost'"):
        site.console.submit("/form", {"status": "Lost"})


def test_a_page_or_field_that_is_not_there_is_a_sentence(site: Site) -> None:
    with pytest.raises(PageFailed, match="answered 404"):
        site.console.submit("/nowhere", {})
    with pytest.raises(PageFailed, match="has no field colour"):
        site.console.submit("/form", {"colour": "red"})
