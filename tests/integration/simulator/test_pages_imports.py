"""An administrator loads records from a CSV file, or in bulk; nothing fires."""

import csv
import io
from threading import Event

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from urllib3 import encode_multipart_formdata

from simulator import state
from simulator.app import MAX_REQUEST_BYTES
from simulator.config_manager import import_pages
from simulator.db import read_session
from simulator.local_crm.background import Tell
from simulator.local_crm.csv_import import Report
from simulator.local_crm.models import Customer, Origin, RecordVersion
from simulator.services import Services
from simulator.triggers.models import Delivery
from simulator.triggers.urls import Kind
from tests.forms import Browser, Page
from tests.local_crm import fill_boxes

IMPORTS = "/config/crm/imports"
BULK = "/config/crm/bulk"
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xff\n"
XLSX = b"PK\x03\x04\x14\x00\x08\x08\x08\x00\xab\x5a[Content_Types].xml\n"


@pytest.fixture(autouse=True)
def boxes(services: Services) -> None:
    """All boxes are filled, so an agent's change would fire."""
    with services.sessions.begin() as session:
        fill_boxes(session, "https://crm.example.com")


def upload(
    client: FlaskClient,
    content: str | bytes,
    *,
    kind: str = "Customer",
    encoding: str = "utf-8",
    name: str = "people.csv",
) -> Page:
    """The page that an upload leads to."""
    form = Browser.of(client).get(IMPORTS)
    raw = content.encode() if isinstance(content, str) else content
    fields = {
        "csrf_token": str(form.document.xpath("//input[@name='csrf_token']/@value")[0]),
        "kind": kind,
        "encoding": encoding,
        "file": (name, raw),
    }
    # Encoded here: the test client would leave a temporary file open.
    body, content_type = encode_multipart_formdata(fields)
    with client.post(IMPORTS, data=body, content_type=content_type) as reply:
        if reply.status_code == 302:
            return Browser.of(client).get(reply.headers["Location"])
        return Page(IMPORTS, reply.status_code, reply.data, dict(reply.headers))


def loaded(browser: Browser, services: Services, page: Page, **columns: str) -> Page:
    """Load an upload from its mapping page; the load's page when it is over."""
    begun = browser.send(page, **columns)
    services.loads.wait()
    return browser.get(begun.path)


def customers(services: Services) -> list[tuple[str, str]]:
    with read_session(services.engine) as session:
        found = session.scalars(select(Customer).order_by(Customer.accountnum))
        return [(each.firstname, each.lastname) for each in found]


def deliveries(services: Services) -> int:
    with read_session(services.engine) as session:
        return session.scalar(select(func.count()).select_from(Delivery)) or 0


def test_a_file_is_uploaded_mapped_and_loaded_and_nothing_fires(
    browser: Browser, client: FlaskClient, services: Services
) -> None:
    page = upload(client, "First Name,Surname,COMPANY\nZoë,O'Brien,Acme\n伟,王,\n")
    assert "The file has 2 records" in page.text
    mapped = {f"column-{i}": page.value(f"column-{i}") for i in range(3)}
    assert mapped == {"column-0": "FIRSTNAME", "column-1": "", "column-2": "COMPANY"}
    assert "Zoë" in page.field("column-0")
    done = loaded(browser, services, page, **{"column-1": "LASTNAME"})
    assert "Finished: 2 of 2" in done.text
    assert done.document.xpath("//nav//a[@aria-current]/text()") == ["Imports"]
    assert "2 records were loaded, 0 rows were rejected. No trigger fired." in done.text
    assert customers(services) == [("Zoë", "O'Brien"), ("伟", "王")]
    assert deliveries(services) == 0
    with read_session(services.engine) as session:
        assert set(session.scalars(select(RecordVersion.origin))) == {Origin.CSV}
    assert done.path in browser.get(IMPORTS).links


def test_rejected_rows_are_named_and_can_be_downloaded_with_their_reasons(
    browser: Browser, client: FlaskClient, services: Services
) -> None:
    rows = [f"Ada,Byron,{i}@example.com" for i in range(150)]
    rows[3] = ",Byron,a@example.com"
    rows[149] = "Ada,<script>alert(1)</script>,nowhere"
    page = upload(client, "\n".join(["firstname,lastname,email", *rows]))
    done = loaded(browser, services, page)
    assert "148 records were loaded, 2 rows were rejected." in done.text
    assert "First Name is required." in done.text
    assert b"<script>alert" not in done.content
    [address] = [link for link in done.links if link.endswith("rejected-rows.csv")]
    with client.get(address) as reply:
        assert reply.mimetype == "text/csv"
        assert "attachment" in reply.headers["Content-Disposition"]
        found = list(csv.DictReader(io.StringIO(reply.text)))
    assert [(row["line"], row["column"], row["value"]) for row in found] == [
        ("5", "firstname", ""),
        ("151", "email", "nowhere"),
    ]
    assert found[1]["reason"] == "Email must be an address like name@example.com."


