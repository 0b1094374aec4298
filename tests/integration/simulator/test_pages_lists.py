"""Lists: basic and advanced search, sort, and one page after the other."""

from urllib.parse import quote

import pytest

from simulator import db
from simulator.local_crm import many, walk
from simulator.local_crm.models import Customer
from simulator.services import Services
from simulator.triggers.urls import Kind
from tests.forms import Browser, Page
from tests.local_crm import AGENT, create

PEOPLE = (
    ("Ada", "Lovelace", "Engines & Sons", "ada@example.com"),
    ("Grace", "Hopper", "Navy", "Grace@Example.com"),
    ("adele", "de Vries", "engines ltd", ""),
    ("Zoë", "Ångström", "100% _wild_", "zoe@example.com"),
    ("Ada", "Hopper", "", ""),
)


@pytest.fixture
def people(services: Services) -> None:
    """Five customers, numbered from 10000000, the first with a case."""
    now = services.clock.now()
    with services.sessions.begin() as session:
        for first, last, company, email in PEOPLE:
            values = {"firstname": first, "lastname": last, "company": company, "email": email}
            create(session, Kind.CUSTOMER, now, **values, voice="+1 555 0100")
        case = {"accountnum": "10000000", "assignedto": "ag1002"}
        create(session, Kind.CASE, now, subject="No dial tone", **case)
        create(session, Kind.CASE, now, subject="no coffee", status="Closed", **case)


def numbers(page: Page) -> list[str]:
    """The records of the list, in its order."""
    return [str(text) for text in page.document.xpath("//tbody/tr/td/a/text()") if text.isdigit()]


def found(browser: Browser, address: str) -> list[str]:
    """The last digits of what a list shows."""
    page = browser.get(address)
    assert page.status == 200
    first_column = page.document.xpath("//tbody/tr/td[position()<3]/a[1]/text()")
    return [str(text)[-2:] for text in first_column]


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hop", ["04", "01"]),
        ("HOPPER", ["04", "01"]),
        ("ada", ["04", "00"]),
        ("Ada Hopper", ["04"]),
        ("Hopper Ada", ["04"]),
        ("adele de vries", ["02"]),
        ("engines", ["02", "00"]),
        ("grace@ex", ["01"]),
        ("+1 555", ["04", "03", "02", "01", "00"]),
        ("10000003", ["03"]),
        ("1000000", []),
        ("Ång", ["03"]),
        ("100% _w", ["03"]),
        ("%", []),
        ("_", []),
        ("nobody at all", []),
        ("'; DROP TABLE customers; --", []),
    ],
)
def test_basic_search_finds_beginnings_and_whole_numbers(
    browser: Browser, text: str, expected: list[str]
) -> None:
    assert found(browser, f"/agent/customers?q={quote(text)}") == expected


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("lastname=hopper", ["04", "01"]),
        ("lastname=hopper&firstname=ada", ["04"]),
        ("lastname=hopper&firstname=zoe", []),
        ("email=GRACE", ["01"]),
        ("customertype=Default&company=Engines", ["02", "00"]),
        ("customertype=default", []),
        ("accountnum=10000002", ["02"]),
        ("q=ada&lastname=love", ["00"]),
        ("nothing=known&lastname=", ["04", "03", "02", "01", "00"]),
    ],
)
def test_advanced_search_wants_all_that_is_given(
    browser: Browser, query: str, expected: list[str]
) -> None:
    assert found(browser, f"/agent/customers?{query}") == expected


@pytest.mark.usefixtures("people")
def test_a_search_keeps_what_was_typed_and_says_when_nothing_is_like_that(
    browser: Browser,
) -> None:
    page = browser.get("/agent/customers?q=%3Cscript%3E&company=En&sort=lastname")
    assert "No customer is like that. Show all" in page.text
    assert page.document.xpath("//input[@name='q']/@value") == ["<script>"]
    assert page.document.xpath("//input[@name='company']/@value") == ["En"]
    assert page.document.xpath("//details/@open")
    assert page.document.xpath("//input[@name='sort']/@value") == ["lastname"] * 2
    assert page.document.xpath("//script") == []


@pytest.mark.usefixtures("people")
def test_cases_are_searched_by_their_choices(browser: Browser) -> None:
    assert found(browser, "/agent/cases?q=no") == ["01", "00"]
    assert found(browser, "/agent/cases?status=Closed") == ["01"]
    assert found(browser, "/agent/cases?assignedto=ag1002&subject=NO+D") == ["00"]
    assert found(browser, "/agent/cases?assignedto=ag1001") == []


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("-accountnum", ["04", "03", "02", "01", "00"]),
        ("accountnum", ["00", "01", "02", "03", "04"]),
        ("lastname", ["02", "04", "01", "00", "03"]),
        ("-lastname", ["03", "00", "01", "04", "02"]),
        ("company", ["04", "03", "00", "02", "01"]),
        ("nothing", ["04", "03", "02", "01", "00"]),
        ("email", ["04", "03", "02", "01", "00"]),
    ],
)
def test_a_list_is_sorted_whatever_the_case_of_letters(
    browser: Browser, sort: str, expected: list[str]
) -> None:
    assert found(browser, f"/agent/customers?sort={sort}") == expected
    assert found(browser, f"/agent/customers?sort={sort}&voice=%2B1") == expected


def test_a_heading_sorts_and_sorts_the_other_way_round(browser: Browser, people: None) -> None:
    page = browser.get("/agent/customers?q=ada")
    (link,) = page.document.xpath("//th/a[starts-with(., 'Last Name')]/@href")
    page = browser.get(link)
    assert page.document.xpath("//th[@aria-sort='ascending']/a/text()")[0].strip() == "Last Name"
    assert found(browser, link) == ["04", "00"]
    (link,) = page.document.xpath("//th/a[starts-with(., 'Last Name')]/@href")
    assert found(browser, link) == ["00", "04"]


