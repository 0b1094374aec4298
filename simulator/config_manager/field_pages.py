"""The pages of CRM > Fields: the fields of the four objects, and the custom ones to be changed.

In: an administrator's request. Out: a page, or a redirect after a save. A form with anything
wrong in it saves nothing. Killed before the commit: all is as it was. Nothing here fires a trigger.
"""

from flask import abort, flash, redirect, render_template, request, url_for

from simulator.config_manager import field_forms
from simulator.config_manager.field_forms import FieldForm
from simulator.db import read_session
from simulator.local_crm import custom_fields
from simulator.local_crm.custom_fields import DefinitionRefused
from simulator.local_crm.fields import FIELDS, CustomType, Definition, custom_tag, slashed_date
from simulator.services import services
from simulator.triggers.urls import Kind
from simulator.web.answers import Page

KINDS = {kind.lower(): kind for kind in Kind}  # by the word in the address


def show_fields() -> Page:
    """All four objects: custom fields to change, and the ones that every tenant has."""
    with read_session(services().engine) as session:
        defined = {
            kind: [row.definition for row in custom_fields.rows(session, kind)] for kind in Kind
        }
    return render_template(
        "config_manager/fields.html",
        defined=defined,
        standard=FIELDS,
        tag=_tag,
        default=_shown_default,
    )


def show_new(kind: str) -> Page:
    """The form of a field to come."""
    return _form_page(KINDS[kind], field_forms.empty_form())


def add(kind: str) -> Page:
    """Define a field."""
    form, definition = field_forms.read_definition(KINDS[kind], request.form)
    if definition is None:
        return _form_page(KINDS[kind], form, refused=True)
    try:
        with services().sessions.begin() as session:
            custom_fields.define(session, definition)
    except DefinitionRefused as refused:
        field_forms.show_problems(form, refused.problems)
        return _form_page(KINDS[kind], form, refused=True)
    flash(
        f"The custom field {definition.label} is defined; the CRM API sends it as "
        f"<{_tag(definition)}>. No trigger fired.",
        "success",
    )
    return redirect(url_for(".show_fields"))


def show_edit(kind: str, name: str) -> Page:
    """The form of a field as it is."""
    definition = _existing(KINDS[kind], name)
    return _form_page(KINDS[kind], field_forms.form_of(definition), definition)


def edit(kind: str, name: str) -> Page:
    """Change all of a field but its name and type."""
    saved = _existing(KINDS[kind], name)
    form, definition = field_forms.read_definition(KINDS[kind], request.form, saved)
    if definition is None:
        return _form_page(KINDS[kind], form, saved, refused=True)
    try:
        with services().sessions.begin() as session:
            custom_fields.redefine(session, definition)
    except DefinitionRefused as refused:
        if "name" in refused.problems:  # removed a moment ago
            return _gone(refused)
        field_forms.show_problems(form, refused.problems)
        return _form_page(KINDS[kind], form, saved, refused=True)
    flash(f"The custom field {definition.label} is saved. No trigger fired.", "success")
    return redirect(url_for(".show_fields"))


def show_remove(kind: str, name: str) -> Page:
    """What goes with a field, and the question whether it is meant."""
    definition = _existing(KINDS[kind], name)
    return render_template("config_manager/field_remove.html", field=definition)


def remove(kind: str, name: str) -> Page:
    """Remove a field with its values."""
    try:
        with services().sessions.begin() as session:
            custom_fields.remove(session, KINDS[kind], name)
    except DefinitionRefused as refused:  # the form was sent twice, or somebody was quicker
        return _gone(refused)
    flash(f"The custom field {name} and its values are removed. No trigger fired.", "success")
    return redirect(url_for(".show_fields"))


def _form_page(
    kind: Kind, form: FieldForm, saved: Definition | None = None, *, refused: bool = False
) -> Page:
    page = render_template(
        "config_manager/field_form.html", kind=kind, form=form, saved=saved, refused=refused
    )
    return page, 422 if refused else 200


def _existing(kind: Kind, name: str) -> Definition:
    with read_session(services().engine) as session:
        defined = [row.definition for row in custom_fields.rows(session, kind)]
    found = next((each for each in defined if each.name.lower() == name.lower()), None)
    if found is None:
        abort(404, f"There is no custom field {name} for a {kind} (any more).")
    return found


def _gone(refused: DefinitionRefused) -> Page:
    flash(f"{refused} It was removed meanwhile.", "warning")
    return redirect(url_for(".show_fields"))


def _tag(definition: Definition) -> str:
    return custom_tag(definition.kind, definition.field, services().settings.custom_tag_suffix)


def _shown_default(definition: Definition) -> str:
    is_date = definition.type is CustomType.DATE
    return slashed_date(definition.default) if is_date else definition.default
