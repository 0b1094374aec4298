"""The pages of Configuration Manager > Integration: CRM Triggers and CRM API.

In: an administrator's request. Out: a page, or a redirect after a save. A form with anything
wrong in it saves nothing. Killed before the commit: all is as it was.
"""

import re
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import Form

from simulator.config_manager import forms
from simulator.config_manager.boxes import EXAMPLE_IDS, read_boxes, save_boxes
from simulator.config_manager.forms import ApiForm
from simulator.db import read_session
from simulator.local_crm.first_start import ALL_RIGHTS
from simulator.local_crm.models import Agent, ApiAccess
from simulator.local_crm.secrets import hash_secret
from simulator.services import services
from simulator.triggers.urls import Event, Kind, trigger_url

blueprint = Blueprint(
    "config_manager", __name__, url_prefix="/config/integration", template_folder="templates"
)
_ACCESS_ROW = 1
_BENEATH = 47  # characters beneath a box
Page = str | tuple[str, int] | Response


@blueprint.get("/crm-triggers")
def show_triggers() -> Page:
    """The twelve boxes."""
    with read_session(services().engine) as session:
        saved = read_boxes(session)
    return _triggers_page(forms.triggers_form(saved))


@blueprint.post("/crm-triggers")
def save_triggers() -> Page:
    """Save all boxes, or none if one is wrong (trigger.https-checked-in-form)."""
    with read_session(services().engine) as session:
        form = forms.triggers_form(read_boxes(session), request.form)
    if not form.validate():
        return _triggers_page(form), 422
    with services().sessions.begin() as session:
        save_boxes(session, forms.typed_urls(form))
    flash("The CRM triggers are saved.", "success")
    return redirect(url_for(".show_triggers"))


@blueprint.get("/crm-api")
def show_api() -> Page:
    """Who may call the CRM API, and for what."""
    with read_session(services().engine) as session:
        agents = _agents(session)
        form = forms.api_form(session.get_one(ApiAccess, _ACCESS_ROW), agents)
    return _api_page(form)


@blueprint.post("/crm-api")
def save_api() -> Page:
    """Save the tab; an empty password or key leaves the present one."""
    with read_session(services().engine) as session:
        agents = _agents(session)
        form = forms.api_form(session.get_one(ApiAccess, _ACCESS_ROW), agents, request.form)
    problems = forms.api_problems(form, agents)
    if problems:
        for name, sentence in problems.items():
            form[name].errors = [sentence]
        return _api_page(form), 422
    values = _access_values(form)  # hashes are slow on purpose: before the lock is taken
    with services().sessions.begin() as session:
        access = session.get_one(ApiAccess, _ACCESS_ROW)
        for name, value in values.items():
            setattr(access, name, value)
    flash("The CRM API access is saved.", "success")
    return redirect(url_for(".show_api"))


def _triggers_page(form: Form) -> str:
    continuation = services().settings.trigger_query_continuation
    # By kind and event; the ids continue a query that is there.
    sent = {
        box: _end_of(trigger_url(url, EXAMPLE_IDS[box[0]], continuation))
        for box, url in forms.typed_urls(form).items()
    }
    return render_template(
        "config_manager/triggers.html",
        form=form,
        kinds=list(Kind),
        events=list(Event),
        box_name=forms.box_name,
        sent=sent,
        followup_edit_fires=services().settings.followup_edit_trigger,
    )


def _end_of(url: str) -> str:
    """As much of a URL as stands beneath a box, from one of its parts on: boxes cut its end off."""
    parts = [0, *(found.start() for found in re.finditer("(?<=[^/:])[/?&]", url))]
    start = next((at for at in parts if len(url) - at <= _BENEATH), len(url) - _BENEATH)
    return f"…{url[start:]}" if start else url


def _api_page(form: ApiForm) -> str:
    return render_template(
        "config_manager/api.html",
        form=form,
        kinds=list(Kind),
        rights=("Add", "Modify", "Get"),
        all_rights=ALL_RIGHTS,
    )


def _agents(session: Session) -> Sequence[Agent]:
    return session.scalars(select(Agent).order_by(Agent.agent_id)).all()


def _access_values(form: ApiForm) -> dict[str, Any]:
    values: dict[str, Any] = {
        "enabled": bool(form.enabled.data),
        "tenant": form.tenant.data,
        "username": form.username.data,
        "used_identity": form.used_identity.data,
        "rights": [right for right in ALL_RIGHTS if right in (form.rights.data or [])],
    }
    if form.password.data:
        values["password_hash"] = hash_secret(form.password.data)
    if form.api_key.data:
        values["api_key_hash"] = hash_secret(form.api_key.data)
    return values
