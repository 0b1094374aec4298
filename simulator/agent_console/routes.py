"""The pages of Agent Console: lists, records, and the forms that create, edit and delete them.

In: an agent's request. Out: a page; after an action a redirect and a line that says which
trigger fired. Killed before the commit: nothing happened, and the form is sent again.
"""

import re
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, session, url_for
from markupsafe import Markup
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import Form

from simulator.agent_console import actions, forms, reads
from simulator.agent_console.actions import Done
from simulator.agent_console.screens import LEADS_TO, OF_KIND, SCREENS, Screen
from simulator.db import read_session
from simulator.local_crm import custom_fields, queries
from simulator.local_crm.changes import Author, ChangeRefused, RecordNotFound
from simulator.local_crm.fields import Field
from simulator.local_crm.models import Agent, Origin, Record
from simulator.services import services
from simulator.triggers.urls import Event, Kind
from simulator.web.pagination import load_page

blueprint = Blueprint("agent_console", __name__, url_prefix="/agent", template_folder="templates")

_KINDS = f"<any({','.join(SCREENS)}):path>"
_FIRST_AGENT = "ag1001"
_DONE = {Event.CREATE: "created", Event.EDIT: "saved", Event.DELETE: "deleted"}
Page = str | tuple[str, int] | Response


@blueprint.get(f"/{_KINDS}")
def show_list(path: str) -> Page:
    """All records of a kind, newest first; `?accountnum=` and `?casenum=` narrow it down."""
    screen = SCREENS[path]
    names = {"accountnum", "casenum"} & {field.name for field in screen.fields}
    chosen = {name: request.args[name] for name in sorted(names) if request.args.get(name)}
    with read_session(services().engine) as db:
        page = load_page(db, reads.newest_first(screen, **chosen))
    return render_template(
        "agent_console/list.html", screen=screen, page=page, chosen=chosen, leads_to=LEADS_TO
    )


@blueprint.get(f"/{_KINDS}/<record_id>")
def show_record(path: str, record_id: str) -> Page:
    """A record: its fields, its parents and children, its deliveries and versions.

    Of a deleted one, under 404, what is left: its deliveries and versions.
    """
    screen = SCREENS[path]
    with read_session(services().engine) as db:
        versions = reads.latest_versions(db, screen, record_id)
        shown = {
            "screen": screen,
            "record_id": record_id,
            "deliveries": reads.latest_deliveries(db, screen, record_id),
            "versions": versions,
            "shown_at_most": reads.SHOWN_AT_MOST,
        }
        if versions and versions[0].event is Event.DELETE:
            return render_template("agent_console/deleted.html", **shown), 404
        record = _get(db, screen, record_id)
        return render_template(
            "agent_console/record.html",
            record=record,
            custom=[
                (field.label, field.name, forms.custom_text(field, record))
                for field in custom_fields.of_kind(db, screen.kind)
            ],
            children=reads.children_of(db, screen, record_id),
            leads_to=LEADS_TO,
            **shown,
        )


@blueprint.get(f"/{_KINDS}/new")
def show_new(path: str) -> Page:
    """The form of a new record; the parent's number may come with the address."""
    screen = SCREENS[path]
    parent_number = request.args.get(screen.parent, "") if screen.parent else ""
    with read_session(services().engine) as db:
        custom = custom_fields.of_kind(db, screen.kind)
        agents = reads.all_agents(db)
    form = forms.record_form(screen, custom, agents, parent_number=parent_number)
    return _form_page(screen, custom, form)


@blueprint.post(f"/{_KINDS}/new")
def create(path: str) -> Page:
    """Create a record."""
    screen = SCREENS[path]
    with read_session(services().engine) as db:
        custom, agents = custom_fields.of_kind(db, screen.kind), reads.all_agents(db)
    form = forms.record_form(screen, custom, agents, posted=request.form)
    values, problems = forms.read_form(screen, custom, form, agents)
    if problems:
        return _form_page(screen, custom, form, problems)
    try:
        with services().sessions.begin() as db:
            done = actions.create(db, screen.kind, values, _author(), services().clock.now())
    except ChangeRefused as refused:
        return _form_page(screen, custom, form, refused.problems)
    return _to_record(screen, done)


@blueprint.get(f"/{_KINDS}/<record_id>/edit")
def show_edit(path: str, record_id: str) -> Page:
    """The form of a record."""
    screen = SCREENS[path]
    with read_session(services().engine) as db:
        record = _get(db, screen, record_id)
        custom, agents = custom_fields.of_kind(db, screen.kind), reads.all_agents(db)
    form = forms.record_form(screen, custom, agents, record=record)
    return _form_page(screen, custom, form, record_id=record_id)


