"""The page of interactions: end a call, receive an email, and see that nothing fires.

In: a press of a button. Out: a redirect to the page, with a line that says what was filed where.
Killed before the commit: nothing happened.
"""

from typing import Any

from flask import Blueprint, redirect, render_template, request, session, url_for
from sqlalchemy import func, select
from wtforms import Form, StringField, TextAreaField

from simulator.db import read_session
from simulator.local_crm import auto_log, inbound_email
from simulator.local_crm.auto_log import NobodyCalls, UnknownCaller
from simulator.local_crm.changes import ChangeRefused
from simulator.local_crm.inbound_email import Filed, InboundEmail
from simulator.local_crm.models import RecordVersion
from simulator.services import services
from simulator.triggers.models import Delivery
from simulator.triggers.urls import Kind
from simulator.web.answers import Page

blueprint = Blueprint(
    "interactions", __name__, url_prefix="/interactions", template_folder="templates"
)
_KEY = "interaction"  # in the cookie: what was done, until the next page
_FIRED = "interaction_fired"  # the deliveries that came of it (trigger.email-silent)
_SHOWN_CHANGES = 10
_PATHS = {
    Kind.CUSTOMER: "customers",
    Kind.CASE: "cases",
    Kind.FOLLOWUP: "followups",
    Kind.TASK: "tasks",
}


class CallForm(Form):
    """Whose call ends."""

    caller = StringField("Caller", filters=[lambda text: text and text.strip()])


class EmailForm(Form):
    """An email as a customer sends it."""

    sender = StringField("From", render_kw={"placeholder": "Ada Byron <ada@example.com>"})
    subject = StringField("Subject")
    body = TextAreaField("Text", render_kw={"rows": 4})


@blueprint.get("")
def show() -> Page:
    """Both buttons, and the latest changes of the Local CRM."""
    return _page(CallForm(), EmailForm())


@blueprint.post("/call")
def end_call() -> Page:
    """A call of the customer who is named, or of some customer, ends: auto-log makes a task."""
    form = CallForm(request.form)
    with read_session(services().engine) as db:
        before = _newest(db, RecordVersion)
    rng = services().chance.of("interaction", before)
    try:
        with services().sessions.begin() as db:
            caller = (
                auto_log.find_caller(db, form.caller.data)
                if form.caller.data
                else auto_log.some_caller(db, rng)
            )
            task = auto_log.log_call(db, caller, rng, services().clock.now())
    except NobodyCalls:
        return _page(form, EmailForm(), nobody_calls=True), 409
    except (UnknownCaller, ChangeRefused) as refused:
        form.caller.errors = [str(refused)]
        return _page(form, EmailForm()), 422
    who = caller.customer
    session[_KEY] = [
        f"The call of {who.firstname} {who.lastname},",
        (Kind.CUSTOMER, who.accountnum),
        f"({caller.known_by}), has ended; auto-log made",
        (Kind.TASK, task),
    ]
    return redirect(url_for(".show"))


@blueprint.post("/email")
def receive_email() -> Page:
    """A customer writes: a case or a follow-up, for a new sender a customer too."""
    form = EmailForm(request.form)
    email = InboundEmail(form.sender.data or "", form.subject.data or "", form.body.data or "")
    reopens = services().settings.email_reopens_closed_case
    try:
        with services().sessions.begin() as db:
            latest = _newest(db, Delivery)
            filed = inbound_email.receive(db, email, services().clock.now(), reopens=reopens)
            fired = select(Delivery.id).where(Delivery.id > latest).order_by(Delivery.id)
            session[_FIRED] = list(db.scalars(fired))
    except ChangeRefused as refused:
        form.sender.errors = [str(refused)]
        return _page(CallForm(), form), 422
    session[_KEY] = _in_words(filed)
    return redirect(url_for(".show"))


def _page(call: CallForm, form: EmailForm, *, nobody_calls: bool = False) -> str:
    newest_first = select(RecordVersion).order_by(RecordVersion.id.desc())
    with read_session(services().engine) as db:
        changes = db.scalars(newest_first.limit(_SHOWN_CHANGES)).all()
        newest_delivery = _newest(db, Delivery)
    return render_template(
        "interactions/interactions.html",
        call=call,
        form=form,
        done=session.pop(_KEY, None),
        fired=session.pop(_FIRED, []),
        nobody_calls=nobody_calls,
        changes=changes,
        newest_delivery=newest_delivery,
        reopens=services().settings.email_reopens_closed_case,
        email_fires=services().settings.email_fires,
        paths={kind.value: path for kind, path in _PATHS.items()},
    )


def _newest(db: Any, model: Any) -> int:
    """The number of the newest row; 0 where there is none. It reads one entry of the key."""
    return db.scalar(select(func.max(model.id))) or 0


def _in_words(filed: Filed) -> list[Any]:
    """What was done: words, and records to link to by kind and number."""
    customer, case = (Kind.CUSTOMER, filed.account), (Kind.CASE, filed.case)
    if filed.followup is None:
        new = [customer, "and"] if filed.new_customer else []
        return ["The email was received; it made", *new, case]
    state = "was closed and is open again" if filed.reopened else "has a follow-up more"
    return [
        "The email was received;",
        case,
        f"{state}. It made",
        (Kind.FOLLOWUP, filed.followup),
    ]
