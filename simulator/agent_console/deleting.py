"""Delete a record or a selection: first a question, then the deed. `deleting_all` is for all.

In: an agent's request. Out: a page that says what else goes; after it a redirect to the list and
a line that says which triggers fired. Each is one transaction: killed before its commit, nothing
happened.
"""

from typing import Any

from flask import abort, flash, redirect, render_template, request, url_for
from sqlalchemy.orm import Session

from simulator.agent_console import actions, notices
from simulator.agent_console.acting import author
from simulator.agent_console.record_pages import gone
from simulator.agent_console.screens import OF_KIND, SCREENS, Screen
from simulator.db import read_session
from simulator.local_crm import many, queries, removal
from simulator.local_crm.changes import RecordNotFound
from simulator.services import services
from simulator.web.answers import Page, way_back

_SELECTED_AT_MOST = 500


def show_delete(path: str, record_id: str) -> Page:
    """Ask before a record is deleted, and say what goes with it."""
    screen = SCREENS[path]
    with read_session(services().engine) as db:
        if queries.get(db, screen.kind, record_id) is None:
            return gone(db, screen, record_id)
        going = what_goes(db, screen, [record_id])
    return render_template("agent_console/delete.html", screen=screen, record_id=record_id, **going)


def delete(path: str, record_id: str) -> Page:
    """Delete a record and what hangs on it."""
    screen = SCREENS[path]
    try:
        with services().sessions.begin() as db:
            now = services().clock.now()
            done = actions.delete(db, screen.kind, record_id, author(), now)
    except RecordNotFound:
        with read_session(services().engine) as db:
            return gone(db, screen, record_id)
    notices.note(done)
    return redirect(url_for(".show_list", path=path))


def show_delete_selected(path: str) -> Page:
    """Ask before a selection is deleted: how many they are, and what goes with them."""
    screen = tab(path)
    chosen = _chosen(request.args.getlist("chosen"))
    with read_session(services().engine) as db:
        there = [removal.number_of(ids) for ids in removal.ids_of(db, screen.kind, chosen)]
        going = what_goes(db, screen, there)
    if not there:
        flash("Nothing was selected: tick the records to delete, then press Delete Selected.")
        return redirect(url_for(".show_list", path=path))
    return render_template(
        "agent_console/delete_selected.html", screen=screen, numbers=there, **going
    )


def delete_selected(path: str) -> Page:
    """Delete those of a selection that are still there."""
    screen = tab(path)
    chosen = _chosen(request.form.getlist("chosen"))
    fires = services().settings.delete_selected_fires
    with services().sessions.begin() as db:
        now = services().clock.now()
        done = many.delete_many(db, screen.kind, chosen, author(), now, fires=fires)
    if done.count:
        notices.note_deleted(done, switch="delete_selected_fires")
    if done.count < len(chosen):
        flash(f"{len(chosen) - done.count} of the selected were deleted before.", "info")
    return redirect(way_back(url_for(".show_list", path=path)))


def tab(path: str) -> Screen:
    """The screen of a kind of which many can be deleted at once."""
    screen = SCREENS[path]
    if not screen.deletes_many:
        abort(404, f"{screen.plural} are deleted one at a time (trigger.delete-tabs).")
    return screen


def _chosen(numbers: list[str]) -> list[str]:
    """The numbers that were ticked, each once."""
    return list(dict.fromkeys(numbers))[:_SELECTED_AT_MOST]


def what_goes(db: Session, screen: Screen, numbers: list[str] | None) -> dict[str, Any]:
    """What goes too, in words (`2 cases`, `1 follow-up`), and whether that fires."""
    counted = removal.count_what_goes(db, screen.kind, numbers)
    words = [_counted(OF_KIND[kind], count) for kind, count in counted.items() if count]
    return {"going": words, "cascades": services().settings.delete_cascade_fires}


def _counted(screen: Screen, count: int) -> str:
    return f"{count:,} {screen.noun if count == 1 else screen.plural.lower()}"
