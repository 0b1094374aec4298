"""Delete a record, a selection, or everything: first a question, then the deed.

In: an agent's request. Out: a page that says what else goes; after it a redirect to the list and
a line that says which triggers fired. One record and a selection are one transaction each: killed
before its commit, nothing happened. Delete All takes a transaction for every few hundred records,
so that nobody else waits long: killed midway, those before are deleted and the others are there.
"""

import hmac
from typing import Any

from flask import abort, flash, redirect, render_template, request, url_for
from sqlalchemy.orm import Session

from simulator.agent_console import actions, notices
from simulator.agent_console.acting import author
from simulator.agent_console.actions import Deleted
from simulator.agent_console.record_pages import gone
from simulator.agent_console.screens import OF_KIND, SCREENS, Screen
from simulator.db import read_session
from simulator.local_crm import queries, removal, walk
from simulator.local_crm.changes import RecordNotFound
from simulator.services import services
from simulator.web.answers import Page, way_back

_AT_A_TIME = 200
_SELECTED_AT_MOST = 500


def show_delete(path: str, record_id: str) -> Page:
    """Ask before a record is deleted, and say what goes with it."""
    screen = SCREENS[path]
    with read_session(services().engine) as db:
        if queries.get(db, screen.kind, record_id) is None:
            return gone(db, screen, record_id)
        going = _what_goes(db, screen, [record_id])
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
    screen = _tab(path)
    chosen = _chosen(request.args.getlist("chosen"))
    with read_session(services().engine) as db:
        there = [removal.number_of(ids) for ids in removal.ids_of(db, screen.kind, chosen)]
        going = _what_goes(db, screen, there)
    if not there:
        flash("Nothing was selected: tick the records to delete, then press Delete Selected.")
        return redirect(url_for(".show_list", path=path))
    return render_template(
        "agent_console/delete_selected.html", screen=screen, numbers=there, **going
    )


def delete_selected(path: str) -> Page:
    """Delete those of a selection that are still there."""
    screen = _tab(path)
    chosen = _chosen(request.form.getlist("chosen"))
    fires = services().settings.delete_selected_fires
    with services().sessions.begin() as db:
        now = services().clock.now()
        done = actions.delete_many(db, screen.kind, chosen, author(), now, fires=fires)
    if done.count:
        notices.note_deleted(done, switch="delete_selected_fires")
    if done.count < len(chosen):
        flash(f"{len(chosen) - done.count} of the selected were deleted before.", "info")
    return redirect(way_back(url_for(".show_list", path=path)))


def show_delete_all(path: str) -> Page:
    """Ask for the password before everything is deleted."""
    return _delete_all_page(_tab(path))


def delete_all(path: str) -> Page:
    """Delete every record of the kind that is there now (trigger.delete-all-of-tab)."""
    screen = _tab(path)
    password = services().settings.agent_password.get_secret_value()
    typed = request.form.get("password", "")
    if not hmac.compare_digest(password.encode(), typed.encode("utf-8", "replace")):
        problem = "This is not the agent's password. Nothing was deleted."
        return _delete_all_page(screen, problem if typed else "Password is required.")
    done = _delete_batches(screen)
    if done.count:
        notices.note_deleted(done, switch="delete_all_fires")
    else:
        flash(f"There were no {screen.plural.lower()} to delete.", "info")
    return redirect(url_for(".show_list", path=path))


def _delete_batches(screen: Screen) -> Deleted:
    """All that were there when it began; what others create meanwhile stays."""
    fires = services().settings.delete_all_fires
    with read_session(services().engine) as db:
        last = walk.newest_position(db, screen.kind)
    count = 0
    delivery_ids: tuple[int, ...] = ()
    while True:
        with services().sessions.begin() as db:
            numbers = walk.oldest_numbers(db, screen.kind, last, _AT_A_TIME)
            if not numbers:
                return Deleted(screen.kind, count, delivery_ids)
            now = services().clock.now()
            done = actions.delete_many(db, screen.kind, numbers, author(), now, fires=fires)
        count += done.count
        delivery_ids += done.delivery_ids


def _delete_all_page(screen: Screen, problem: str = "") -> Page:
    with read_session(services().engine) as db:
        total = walk.count_all(db, screen.kind)
        going = _what_goes(db, screen, None)
    page = render_template(
        "agent_console/delete_all.html", screen=screen, total=total, **going, problem=problem
    )
    return page, 422 if problem else 200


def _tab(path: str) -> Screen:
    """The screen of a kind of which many can be deleted at once."""
    screen = SCREENS[path]
    if not screen.deletes_many:
        abort(404, f"{screen.plural} are deleted one at a time (trigger.delete-tabs).")
    return screen


def _chosen(numbers: list[str]) -> list[str]:
    """The numbers that were ticked, each once."""
    return list(dict.fromkeys(numbers))[:_SELECTED_AT_MOST]


def _what_goes(db: Session, screen: Screen, numbers: list[str] | None) -> dict[str, Any]:
    """What goes too, in words (`2 cases`, `1 follow-up`), and whether that fires."""
    counted = removal.count_what_goes(db, screen.kind, numbers)
    words = [_counted(OF_KIND[kind], count) for kind, count in counted.items() if count]
    return {"going": words, "cascades": services().settings.delete_cascade_fires}


def _counted(screen: Screen, count: int) -> str:
    return f"{count:,} {screen.noun if count == 1 else screen.plural.lower()}"
