"""The page of a record: its fields, its parents and children, its deliveries and versions.

In: an agent's request. Out: a page; of a deleted record, under 404, what is left of it.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from flask import abort, render_template
from sqlalchemy.orm import Session

from simulator.agent_console import forms, notices, reads
from simulator.agent_console.cells import Cell, cell
from simulator.agent_console.screens import LEADS_TO, SCREENS, Screen
from simulator.db import read_session
from simulator.local_crm import custom_fields, queries
from simulator.services import services
from simulator.triggers.urls import Event
from simulator.web.answers import Page


def show_record(path: str, record_id: str) -> Page:
    """A record and what hangs on it."""
    screen = SCREENS[path]
    with read_session(services().engine) as db:
        record = queries.get(db, screen.kind, record_id)
        if record is None:
            return gone(db, screen, record_id)
        return render_template(
            "agent_console/record.html",
            fields=[
                *((field.label, cell(record, field)) for field in screen.fields),
                *(
                    (field.label, Cell(field.name, forms.custom_text(field, record)))
                    for field in custom_fields.of_kind(db, screen.kind)
                ),
            ],
            children=reads.children_of(db, screen, record_id),
            leads_to=LEADS_TO,
            take_notices=partial(notices.take, db),
            **_history(db, screen, record_id),
        )


def gone(
    db: Session, screen: Screen, record_id: str, typed: Mapping[str, str] | None = None
) -> Page:
    """The page of a record that is not there: what is left of a deleted one, or a sentence.

    typed: what somebody meant to save, by label, so that it is not lost.
    """
    history = _history(db, screen, record_id)
    versions = history["versions"]
    if not versions or versions[0].event is not Event.DELETE:
        abort(404, f"{screen.kind} {record_id} does not exist, or not any more.")
    return render_template("agent_console/deleted.html", typed=typed, **history), 404


def _history(db: Session, screen: Screen, record_id: str) -> dict[str, Any]:
    return {
        "screen": screen,
        "record_id": record_id,
        "deliveries": reads.latest_deliveries(db, screen, record_id),
        "versions": reads.latest_versions(db, screen, record_id),
        "shown_at_most": reads.SHOWN_AT_MOST,
    }
