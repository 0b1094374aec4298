"""The forms that create and edit a record.

In: an agent's request. Out: a form; after a save a redirect to the record and a line that says
which trigger fired. Killed before the commit: nothing happened, and the form is sent again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import redirect, render_template, request, url_for
from werkzeug.wrappers import Response
from wtforms import Form

from simulator.agent_console import actions, conflicts, forms, notices, reads, submissions
from simulator.agent_console.acting import author, is_silent
from simulator.agent_console.actions import Done
from simulator.agent_console.conflicts import SavedMeanwhile
from simulator.agent_console.record_pages import gone
from simulator.agent_console.screens import LEADS_TO, SCREENS, Screen
from simulator.db import read_session
from simulator.local_crm import custom_fields, queries
from simulator.local_crm.changes import ChangeRefused, RecordNotFound
from simulator.local_crm.fields import Field
from simulator.local_crm.models import Agent
from simulator.local_crm.verdicts import judge
from simulator.services import services
from simulator.triggers.urls import Event
from simulator.web.answers import Page


@dataclass(frozen=True)
class _Sheet:
    """A form on its page: what is asked for, and whose form it is."""

    screen: Screen
    custom: Sequence[Field]
    agents: Sequence[Agent]
    form: Form
    record_id: str = ""  # empty: of a new record
    version: str = ""  # the one that the form was opened with

    def page(
        self,
        problems: dict[str, str] | None = None,
        meanwhile: SavedMeanwhile | None = None,
        made: Done | None = None,
    ) -> Page:
        """The page, with a sentence for each field that is wrong.

        made: what this very form has created already, with other entries.
        """
        forms.show_problems(self.form, problems or {})
        fields = forms.editable(self.screen, self.custom)
        event = Event.EDIT if self.record_id else Event.CREATE
        page = render_template(
            "agent_console/form.html",
            screen=self.screen,
            form=self.form,
            inputs=[(forms.input_name(f), f.required) for f in fields],
            record_id=self.record_id,
            version=self.version,
            form_key=submissions.new_key(again=made is None),
            refused=bool(problems),
            meanwhile=meanwhile,
            made=made,
            parent=LEADS_TO[self.screen.parent] if self.screen.parent else None,
            silent=is_silent(self.screen.kind, event),
        )
        return page, 409 if meanwhile or made else 422 if problems else 200


def show_new(path: str) -> Page:
    """The form of a new record; the parent's number may come with the address."""
    screen = SCREENS[path]
    return _new_sheet(screen, request.args.get(screen.parent or "", "")).page()


def create(path: str) -> Page:
    """Create a record. A form that has created one already and comes back with other entries is
    asked about: who went back may mean to mend that record, or want another one.
    """
    screen = SCREENS[path]
    sheet = _new_sheet(screen)
    values, problems = forms.read_form(screen, sheet.custom, sheet.form, sheet.agents)
    if problems:
        # What only a look at other records tells is said at the same time.
        with read_session(services().engine) as db:
            [refused] = judge(db, screen.kind, [values], sheet.custom)
        return sheet.page((refused.problems if refused else {}) | problems)
    try:
        with services().sessions.begin() as db:
            sent = submissions.earlier(db)
            if sent is None:
                now = services().clock.now()
                done = actions.create(db, screen.kind, values, author(), now)
                submissions.remember(db, done, now)
    except ChangeRefused as error:
        return sheet.page(error.problems)
    if sent is None:
        return _to_record(screen, done)
    if sent.had_same_entries:
        return _to_record(screen, sent.done, again=True)
    return sheet.page(made=sent.done)


def show_edit(path: str, record_id: str) -> Page:
    """The form of a record."""
    sheet = _edit_sheet(SCREENS[path], record_id)
    return sheet.page() if isinstance(sheet, _Sheet) else sheet


def edit(path: str, record_id: str) -> Page:
    """Save a record, unless somebody else has done so since the form was opened."""
    screen = SCREENS[path]
    sheet = _edit_sheet(screen, record_id)
    if not isinstance(sheet, _Sheet):
        return sheet
    values, problems = forms.read_form(screen, sheet.custom, sheet.form, sheet.agents)
    if problems:
        return sheet.page(problems)
    try:
        with services().sessions.begin() as db:
            sent = submissions.earlier(db)
            again = sent is not None and sent.had_same_entries
            if sent is not None and again:
                done = sent.done
            else:
                now = services().clock.now()
                record = queries.get(db, screen.kind, record_id)
                if record is not None:
                    typed = _typed(sheet.form)
                    opened_with = request.form.get(conflicts.FIELD, "")
                    conflicts.refuse_if_saved_meanwhile(
                        db, screen, sheet.custom, record, opened_with, typed
                    )
                done = actions.edit(db, screen.kind, record_id, values, author(), now)
                submissions.remember(db, done, now)
    except SavedMeanwhile as meanwhile:
        return _merged(sheet, meanwhile)
    except RecordNotFound:
        return _lost(screen, record_id, sheet.form)
    except ChangeRefused as refused:
        return sheet.page(refused.problems)
    return _to_record(screen, done, again=again)


def _new_sheet(screen: Screen, parent_number: str = "") -> _Sheet:
    with read_session(services().engine) as db:
        custom, agents = custom_fields.of_kind(db, screen.kind), reads.all_agents(db)
    posted = request.form if request.method == "POST" else None
    form = forms.record_form(screen, custom, agents, posted=posted, parent_number=parent_number)
    return _Sheet(screen, custom, agents, form)


def _edit_sheet(screen: Screen, record_id: str) -> _Sheet | Page:
    """The form of a record as it is, or as it was posted; or a page that the record is gone."""
    posted = request.form if request.method == "POST" else None
    with read_session(services().engine) as db:
        custom, agents = custom_fields.of_kind(db, screen.kind), reads.all_agents(db)
        record = queries.get(db, screen.kind, record_id)
        if record is None:
            unsaved = forms.record_form(screen, custom, agents, posted=posted)
            return gone(db, screen, record_id, _by_label(unsaved) if posted else None)
        latest = queries.latest_version(db, screen.kind, record_id)
    form = forms.record_form(screen, custom, agents, record=record, posted=posted)
    version = str(latest.version) if latest else ""
    if posted is not None:
        version = posted.get(conflicts.FIELD, "")
    return _Sheet(screen, custom, agents, form, record_id, version)


def _merged(sheet: _Sheet, meanwhile: SavedMeanwhile) -> Page:
    """The form once more: what only the other one changed has the newer value now."""
    for difference in meanwhile.differences:
        field = sheet.form[difference.name]
        if difference.is_untouched:
            field.data = difference.saved
        else:
            field.errors = [
                f"{meanwhile.actor} has saved “{difference.saved}” meanwhile. "
                "What you typed stands here; Save puts it in its place."
            ]
    latest = str(meanwhile.version)
    again = _Sheet(sheet.screen, sheet.custom, sheet.agents, sheet.form, sheet.record_id, latest)
    return again.page(meanwhile=meanwhile)


def _lost(screen: Screen, record_id: str, form: Form) -> Page:
    """What was typed for a record that was deleted meanwhile."""
    with read_session(services().engine) as db:
        return gone(db, screen, record_id, _by_label(form))


def _typed(form: Form) -> dict[str, str]:
    return {field.name: field.data or "" for field in form}


def _by_label(form: Form) -> dict[str, str]:
    return {field.label.text: field.data for field in form if field.data}


def _to_record(screen: Screen, done: Done, *, again: bool = False) -> Response:
    notices.note(done, again=again)
    return redirect(url_for(".show_record", path=screen.path, record_id=done.record_id))
