"""The forms of the clock, of faults and of the control token.

In: what was posted. Out: forms to show, values for the clock and the parser of faults, and a
sentence beside each field that is wrong.
"""

import math
from datetime import timedelta
from typing import Any, cast

from pydantic import ValidationError
from werkzeug.datastructures import MultiDict
from wtforms import BooleanField, Form, PasswordField, SelectField, StringField

from simulator.clock import ClockRefused
from simulator.faults.describe import Parameter, parameters
from simulator.faults.models import AnyFault, Fault, NewFault

_UNITS_S = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
_FOR_PERSONS = {
    "Input should be a valid integer, unable to parse string as an integer": "Type a whole number",
    "Input should be a valid number, unable to parse string as a number": "Type a number",
    "Input should be": "It must be",
    "String should have": "It must have",
}
Posted = MultiDict[str, str] | None


class AdvanceForm(Form):
    """How far the clock goes forward."""

    by = StringField(
        "Advance by",
        default="1",
        filters=[lambda text: text and text.strip()],
        render_kw={"inputmode": "decimal"},
    )
    unit = SelectField("Unit", choices={unit: unit for unit in _UNITS_S}, default="h")

    def span(self) -> timedelta:
        """The span that was typed. Raises ClockRefused."""
        try:
            seconds = float(self.by.data or "") * _UNITS_S[self.unit.data]
        except (ValueError, KeyError):
            seconds = math.nan
        if math.isnan(seconds):
            raise ClockRefused("by", "Type a number of 0 or more, such as 30 or 1.5.")
        try:
            return timedelta(seconds=seconds)
        except OverflowError:
            raise ClockRefused("by", "The span leads beyond the year 9999.") from None


class TokenForm(Form):
    """The control token."""

    token = PasswordField("Control token")


def fault_form(fault: type[Fault], posted: Posted = None) -> Form:
    """A field for each parameter of a fault, filled with its defaults or with what was posted."""
    inputs = {parameter.name: _field(parameter) for parameter in parameters(fault)}
    return cast(Form, type("FaultForm", (Form,), inputs)(formdata=posted))


def typed_fault(fault: type[Fault], form: Form) -> AnyFault | None:
    """The fault that was typed; None, and sentences beside the fields, where anything is wrong.
    An empty field is a parameter that is not given.
    """
    given = {field.name: field.data for field in form if field.data not in (None, "")}
    try:
        return NewFault.model_validate({"fault": fault.model_fields["fault"].default, **given}).root
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            form[str(problem["loc"][0])].errors = [_in_words(problem["msg"])]
        return None


def _in_words(sentence: str) -> str:
    """The sentence about a parameter, for a person at a form."""
    for theirs, ours in _FOR_PERSONS.items():
        sentence = sentence.replace(theirs, ours)
    return sentence


def _field(parameter: Parameter) -> Any:
    label, accepts = parameter.name, parameter.accepts
    values = accepts.get("enum") or ([accepts["const"]] if "const" in accepts else None)
    if values is not None:
        any_of_them = {"": "any"} if parameter.default is None else {}
        return SelectField(
            label,
            choices=any_of_them | {value: value for value in values},
            default=parameter.default,
            validate_choice=False,
        )
    if accepts.get("type") == "boolean":
        return BooleanField(label)
    number = accepts.get("type") in ("integer", "number")
    return StringField(
        label,
        default="" if parameter.default is None else str(parameter.default),
        filters=[lambda text: text and text.strip()],
        render_kw={"inputmode": "decimal"} if number else {},
    )
