"""From a row in the External CRM to its changes, and from each to the trigger that brought it."""

from external_crm.app import create_app
from tests.e2e.conftest import Loop
from tests.forms import Browser


def test_a_change_leads_to_the_trigger_that_brought_it_and_back(loop: Loop) -> None:
    number = loop.create("customers", firstname="Ada", lastname="Byron")
    loop.deliver()
    loop.work()
    loop.edit("customers", number, company="Analytical Engines Ltd")
    loop.edit("customers", number)
    loop.deliver()
    loop.work()
    with create_app(loop.engine).test_client() as client:
        browser = Browser.of(client)
        record = browser.get(f"/customers/{number}")
        created, covered, edited = (row.id for row in loop.inbox())
        causes = [link for link in record.links if link.startswith("/triggers/")]
        assert causes == [f"/triggers/{edited}", f"/triggers/{created}"]

        page = browser.get(causes[0])
        assert page.document.xpath("//h1")[0].text_content() == f"Trigger {edited}"
        assert "8x8 called the receiver about a change of a record." in page.text
        assert "event customer edit" in page.text
        assert "state done (applied)" in page.text
        assert "company empty Analytical Engines Ltd" in page.text
        assert f"/customers/{number}" in page.links
        # Both edits were worked on at once: one read, one change.
        assert "Nothing by itself" in browser.get(f"/triggers/{covered}").text


def test_a_trigger_that_waits_or_is_forgotten_says_so(loop: Loop) -> None:
    loop.create("customers", firstname="Ada", lastname="Byron")
    loop.deliver()
    (waiting,) = (row.id for row in loop.inbox())
    with create_app(loop.engine).test_client() as client:
        browser = Browser.of(client)
        assert "Nothing yet: it waits to be worked on." in browser.get(f"/triggers/{waiting}").text
        forgotten = browser.get("/triggers/999999")
        assert forgotten.status == 404
        assert "There is no trigger 999999 here" in forgotten.text