@pytest.mark.parametrize(
    ("content", "encoding", "words"),
    [
        ("a,b\nZoë,x\n".encode("latin-1"), "utf-8", "people.csv is not UTF-8: line 2 has the byte"),
        ("\ufeffa,b\n".encode(), "latin-1", "people.csv begins with the mark of UTF-8. Save it as"),
        (PNG, "utf-8", "people.csv is no text, but something like a picture or a workbook."),
        (PNG, "latin-1", "people.csv is not CSV: its first line has a control character."),
        (XLSX, "utf-8", "people.csv is no text, but something like a picture or a workbook."),
        (XLSX, "latin-1", "people.csv is not CSV: its first line has a control character."),
        ("a,b\n1,2\n".encode("utf-16"), "utf-8", "people.csv is not UTF-8: line 1"),
        ("a,b\n1,2\n".encode("utf-16"), "latin-1", "people.csv is not CSV: its first line has a"),
        (b'a,b\n"1,2\n', "utf-8", "people.csv is not CSV after line 1: "),
        (b'"a,b\n1,2\n', "utf-8", "people.csv is not CSV from its first line on: "),
        (b"", "utf-8", "people.csv is empty. Its first line must name the columns."),
        (b"firstname,lastname\n", "utf-8", "people.csv has column names, but no record below"),
        (b"a,b\n" + b"1,2\n" * 60_000, "utf-8", "people.csv has more than 50000 records"),
    ],
)
def test_a_file_that_cannot_be_used_is_said_beside_it_and_not_kept(
    client: FlaskClient, services: Services, content: bytes, encoding: str, words: str
) -> None:
    page = upload(client, content, encoding=encoding)
    assert page.status == 422
    assert page.problem("file").startswith(words)
    assert page.problem("file").endswith("Nothing was loaded.")
    assert "--encoding" not in page.text
    assert str(services.settings.data_dir) not in page.text
    assert page.document.xpath("//select[@name='encoding']/option[@selected]/@value") == [encoding]
    assert list((services.settings.data_dir / "imports").iterdir()) == []


def test_a_file_in_latin_1_is_loaded_when_it_is_said_to_be(
    browser: Browser, client: FlaskClient, services: Services
) -> None:
    content = "firstname,lastname\nZoë,Müller\n".encode("latin-1")
    page = upload(client, content, encoding="latin-1")
    assert "The file has 1 record in Latin-1;" in page.text
    done = loaded(browser, services, page)
    assert "1 record was loaded, 0 rows were rejected." in done.text
    assert customers(services) == [("Zoë", "Müller")]


def test_no_file_is_a_sentence(browser: Browser) -> None:
    assert browser.submit(IMPORTS).problem("file") == "Choose a file."


