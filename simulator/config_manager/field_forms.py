"""The form of a custom field.

In: a definition, or what was posted. Out: the form, the definition that was typed, and a sentence
beside each part of it that is wrong.
"""

from collections.abc import Mapping

from werkzeug.datastructures import MultiDict
from wtforms import BooleanField, Form, SelectField, StringField, TextAreaField

from simulator.local_crm import custom_fields, fields
from simulator.local_crm.fields import CustomType, Definition
from simulator.triggers.urls import Kind


def _without_spaces_around(text: str | None) -> str | None:
    return text and text.strip()


class FieldForm(Form):
    """CRM > Fields: one custom field. Its parts are called as `Definition` calls them."""

    name = StringField("Name", filters=[_without_spaces_around])
    label = StringField("Label", filters=[_without_spaces_around])
    type = SelectField(
        "Type", choices={each.value: each.value for each in CustomType}, validate_choice=False
    )
    default = StringField("Default")
    max_length = StringField("Maximum length", filters=[_without_spaces_around])
    choices = TextAreaField("Choices", render_kw={"rows": 4})
    required = BooleanField("Required")


def empty_form() -> FieldForm:
    """The form of a field to come."""
    return FieldForm()


def form_of(definition: Definition) -> FieldForm:
    """The form of a field as it is; a date as agents write it."""
    is_date = definition.type is CustomType.DATE
    default = fields.slashed_date(definition.default) if is_date else definition.default
    most = "" if definition.max_length is None else str(definition.max_length)
    choices = "\n".join(definition.choices)
    shown = {"default": default, "max_length": most, "choices": choices}
    return FieldForm(data=vars(definition) | shown)


def read_definition(
    kind: Kind, posted: MultiDict[str, str], saved: Definition | None = None
) -> tuple[FieldForm, Definition | None]:
    """The form with what was typed, and what it defines; None: a sentence stands beside a part.

    saved: the field that is changed; its name and type are not asked for again.
    """
    form = FieldForm(formdata=posted)
    if saved is not None:
        form.name.data, form.type.data = saved.name, saved.type.value
    most, problems = form.max_length.data or "", {}
    if most and not (most.isascii() and most.isdecimal() and len(most) <= 6):
        problems["max_length"] = "Maximum length must be a whole number, or empty."
    if form.type.data not in list(CustomType):
        problems["type"] = (
            f"There is no type {form.type.data or '(empty)'}. Choose one of the list."
        )
    if problems:
        show_problems(form, problems)
        return form, None
    lines = (form.choices.data or "").splitlines()
    definition = Definition(
        kind,
        form.name.data or "",
        form.label.data or form.name.data or "",
        CustomType(form.type.data),
        form.default.data or "",
        int(most) if most else None,
        bool(form.required.data),
        tuple(line.strip() for line in lines if line.strip()),
    )
    return form, custom_fields.with_wire_date(definition)


def show_problems(form: FieldForm, problems: Mapping[str, str]) -> None:
    """Put each sentence beside its part."""
    # Without a label the name is it, and what is wrong with it is said beside the name.
    told_already = {"label"} if "name" in problems and not form.label.data else set()
    for part in problems.keys() - told_already:
        form[part].errors = [problems[part]]
