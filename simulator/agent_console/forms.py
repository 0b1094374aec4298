"""One form for all four kinds, built from their fields.

In: the screen, the tenant's custom fields, the agents, the record to edit if there is one, and
what was posted. Out: a form to show, values to change a record with, and a sentence for each field
that is wrong.

Custom fields come after the others, in inputs named `custom-NAME`: a name of the tenant's choice
must not get in the way of the form's own. Their dates are written MM/DD/YYYY.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from werkzeug.datastructures import MultiDict
from wtforms import Form, SelectField, StringField, TextAreaField

from simulator.agent_console.screens import Screen
from simulator.local_crm import fields
from simulator.local_crm.fields import Field, FieldClass, FieldType
from simulator.local_crm.models import Agent, Record

_CUSTOM_PREFIX = "custom-"
_INSTANT = "%Y-%m-%dT%H:%M"  # as a browser's datetime-local input has it
_INSTANT_WITH_SECONDS = "%Y-%m-%dT%H:%M:%S"


def record_form(
    screen: Screen,
    custom: Sequence[Field],
    agents: Sequence[Agent],
    *,
    record: Record | None = None,
    posted: MultiDict[str, str] | None = None,
    parent_number: str = "",
) -> Form:
    """The form of a new record, or of the given one, with what was posted kept in it."""
    start = texts(screen, custom, record) if record else _default_values(screen, custom)
    sent: MultiDict[str, str] = MultiDict() if posted is None else posted
    inputs = {
        (name := input_name(f)): _input(f, [start[name], *sent.getlist(name)], agents)
        for f in editable(screen, custom)
    }
    if record is None and screen.parent:
        label = fields.BY_NAME[screen.kind][screen.parent].label
        inputs = {screen.parent: StringField(label), **inputs}
        start[screen.parent] = parent_number
    return type("RecordForm", (Form,), inputs)(formdata=posted, data=start)  # type: ignore[no-any-return]


def read_form(
    screen: Screen, custom: Sequence[Field], form: Form, agents: Sequence[Agent]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The values for `changes`, and a sentence for each field that is wrong already."""
    values: dict[str, Any] = {f.name: form[f.name].data or "" for f in screen.editable}
    if screen.parent and screen.parent in form:
        values[screen.parent] = form[screen.parent].data or ""
    values[fields.CUSTOM] = {f.name: _read_custom(f, form[input_name(f)].data) for f in custom}
    instants = {f.name for f in screen.editable if f.type is FieldType.INSTANT}
    texts = {name: value for name, value in values.items() if name not in instants}
    problems = fields.check_all(screen.kind, texts, custom)
    for field in screen.editable:
        if field.type is FieldType.INSTANT:
            try:
                values[field.name] = _instant(values[field.name])
            except ValueError:
                problems[field.name] = (
                    f"{field.label} must be a date and time in UTC like 2030-12-31T09:30."
                )
        elif field.type is FieldType.AGENT:
            unknown = values[field.name] not in {"", *(agent.agent_id for agent in agents)}
            if unknown:
                problems[field.name] = f"{field.label}: there is no agent {values[field.name]}."
    return values, problems


def show_problems(form: Form, problems: Mapping[str, str]) -> None:
    """Put each sentence beside its field."""
    for name, sentence in problems.items():
        for target in (name, _CUSTOM_PREFIX + name):
            if target in form:
                form[target].errors = [sentence]


def editable(screen: Screen, custom: Sequence[Field]) -> tuple[Field, ...]:
    """The fields that an agent types in, in the order of the form."""
    return (*screen.editable, *custom)


def input_name(field: Field) -> str:
    """The name of a field's input."""
    is_custom = field.field_class is FieldClass.CUSTOM
    return _CUSTOM_PREFIX + field.name if is_custom else field.name


def texts(screen: Screen, custom: Sequence[Field], record: Record) -> dict[str, str]:
    """What stands in the inputs of a record's form, by input."""
    standard = {field.name: _as_text(getattr(record, field.name)) for field in screen.editable}
    return standard | {input_name(field): custom_text(field, record) for field in custom}


def custom_text(field: Field, record: Record) -> str:
    """The value of a custom field as agents read and write it."""
    value = record.custom_fields.get(field.name, "")
    return fields.slashed_date(value) if field.type is FieldType.DATE else value


def _input(field: Field, standing: Sequence[str], agents: Sequence[Agent]) -> Any:
    """standing: what stands in it, before and after somebody typed."""
    if field.type is FieldType.LONG_TEXT:
        # Browsers send CRLF for a line break; the record keeps the line break alone.
        return TextAreaField(
            field.label,
            filters=[lambda text: text and text.replace("\r\n", "\n")],
            render_kw={"rows": 4},
        )
    if field.type is FieldType.INSTANT:
        return StringField(f"{field.label} (UTC)", render_kw={"type": "datetime-local"})
    if field.type is FieldType.PICK:
        none = {} if field.required else {"": "(none)"}
        return _select(field, {**none, **{choice: choice for choice in field.choices}}, standing)
    if field.type is FieldType.DATE:
        return StringField(f"{field.label} (MM/DD/YYYY)")
    if field.type is FieldType.AGENT:
        named = {agent.agent_id: f"{agent.agent_id} ({agent.name})" for agent in agents}
        return _select(field, {"": "(nobody)", **named}, standing)
    return StringField(field.label)


def _select(field: Field, choices: dict[str, str], standing: Sequence[str]) -> Any:
    """A select; choices: value -> label."""
    # A value that is no choice (any more) stays selectable, else Save would change it unseen.
    extra = {value: value or "(none)" for value in standing if value not in choices}
    # What is no choice is refused with a sentence by `fields.check`, not by wtforms.
    return SelectField(field.label, choices={**extra, **choices}, validate_choice=False)


def _default_values(screen: Screen, custom: Sequence[Field]) -> dict[str, str]:
    return {
        input_name(field): fields.slashed_date(field.default)
        if field.type is FieldType.DATE
        else field.default
        for field in editable(screen, custom)
    }


def _read_custom(field: Field, typed: str | None) -> str:
    """What a record keeps; a text that is no date stays as it is, for `fields.check` to refuse."""
    if field.type is not FieldType.DATE or not typed:
        return typed or ""
    return fields.kept_date(typed)


def _as_text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime(_INSTANT)
    return "" if value is None else str(value)


def _instant(text: str) -> datetime | None:
    """The instant typed, None for nothing. Raises ValueError."""
    if not text:
        return None
    form = _INSTANT if len(text) <= len("YYYY-MM-DDTHH:MM") else _INSTANT_WITH_SECONDS
    instant = datetime.strptime(text, form).replace(tzinfo=UTC)
    if instant.year < 1900:
        raise ValueError("The wire's dates have four digits for the year.")
    return instant
