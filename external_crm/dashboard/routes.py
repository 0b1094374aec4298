"""Pages over the External CRM: totals, open cases, latest changes, one record with its history.

In: GET requests. Out: pages that work without JavaScript and load nothing from elsewhere.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, abort, current_app, render_template
from sqlalchemy import Engine

from external_crm import audit, queries, triggers
from external_crm.db import read_session
from external_crm.rows import ID_COLUMN, Key, Kind

blueprint = Blueprint(
    "dashboard",
    __name__,
    template_folder="templates",
    static_folder="static",
    static_url_path="/dashboard-static",
)

# Columns of a record that lead to another record's page.
PARENTS = {"account_id": Kind.CUSTOMER, "case_id": Kind.CASE, "parent_task_id": Kind.TASK}
# What a list shows of each kind; a record's own page shows everything.
LIST_COLUMNS = {
    Kind.CUSTOMER: ("account_id", "first_name", "last_name", "company", "email", "customer_type"),
    Kind.CASE: ("case_id", "account_id", "subject", "status", "priority", "created_date"),
    Kind.FOLLOWUP: (
        "followup_id",
        "case_id",
        "account_id",
        "subject",
        "direction",
        "created_date",
    ),
    Kind.TASK: ("task_id", "account_id", "subject", "status", "assigned_to", "due_at"),
}
NEVER_BROKEN = ("status", "priority", "direction", "created_date", "due_at")
LISTED = 50
FOLDED_FROM = 6  # columns of one change that the overview still shows unasked


@blueprint.get("/")
def overview() -> str:
    """Totals by kind, open cases by status, latest changes with before and after."""
    with read_session(_engine()) as session:
        return render_template(
            "dashboard/overview.html",
            totals=queries.totals(session),
            open_cases=queries.open_cases_by_status(session),
            changes=queries.latest_changes(session, LISTED),
            parents=PARENTS,
            folded_from=FOLDED_FROM,
        )


@blueprint.get("/<kind>s")
def listing(kind: str) -> str:
    """The newest records of a kind."""
    wanted = _kind(kind)
    with read_session(_engine()) as session:
        rows = queries.latest_of_kind(session, wanted, LISTED)
        total = queries.totals(session)[wanted]
    return render_template(
        "dashboard/listing.html",
        kind=wanted,
        rows=rows,
        total=total,
        id_column=ID_COLUMN[wanted],
        columns=LIST_COLUMNS[wanted],
        parents=PARENTS,
        whole=NEVER_BROKEN,
    )


@blueprint.get("/<kind>s/<record_id>")
def record(kind: str, record_id: str) -> str:
    """One record and every change of it."""
    key = Key(_kind(kind), record_id)
    with read_session(_engine()) as session:
        found = queries.record(session, key)
    if found is None:
        abort(404, f"The External CRM has never seen {key}.")
    return render_template("dashboard/record.html", record=found, parents=PARENTS)


@blueprint.get("/triggers/<int:trigger_id>")
def trigger(trigger_id: int) -> str:
    """What an audit entry names as its cause, and what came of it."""
    with read_session(_engine()) as session:
        found = triggers.find(session, trigger_id)
        if found is None:
            abort(404, f"There is no trigger {trigger_id} here, or none any more.")
        key = Key(_kind(found["kind"]), found["record_id"])
        return render_template(
            "dashboard/trigger.html",
            trigger=found,
            changes=queries.changes_caused(session, key, trigger_id),
            parents=PARENTS,
            folded_from=FOLDED_FROM,
        )


@blueprint.app_template_filter("shown")
def shown(value: Any, name: str) -> str:
    """A column's value as pages show it; an instant with its zone, nothing for none.

    value: from a row, or from an audit entry, where instants are text.
    """
    if value and name.endswith("_at"):
        instant = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if isinstance(value, Mapping):
        return "\n".join(f"{inner}: {held}" for inner, held in value.items())
    return "" if value is None else str(value)


@blueprint.app_template_filter("changed_columns")
def changed_columns(entry: Any) -> list[tuple[str, Any, Any]]:
    """What an audit entry changed, as (column, before, after); unset columns are left out."""
    pairs = audit.diff(entry.before, entry.after).items()
    return [(name, old, new) for name, (old, new) in pairs if old or new]


def _kind(name: str) -> Kind:
    try:
        return Kind(name)
    except ValueError:
        abort(404, "There are customers, cases, followups and tasks here.")


def _engine() -> Engine:
    engine: Engine = current_app.extensions["external_crm"]
    return engine