def test_a_large_file_is_taken_on_its_page_alone(
    client: FlaskClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = "Ada,Byron," + "x" * 400 + "\n"
    large = "firstname,lastname,comments\n" + row * (MAX_REQUEST_BYTES // len(row) + 1)
    assert "Map the columns of people.csv" in upload(client, large).text
    with client.post("/agent/customers/new", data={"comments": large}) as reply:
        assert reply.status_code == 413
    with client.post(BULK, data={"comments": large}) as reply:
        assert reply.status_code == 413
    monkeypatch.setattr(import_pages, "MAX_UPLOAD_BYTES", 1_000_000)
    page = upload(client, large)
    assert page.status == 413
    assert page.problem("file") == (
        "The file is larger than 1 MB, the most that one import takes. Split it. "
        "Nothing was loaded."
    )


def test_a_mapping_that_cannot_be_used_loads_nothing_and_keeps_the_entries(
    browser: Browser, client: FlaskClient, services: Services
) -> None:
    page = upload(client, "firstname,x,x,y\nAda,1,2,3\n")
    assert "Several columns have this name" in page.text
    refused = browser.send(page, **{"column-3": "COMPANY"})
    assert refused.status == 422
    assert "Last Name is required: map a column to LASTNAME. Nothing was loaded." in refused.text
    assert refused.value("column-3") == "COMPANY"
    twice = browser.send(refused, **{"column-3": "FIRSTNAME"})
    assert "Two columns go into FIRSTNAME." in twice.text
    assert customers(services) == []


def test_an_upload_is_loaded_once(
    browser: Browser, client: FlaskClient, services: Services
) -> None:
    page = upload(client, "firstname,lastname\nAda,Byron\n")
    free = Event()

    def occupy(_: Tell) -> Report:
        free.wait(30)
        return Report()

    services.loads.begin("slow.csv", Kind.CUSTOMER, 1, occupy, Report())
    assert "Waiting: 0 of 1" in browser.send(page).text
    again = browser.send(page)  # while the first one waits for its turn
    assert again.status == 404
    free.set()
    services.loads.wait()
    assert "Choose the file again in CRM > Imports." in again.text
    assert len(customers(services)) == 1
    assert browser.get(f"{IMPORTS}/map/..%2Fx?kind=Customer&encoding=utf-8").status == 404
    assert list((services.settings.data_dir / "imports").iterdir()) == []


class TestWhileItRuns:
    """A load that goes on when it is told to."""

    def begin(self, services: Services, go_on: Event) -> str:
        """A load that stands at 100 of 300; the address of its page."""
        at_100 = Event()

        def work(tell: Tell) -> Report:
            tell(100, 300)
            at_100.set()
            go_on.wait(30)
            tell(200, 300)
            return Report(loaded=300)

        load = services.loads.begin("slow.csv", Kind.CUSTOMER, 300, work, Report())
        assert at_100.wait(30)
        return f"/config/crm/loads/{load.number}"

    def test_the_page_shows_how_far_it_is_with_and_without_scripts(
        self, browser: Browser, services: Services
    ) -> None:
        go_on = Event()
        address = self.begin(services, go_on)
        page = browser.get(address)
        assert "Running: 100 of 300" in page.text
        assert page.document.xpath("//noscript//meta[@http-equiv='refresh']")
        [live] = page.document.xpath("//@data-live")
        assert "Running: 100 of 300" in browser.get(live).text
        report = Report()
        waiting = services.loads.begin("next.csv", Kind.CUSTOMER, 1, lambda _: report, report)
        assert "Waiting: 0 of 1" in browser.get(f"/config/crm/loads/{waiting.number}").text
        go_on.set()
        services.loads.wait()
        over = browser.get(address)
        assert "300 records were loaded" in over.text
        assert over.document.xpath("//meta[@http-equiv='refresh'] | //@data-live") == []

    def test_a_reset_stops_it(
        self, browser: Browser, client: FlaskClient, services: Services
    ) -> None:
        go_on = Event()
        address = self.begin(services, go_on)
        services.loads.stop()
        go_on.set()
        with client.application.app_context():
            state.reset(services)
        page = browser.get(address)
        assert "Stopped: 200 of 300" in page.text
        assert "It was stopped after 200 of 300; those stay." in page.text

    def test_a_failure_is_a_sentence_without_a_trace(
        self, browser: Browser, services: Services
    ) -> None:
        def work(tell: Tell) -> Report:
            raise RuntimeError("internal detail")

        load = services.loads.begin("bad.csv", Kind.CUSTOMER, 1, work, Report())
        services.loads.wait()
        page = browser.get(f"/config/crm/loads/{load.number}")
        assert "Failed: 0 of 1" in page.text
        assert "internal detail" not in page.text


def test_a_load_that_is_none_is_a_sentence(browser: Browser) -> None:
    page = browser.get("/config/crm/loads/99")
    assert page.status == 404
    assert "There is no load 99" in page.text


def test_customers_are_created_in_bulk_and_nothing_fires(
    browser: Browser, services: Services
) -> None:
    assert "fires no trigger" in browser.get(BULK).text
    begun = browser.submit(BULK, customers="1200")
    services.loads.wait()
    done = browser.get(begun.path)
    assert "Finished: 1,200 of 1,200" in done.text
    assert "1,200 records were loaded" in done.text
    [see_them] = done.document.xpath("//a[text()='See them in Agent Console']/@href")
    assert "/agent/customers/10001199" in browser.get(see_them).links  # the newest
    assert len(customers(services)) == 1200
    assert deliveries(services) == 0


@pytest.mark.parametrize(
    ("typed", "field", "sentence"),
    [
        ({"customers": "0"}, "customers", "Customers must be 1 to 50,000."),
        ({"customers": "50001"}, "customers", "Customers must be 1 to 50,000."),
        ({"customers": "many"}, "customers", "Customers must be a whole number."),
        ({"customers": ""}, "customers", "Customers must be a whole number."),
        ({"seed": "<b>"}, "seed", "Seed must be a whole number."),
    ],
)
def test_a_wrong_wish_creates_nobody(
    browser: Browser, services: Services, typed: dict[str, str], field: str, sentence: str
) -> None:
    page = browser.submit(BULK, **typed)
    assert page.status == 422
    assert page.problem(field).startswith(sentence)
    assert page.value(field) == typed[field]
    assert customers(services) == []
