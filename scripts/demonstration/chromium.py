"""The system's Chromium, driven by Playwright, on this machine alone.

In: what is installed. Out: a headless browser that looks up no foreign name and asks no foreign
host for anything. Playwright is an extra (`browser`).
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_ON_LOOPBACK_ONLY = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--proxy-server=http://127.0.0.1:9",
    "--proxy-bypass-list=127.0.0.1;localhost",
)
HOW_TO_INSTALL = "install it (Debian: apt-get install chromium)"


def program() -> str | None:
    """The path of Chromium, or None."""
    return next((path for name in _PROGRAMS if (path := shutil.which(name))), None)


@contextmanager
def launched() -> Iterator["Browser"]:
    """A running Chromium; it must be installed."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 whether to skip is asked before

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program(), chromium_sandbox=False, args=list(_ON_LOOPBACK_ONLY)
        )
        try:
            yield browser
        finally:
            browser.close()