def fill(services: Services, count: int, first: int = 10_000_000) -> None:
    """Customers whose names come again and again."""
    with services.sessions.begin() as session:
        session.add_all(
            Customer(
                accountnum=str(first + n),
                firstname=f"First {n % 3}",
                lastname=f"name {n % 7}" if n % 2 else f"Name {n % 7}",
                company=f"Company {n % 2}",
            )
            for n in range(count)
        )


def whole_list(browser: Browser, address: str) -> list[list[str]]:
    """All pages from the first to the last, which are the same on the way back."""
    page = browser.get(address)
    pages = [numbers(page)]
    while (following := page.document.xpath("//a[@rel='next']/@href")) and len(pages) < 50:
        page = browser.get(following[0])
        pages.append(numbers(page))
    backwards = [numbers(page)]
    while previous := page.document.xpath("//a[@rel='prev']/@href"):
        page = browser.get(previous[0])
        backwards.append(numbers(page))
    assert backwards[::-1] == pages
    return pages


@pytest.mark.parametrize("few", [walk.FEW, 10])
@pytest.mark.parametrize(
    "query",
    ["", "sort=accountnum", "sort=lastname", "sort=-lastname", "sort=-firstname&lastname=name",
     "q=name", "company=company+1&sort=lastname", "q=first+1&sort=-company", "firstname=first+2"],
)  # fmt: skip
def test_page_after_page_shows_every_record_once(
    browser: Browser,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    query: str,
    few: int,
) -> None:
    """Whether an index alone tells who is meant, or the list is walked."""
    monkeypatch.setattr(walk, "FEW", few)
    monkeypatch.setattr(walk, "PAGE_SIZE", 20)
    fill(services, 130)
    pages = whole_list(browser, f"/agent/customers?{query}")
    shown = [number for page in pages for number in page]
    monkeypatch.setattr(walk, "FEW", 1_000)
    monkeypatch.setattr(walk, "PAGE_SIZE", 200)
    assert shown == numbers(browser.get(f"/agent/customers?{query}"))
    assert len(set(shown)) == len(shown)
    assert all(len(page) == 20 for page in pages[:-1])


def test_a_list_has_fifty_a_page_newest_first(browser: Browser, services: Services) -> None:
    fill(services, 120)
    page = browser.get("/agent/customers")
    assert numbers(page) == [str(10_000_119 - n) for n in range(50)]
    assert "Customers 120" in page.text
    (last,) = page.document.xpath("//a[text()='Last']/@href")
    assert numbers(browser.get(last)) == [str(10_000_049 - n) for n in range(50)]
    (previous,) = browser.get(last).document.xpath("//a[@rel='prev']/@href")
    assert numbers(browser.get(previous)) == [str(10_000_099 - n) for n in range(50)]
    (first,) = browser.get(last).document.xpath("//a[text()='First']/@href")
    assert numbers(browser.get(first)) == numbers(page)


def test_the_newest_come_first_also_where_numbers_grow_longer(
    browser: Browser, services: Services
) -> None:
    fill(services, 5, first=97)
    assert numbers(browser.get("/agent/customers")) == ["101", "100", "99", "98", "97"]
    assert numbers(browser.get("/agent/customers?company=Company+0")) == ["101", "99", "97"]


@pytest.mark.parametrize(
    "place",
    ["after=0~", "after=99999999999999999999~", "before=0~", "before=", "after=x", "page=99",
     "after=-1", "before=9223372036854775807~zz", "after=%00~%ff", "from=nowhere"],
)  # fmt: skip
def test_a_page_out_of_range_is_the_nearest_one(
    browser: Browser, services: Services, place: str
) -> None:
    fill(services, 60)
    for sort in ("", "&sort=lastname"):
        page = browser.get(f"/agent/customers?{place}{sort}")
        assert page.status == 200
        assert len(numbers(page)) == 50


def test_a_page_does_not_move_when_records_are_deleted(
    browser: Browser, services: Services
) -> None:
    fill(services, 110)
    page = browser.get("/agent/customers?sort=accountnum")
    (following,) = page.document.xpath("//a[@rel='next']/@href")
    with services.sessions.begin() as session:
        now = services.clock.now()
        many.delete_many(session, Kind.CUSTOMER, numbers(page), AGENT, now, fires=False)
    assert numbers(browser.get(following))[0] == "10000050"


def test_a_search_that_finds_little_goes_on_on_the_next_page(
    browser: Browser, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both conditions fit many, together they fit few: one page does not read the whole table."""
    monkeypatch.setattr(walk, "FEW", 5)
    monkeypatch.setattr(walk, "LOOK_AT", 40)
    fill(services, 130)
    page = browser.get("/agent/customers?firstname=First+1&company=Company+0&lastname=name+3")
    expected = [
        str(10_000_000 + n) for n in range(129, -1, -1) if n % 3 == 1 and n % 2 == 0 and n % 7 == 3
    ]
    seen = []
    while True:
        assert "were looked at for this page" in page.text or "looked at here" in page.text or seen
        seen += numbers(page)
        following = page.document.xpath("//a[@rel='next']/@href")
        if not following:
            break
        page = browser.get(following[0])
    assert seen == expected


def test_a_long_list_is_counted_no_further_than_needed(
    browser: Browser, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "MOST_COUNTED", 100)
    fill(services, 101)
    assert "Customers more than 100 New" in browser.get("/agent/customers").text
