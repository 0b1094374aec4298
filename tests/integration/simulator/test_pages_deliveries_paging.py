"""A long list of deliveries, page after page, and pages that are out of range."""

import pytest

from scripts.benchmarks.long_history import fill_deliveries
from simulator import db
from simulator.deliveries import reads
from simulator.services import Services
from tests.forms import Browser, Page

DELIVERIES = 240


@pytest.fixture(autouse=True)
def long_list(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deliveries of all kinds, events and states, twenty a page."""
    fill_deliveries(services.engine, DELIVERIES)
    monkeypatch.setattr(reads, "PER_PAGE", 20)


def shown(page: Page) -> list[int]:
    return [int(number) for number in page.document.xpath("//td[@data-label='Delivery']//text()")]


def leads(page: Page, to: str) -> list[str]:
    """The address behind First, Previous, Next or Last, if it is there."""
    return [str(a) for a in page.document.xpath("//nav//a[text()=$to]/@href", to=to)]


def walk(browser: Browser, address: str, way: str) -> list[list[int]]:
    """The deliveries of every page, from this one on."""
    pages = []
    while True:
        page = browser.get(address)
        pages.append(shown(page))
        following = leads(page, way)
        if not following:
            return pages
        (address,) = following


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", range(DELIVERIES, 0, -1)),
        ("state=waiting", range(DELIVERIES, 0, -10)),
        ("kind=Customer", range(DELIVERIES, 0, -4)),
        ("event=Edit", [n for n in range(DELIVERIES, 0, -1) if n % 3 == 1]),
        ("kind=Case&event=Delete", [n for n in range(DELIVERIES, 0, -1) if n % 12 == 5]),
        ("record_id=10000005", range(47, 39, -1)),
        ("record_id=10000005&kind=Task&state=delivered", [47, 43]),
        ("record_id=none", []),
    ],
)
def test_page_after_page_shows_every_delivery_once_in_both_directions(
    browser: Browser, query: str, expected: range | list[int]
) -> None:
    forwards = walk(browser, f"/deliveries?{query}", "Next")
    assert [number for page in forwards for number in page] == list(expected)
    assert all(len(page) == 20 for page in forwards[:-1])
    backwards = walk(browser, f"/deliveries?{query}&from=end", "Previous")
    # A first page that is not full is filled up with what the second one has.
    found = dict.fromkeys(number for page in backwards[::-1] for number in page)
    assert list(found) == list(expected)


@pytest.mark.parametrize(
    "place",
    ["before=0", "before=1", "after=0", "after=99999999999999999999", "before=-5", "before=x",
     "before=%C2%B2", "page=99", "from=nowhere", "after=240", "before=9223372036854775808"],
)  # fmt: skip
def test_a_page_out_of_range_is_the_nearest_one(browser: Browser, place: str) -> None:
    page = browser.get(f"/deliveries?{place}")
    assert page.status == 200
    assert shown(page) in (list(range(240, 220, -1)), list(range(20, 0, -1)))
    assert leads(page, "Next") or leads(page, "Previous")


def test_what_keeps_a_page_current_is_that_page(browser: Browser) -> None:
    page = browser.get("/deliveries?state=delivered&before=100")
    (address,) = page.document.xpath("//@data-live[contains(., 'deliveries/live')]")
    assert shown(browser.get(address)) == shown(page)
    assert max(shown(page)) < 100


def test_a_long_list_is_counted_no_further_than_needed(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "MOST_COUNTED", 100)
    expected = "all more than 100 waiting 24 delivered more than 100 exhausted 24"
    assert expected in browser.get("/deliveries").text
    assert "delivered (more than 100), exhausted (24)" in browser.get("/").text
