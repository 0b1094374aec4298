"""A Chromium that reaches this machine alone, and windows of it that keep an eye on their pages.

In: the Chromium of the system, found in PATH. Out: `launched()` with a browser, and `Window`s:
Playwright pages that remember what a person would not notice: requests to other hosts, and what
the browser complains of (scripts that fail, what the Content-Security-Policy has refused).
"""

import os
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

import pytest

from scripts.demonstration.chromium import HOW_TO_INSTALL, launched, program

HAS_PLAYWRIGHT = find_spec("playwright") is not None
if HAS_PLAYWRIGHT:
    from playwright.sync_api import (
        Browser,
        BrowserContext,
        ConsoleMessage,
        Page,
        Request,
        Response,
        expect,
    )

    expect.set_options(timeout=20_000)
else:  # an extra: without it every test of this folder is skipped before it needs one of these
    Browser = BrowserContext = ConsoleMessage = Page = Request = Response = Any
    expect = None

__all__ = ["DESK", "PHONE", "Browser", "Page", "Windows", "expect", "launched"]

DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


def skip_without_chromium() -> None:
    """Skip, or fail where Chromium is demanded. From a hook: fixtures would skip in many lines."""
    if program() is None:
        _missing("Chromium", HOW_TO_INSTALL)
    if not HAS_PLAYWRIGHT:
        _missing("Playwright", "scripts/setup test browser")


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
    line = f"No {what}, so the pages are not tried in it: {how}, then run scripts/test again."
    if os.environ.get("TEST_DEMAND_CHROMIUM"):
        pytest.fail(line, pytrace=False)
    pytest.skip(line)
