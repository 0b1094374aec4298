"""A look at every page that a server's links lead to.

In: a window, the server's address. Out: what is wrong, by kind of page; `looks.js` says what that
may be.
"""

import re
from pathlib import Path
from urllib.parse import urlsplit

from tests.browser.chromium import DESK, PHONE, Page

LOOKS = (Path(__file__).parent / "looks.js").read_text(encoding="utf-8")
SAME_PAGE = {"sort", "select", "after", "before", "from"}  # another part of it, in another order


def kind_of(address: str) -> str:
    """Pages of one kind: numbers, tokens and faults alike, and only which filters there are."""
    parts = urlsplit(address)
    names = {pair.partition("=")[0] for pair in parts.query.split("&") if pair}
    path = re.sub(r"\b(\d+|[0-9a-f]{32}|(?<=faults/new/)\w+)\b", "N", parts.path)
    return f"{path}?{'&'.join(sorted(names - SAME_PAGE))}"


def look(window: Page) -> list[str]:
    """What is wrong on the present page: dark on a phone, then light on a desk."""
    wrong = []
    window.wait_for_load_state()  # what a click led to may show before all its styles are there
    for theme, viewport in (("dark", PHONE), ("light", DESK)):
        window.set_viewport_size(viewport)
        window.evaluate(f"document.documentElement.dataset.bsTheme = '{theme}'")
        wrong += [f"{theme}: {sentence}" for sentence in window.evaluate(LOOKS)]
    return wrong


def look_at_all(window: Page, url: str, *also: str) -> dict[str, list[str]]:
    """What is wrong on the first page of each kind, from the start page on, by kind."""
    found: dict[str, list[str]] = {}
    to_visit = ["/", *also]
    while to_visit:
        address = to_visit.pop(0)
        if kind_of(address) in found:
            continue
        window.goto(address)
        found[kind_of(address)] = look(window)
        links = window.locator("a").evaluate_all("all => all.map(one => one.href)")
        to_visit += [
            link.removeprefix(url)
            for link in links
            if link.startswith(url) and "#" not in link and ".csv" not in link
        ]
    return found
