"""Pictures of the pages for the README, taken of a demo that has run and is still up.

In: the demo's parts. Out: four PNG files, of what a person sees who works the pages: an agent who
changes records, triggers that get lost on their way, and the External CRM with what arrived.
"""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize, expect

from scripts.demonstration.chromium import launched
from scripts.demonstration.parts import Parts

_SIZE = ViewportSize(width=1280, height=800)
_PATIENCE_MS = 20_000
_CUSTOMER = {
    "First Name": "Ada",
    "Last Name": "Byron",
    "Company": "Analytical Engines Ltd",
    "Comments": "Prefers email. Wants to hear of every repair.",
    "Email": "ada.byron@example.com",
    "Voice": "+1 555 0100-1815",
    "Address 1 City": "London",
}


def take_pictures(parts: Parts, folder: Path, say: Callable[[str], None]) -> None:
    """Work the pages and write the files; `say` is told of each."""
    expect.set_options(timeout=_PATIENCE_MS)
    folder.mkdir(parents=True, exist_ok=True)

    def keep(page: Page, name: str) -> None:
        page.screenshot(path=folder / f"{name}.png", animations="disabled")
        say(f"{folder / name}.png")

    with launched() as browser:
        console = _window(browser, parts.simulator_url)
        customer, case = _make_records(console)
        keep(console, "agent-console")
        console.goto("/config/integration/crm-triggers")
        keep(console, "crm-triggers")
        crm = _window(browser, parts.dashboard_url)
        _wait_for_change(crm, f"/cases/{case}", "Pending")
        keep(crm, "external-crm")
        _lose_answers(console, customer, case)
        keep(console, "deliveries")


def _window(browser: Browser, url: str) -> Page:
    # The demo's certificates are made for it alone.
    context = browser.new_context(base_url=url, ignore_https_errors=True, viewport=_SIZE)
    context.set_default_timeout(_PATIENCE_MS)
    return context.new_page()


def _make_records(page: Page) -> tuple[str, str]:
    """A customer with a case; the page of the customer is left open, the action's line on it."""
    customer = _create(page, "/agent/customers/new", _CUSTOMER)
    of_this = f"accountnum={customer}"
    case = _create(page, f"/agent/cases/new?{of_this}", {"Subject": "No dial tone on line 2"})
    _create(page, f"/agent/tasks/new?{of_this}", {"Subject": "Send a technician"})
    _edit(page, f"/agent/cases/{case}", {"Description": "It hums, then it is dead."}, "Pending")
    _edit(page, f"/agent/customers/{customer}", {"Fax": "+1 555 0100-1852"})
    return customer, case


def _create(page: Page, address: str, typed: dict[str, str]) -> str:
    page.goto(address)
    return _save(page, typed)


def _edit(page: Page, address: str, typed: dict[str, str], status: str = "") -> None:
    page.goto(f"{address}/edit")
    if status:
        page.get_by_label("Status").select_option(status)
    _save(page, typed)


def _save(page: Page, typed: dict[str, str]) -> str:
    """The number of the record."""
    for label, text in typed.items():
        page.get_by_label(label).fill(text)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("was")
    return str(page.url.rpartition("/")[2])


def _wait_for_change(page: Page, address: str, text: str) -> None:
    """Open a page of the External CRM once its record shows the text."""
    for _ in range(100):
        page.goto(address)
        if page.get_by_role("definition").filter(has_text=text).count():
            return
        page.wait_for_timeout(200)
    raise TimeoutError(f"{page.url} does not show {text}.")


def _lose_answers(page: Page, customer: str, case: str) -> None:
    """Some triggers wait for their next attempt; the clock stands still, the list is open."""
    page.goto("/deliveries/faults/new/lose_answer")
    page.get_by_label("kind").select_option("Case")
    page.get_by_role("button", name="Add").click()
    _edit(page, f"/agent/cases/{case}", {"Description": "It hums. Twice restarted."})
    _create(page, f"/agent/cases/new?accountnum={customer}", {"Subject": "Wants a second line"})
    _edit(page, f"/agent/customers/{customer}", {"PBX": "London"})
    page.goto("/deliveries")
    rows = page.get_by_role("row")
    for number, state in ((1, "delivered"), (2, "waiting"), (3, "waiting")):
        expect(rows.nth(number)).to_contain_text(state)
    page.get_by_role("button", name="Freeze the clock").click()
    expect(page.get_by_role("button", name="Resume the clock")).to_be_visible()
    page.goto("/deliveries")