@blueprint.post(f"/{_KINDS}/<record_id>/edit")
def edit(path: str, record_id: str) -> Page:
    """Save a record."""
    screen = SCREENS[path]
    with read_session(services().engine) as db:
        record, agents = _get(db, screen, record_id), reads.all_agents(db)
        custom = custom_fields.of_kind(db, screen.kind)
    form = forms.record_form(screen, custom, agents, record=record, posted=request.form)
    values, problems = forms.read_form(screen, custom, form, agents)
    if problems:
        return _form_page(screen, custom, form, problems, record_id)
    try:
        with services().sessions.begin() as db:
            now = services().clock.now()
            done = actions.edit(db, screen.kind, record_id, values, _author(), now)
    except RecordNotFound as gone:
        abort(404, str(gone))
    except ChangeRefused as refused:
        return _form_page(screen, custom, form, refused.problems, record_id)
    return _to_record(screen, done)


@blueprint.get(f"/{_KINDS}/<record_id>/delete")
def show_delete(path: str, record_id: str) -> Page:
    """Ask before a record is deleted, and say what goes with it."""
    screen = SCREENS[path]
    with read_session(services().engine) as db:
        return render_template(
            "agent_console/delete.html",
            screen=screen,
            record=_get(db, screen, record_id),
            record_id=record_id,
            children=reads.children_of(db, screen, record_id),
        )


@blueprint.post(f"/{_KINDS}/<record_id>/delete")
def delete(path: str, record_id: str) -> Page:
    """Delete a record and what hangs on it."""
    screen = SCREENS[path]
    try:
        with services().sessions.begin() as db:
            now = services().clock.now()
            done = actions.delete(db, screen.kind, record_id, _author(), now)
    except RecordNotFound as gone:
        abort(404, str(gone))
    _flash_done(screen, done)
    return redirect(url_for(".show_list", path=path))


@blueprint.post("/act-as")
def act_as() -> Page:
    """Choose the agent who acts from now on in this browser."""
    agent_id = request.form.get("agent_id", "")
    with read_session(services().engine) as db:
        if db.get(Agent, agent_id) is None:
            abort(400, f"There is no agent {agent_id or '(empty)'}. Choose one from the list.")
    session["agent_id"] = agent_id
    flash(f"You act as agent {agent_id} now.", "success")
    back = request.form.get("next", "")
    is_ours = re.fullmatch(r"/agent/[\w./-]+", back)  # no line break, which no header may hold
    return redirect(back if is_ours else url_for(".show_list", path="customers"))


@blueprint.context_processor
def add_agents() -> dict[str, Any]:
    """For the choice of the acting agent on every page."""
    with read_session(services().engine) as db:
        return {"agents": reads.all_agents(db), "acting": _agent_id()}


def _get(db: Session, screen: Screen, record_id: str) -> Record:
    record = queries.get(db, screen.kind, record_id)
    if record is None:
        abort(404, f"{screen.kind} {record_id} does not exist, or not any more.")
    return record


def _agent_id() -> str:
    return str(session.get("agent_id", _FIRST_AGENT))


def _author() -> Author:
    switch = services().settings.followup_edit_trigger
    return Author(Origin.AGENT, _agent_id(), followup_edit_fires=switch)


def _form_page(
    screen: Screen,
    custom: Sequence[Field],
    form: Form,
    problems: dict[str, str] | None = None,
    record_id: str = "",
) -> tuple[str, int]:
    forms.show_problems(form, problems or {})
    page = render_template(
        "agent_console/form.html",
        screen=screen,
        form=form,
        inputs=[(forms.input_name(f), f.required) for f in forms.editable(screen, custom)],
        record_id=record_id,
        refused=bool(problems),
        parent=LEADS_TO[screen.parent] if screen.parent else None,
        silent=_is_silent(screen.kind, Event.EDIT if record_id else Event.CREATE),
    )
    return page, 422 if problems else 200


def _to_record(screen: Screen, done: Done) -> Response:
    _flash_done(screen, done)
    return redirect(url_for(".show_record", path=screen.path, record_id=done.record_id))


def _is_silent(kind: Kind, event: Event) -> bool:
    """Whether an event has no trigger whatever its box says (trigger.followup-edit-silent)."""
    edit_of_followup = (kind, event) == (Kind.FOLLOWUP, Event.EDIT)
    return edit_of_followup and not services().settings.followup_edit_trigger


def _flash_done(screen: Screen, done: Done) -> None:
    what = f"{OF_KIND[done.kind].noun.capitalize()} {done.record_id} was {_DONE[done.event]}."
    if done.delivery_id is not None:
        link = _link(
            url_for("deliveries.show", delivery_id=done.delivery_id),
            f"delivery {done.delivery_id}",
        )
        flash(Markup("{} Its trigger fired: {}.").format(what, link), "success")
    elif _is_silent(done.kind, done.event):
        flash(f"{what} {done.kind} {done.event} fires no trigger.", "info")
    else:
        link = _link(url_for("config_manager.show_triggers"), "CRM Triggers")
        line = Markup("{} No trigger fired: no URL is set for {} {} in {}.")
        flash(line.format(what, done.kind, done.event, link), "warning")


def _link(address: str, text: str) -> Markup:
    return Markup('<a class="alert-link" href="{}">{}</a>').format(address, text)
