"""The forms of Configuration Manager.

In: what is saved, and what was posted. Out: forms to show, values to save, and a sentence for
each field that is wrong. Passwords and keys go in and never come out again.
"""

from collections.abc import Sequence
from typing import Any

from werkzeug.datastructures import MultiDict
from wtforms import (
    BooleanField,
    Form,
    PasswordField,
    SelectField,
    SelectMultipleField,
    StringField,
)
from wtforms.validators import ValidationError

from simulator.config_manager.boxes import Urls
from simulator.local_crm.first_start import ALL_RIGHTS
from simulator.local_crm.models import Agent, ApiAccess
from simulator.triggers.urls import BOXES, Event, Kind, check_configured_url

LONGEST_TEXT = 255  # of user name, tenant, password and key; no limit is public


def box_name(kind: Kind, event: Event) -> str:
    """The form field of a box, e.g. customer_create."""
    return f"{kind.lower()}_{event.lower()}"


def triggers_form(saved: Urls, posted: MultiDict[str, str] | None = None) -> Form:
    """Twelve boxes with what is saved, or with what was posted."""
    inputs: dict[str, Any] = {
        box_name(kind, event): StringField(
            f"{kind} {event}",
            filters=[lambda text: text and text.strip()],
            validators=[_check_url],
            render_kw={"placeholder": "https://"},
        )
        for kind, event in BOXES
    }
    start = {box_name(*box): url for box, url in saved.items()}
    return type("TriggersForm", (Form,), inputs)(formdata=posted, data=start)  # type: ignore[no-any-return]


def typed_urls(form: Form) -> Urls:
    """What was typed into each box."""
    return {box: form[box_name(*box)].data or "" for box in BOXES}


def _without_spaces_around(text: str | None) -> str | None:
    return text and text.strip()


class ApiForm(Form):
    """The tab Integration > CRM API (api.tab, api.tenant-and-key-in-tab)."""

    enabled = BooleanField("Enable CRM API Access")
    username = StringField("CRM API username", filters=[_without_spaces_around])
    password = PasswordField("Password")
    retype_password = PasswordField("Retype Password")
    # The vendor's own spelling (api.tab).
    used_identity = SelectField("Used Identify", validate_choice=False)
    rights = SelectMultipleField("Access Rights", validate_choice=False)
    tenant = StringField("Tenant", filters=[_without_spaces_around])
    api_key = PasswordField("API key")


def api_form(
    access: ApiAccess, agents: Sequence[Agent], posted: MultiDict[str, str] | None = None
) -> ApiForm:
    """The tab with what is saved, or with what was posted."""
    form = ApiForm(formdata=posted, obj=access)
    form.used_identity.choices = {a.agent_id: f"{a.agent_id} ({a.name})" for a in agents}
    return form


def api_problems(form: ApiForm, agents: Sequence[Agent]) -> dict[str, str]:
    """A sentence for each field of the tab that is wrong, by field name."""
    agent_ids = {agent.agent_id for agent in agents}
    taken = {text.lower() for agent in agents for text in (agent.agent_id, agent.name)}
    username = form.username.data or ""
    typed = (form.username, form.password, form.tenant, form.api_key)
    problems = {field.name: sentence for field in typed if (sentence := _text_problem(field))}
    if not username:
        problems["username"] = "CRM API username is required."
    elif username.lower() in taken:
        problems["username"] = f"{username} is an agent. Give the CRM API a username of its own."
    if (form.password.data or "") != (form.retype_password.data or ""):
        problems |= {form.retype_password.name: "The two passwords differ. Type both again."}
    if form.used_identity.data not in agent_ids:
        problems["used_identity"] = f"Used Identify: there is no agent {form.used_identity.data}."
    if not form.tenant.data:
        problems["tenant"] = "Tenant is required."
    unknown = [right for right in form.rights.data or [] if right not in ALL_RIGHTS]
    if unknown:
        problems["rights"] = f"There is no right {unknown[0]}."
    return problems


def _text_problem(field: StringField) -> str | None:
    """What is wrong with any text of the tab: it goes into XML, the key into a header."""
    text, name = field.data or "", field.label.text
    if len(text) > LONGEST_TEXT:
        return f"{name} is {len(text)} characters long; at most {LONGEST_TEXT} are allowed."
    if not text.isprintable():
        return f"{name} contains a control character. Remove it."
    if field.name == "api_key" and not text.isascii():
        return f"{name} may hold letters, digits and signs of ASCII only: it is sent in a header."
    return None


def _check_url(form: Form, field: StringField) -> None:
    problem = check_configured_url(field.data or "")
    if problem is not None:
        raise ValidationError(problem)
