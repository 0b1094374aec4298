"""The pages of a load: how far it is, and the rows that it could not load; and bulk creation.

In: an administrator's request. Out: a page, the part of it that changes, a CSV file, or a redirect.
Killed midway: what was loaded stays. Nothing here fires a trigger.
"""

from dataclasses import replace

from flask import Response, abort, redirect, render_template, request, url_for
from wtforms import Form, IntegerField
from wtforms.validators import NumberRange

from simulator.local_crm import bulk_create, csv_import
from simulator.local_crm.background import Job, Tell
from simulator.local_crm.csv_import import Report
from simulator.services import services
from simulator.triggers.urls import Kind
from simulator.web.answers import Page

MOST_CUSTOMERS = 50_000
_SHOWN_REJECTS = 20


class _WholeNumberField(IntegerField):
    """An integer, with a sentence that names the field for what is none."""

    def process_formdata(self, valuelist: list[str]) -> None:
        try:
            super().process_formdata(valuelist)
        except ValueError:
            raise ValueError(f"{self.label.text} must be a whole number.") from None


class BulkForm(Form):
    """Customers to create."""

    customers = _WholeNumberField(
        "Customers",
        [NumberRange(1, MOST_CUSTOMERS, f"Customers must be 1 to {MOST_CUSTOMERS:,}.")],
        default=10,
    )
    seed = _WholeNumberField("Seed", default=1)


def show_load(number: int) -> Page:
    """How far a load is, and what came of it."""
    return _load_page("config_manager/load.html", number)


def show_progress(number: int) -> Page:
    """The changing part of that page."""
    return _load_page("config_manager/_load.html", number)


def download_rejects(number: int) -> Response:
    """The rejected rows with their reasons, as CSV."""
    rows = csv_import.rejects_as_csv(_existing(number).report)
    name = f"rejected-rows-{number}.csv"
    disposition = {"Content-Disposition": f"attachment; filename={name}"}
    return Response(rows, mimetype="text/csv", headers=disposition)


def show_bulk() -> Page:
    """How many customers to create; below, the loads so far."""
    return _bulk_page(BulkForm())


def begin_bulk() -> Page:
    """Create customers in the background and go to the page that shows how far it is."""
    form = BulkForm(request.form)
    if not form.validate():
        return _bulk_page(form), 422
    count, seed = int(form.customers.data or 0), int(form.seed.data or 0)
    found = services()  # in the thread there is no request to ask

    def work(tell: Tell) -> Report:
        report = Report()
        source = bulk_create.source(count, seed, found.clock.now())
        while source.customers_left:
            with found.sessions.begin() as session:
                report.loaded += bulk_create.bulk_create(session, source)
            tell(report.loaded, count)
        return report

    load = services().loads.begin("Bulk creation", Kind.CUSTOMER, count, work, Report())
    return redirect(url_for(".show_load", number=load.number))


def _load_page(template: str, number: int) -> Page:
    load = _existing(number)
    return render_template(template, load=load, shown=load.report.rejects[:_SHOWN_REJECTS])


def _bulk_page(form: BulkForm) -> str:
    return render_template(
        "config_manager/bulk.html",
        form=form,
        most=MOST_CUSTOMERS,
        loads=services().loads.newest_first(),
    )


def _existing(number: int) -> Job[Report]:
    load = services().loads.find(number)
    if load is None:
        abort(404, f"There is no load {number} since the simulator was started, or none any more.")
    # As it is now: its thread may end it while the page is made. `state` is copied before `report`,
    # as it is written after it, so what is over is whole.
    return replace(load)
