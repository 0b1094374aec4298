"""A Chromium that reaches this machine alone, and windows of it that keep an eye on their pages.

In: the Chromium of the system, found in PATH. Out: `launched()` with a browser, and `Window`s:
Playwright pages that remember what a person would not notice: requests to other hosts, and what
the browser complains of (scripts that fail, what the Content-Security-Policy has refused).
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

import pytest

HAS_PLAYWRIGHT = find_spec("playwright") is not None
if HAS_PLAYWRIGHT:
    from playwright.sync_api import (
        Browser,
        BrowserContext,
        ConsoleMessage,
        Locator,
        Page,
        Request,
        Response,
        expect,
        sync_playwright,
    )

    expect.set_options(timeout=20_000)
else:  # an extra: without it every test of this folder is skipped before it needs one of these
    Browser = BrowserContext = ConsoleMessage = Locator = Page = Request = Response = Any
    expect = sync_playwright = None

__all__ = ["DESK", "PHONE", "Browser", "Locator", "Page", "Windows", "expect", "launched"]

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
HOW_TO = "No {what}, so the pages are not tried in it: {how}, then run scripts/test again."
_ON_LOOPBACK_ONLY = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--proxy-server=http://127.0.0.1:9",
    "--proxy-bypass-list=127.0.0.1;localhost",
)
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


def program() -> str | None:
    """The path of Chromium, or None."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


def skip_without_chromium() -> None:
    """Skip, or fail where Chromium is demanded. From a hook: a fixture's skip is a line per test."""
    if program() is None:
        _missing("Chromium", "install it (Debian: apt-get install chromium)")
    if not HAS_PLAYWRIGHT:
        _missing("Playwright", "scripts/setup test browser")


@contextmanager
def launched() -> Iterator[Browser]:
    """A running Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program(), chromium_sandbox=False, args=list(_ON_LOOPBACK_ONLY)
        )
        try:
            yield browser
        finally:
            browser.close()


class Windows:
    """Windows of one browser on one server; `close` says what was wrong on their pages."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url
        self._contexts: list[BrowserContext] = []
        self._refused: set[str] = set()
        self._complaints: list[str] = []

    def open(self, **options: Any) -> Page:
        """A window with cookies of its own. options: of Playwright's `new_context`."""
        context = self._browser.new_context(
            **{"base_url": self._url, "ignore_https_errors": True, "viewport": DESK} | options
        )
        context.on("request", self._note_request)
        context.on("response", self._note_response)
        context.on("console", self._note_console)
        context.on("weberror", lambda error: self._complaints.append(str(error.error)))
        self._contexts.append(context)
        return context.new_page()

    def close(self) -> list[str]:
        """Close them all; requests to other hosts and the browser's complaints."""
        for context in self._contexts:
            context.close()
        return self._complaints

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith((self._url + "/", "data:")):
            self._complaints.append(f"A request to {urlsplit(request.url).netloc}: {request.url}")

    # A page that is answered with a refusal is no complaint; whatever else fails to load is one.
    def _note_response(self, response: Response) -> None:
        if response.request.is_navigation_request() and response.status in (404, 409, 422):
            self._refused.add(response.url)

    def _note_console(self, message: ConsoleMessage) -> None:
        is_refused_page = message.location["url"] in self._refused
        if message.type in ("error", "warning") and not is_refused_page:
            self._complaints.append(f"{message.location['url']}: {message.text}")


def _missing(what: str, how: str) -> None:
    line = HOW_TO.format(what=what, how=how)
    if os.environ.get("TEST_DEMAND_CHROMIUM"):
        pytest.fail(line, pytrace=False)
    pytest.skip(line)
