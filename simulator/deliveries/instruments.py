"""What stands beside the deliveries: the clock, whether anything is sent, and faults.

In: an operator's request. Out: a page, a part of one that keeps it current, or a redirect. Each
button does what the control API's call of that name does, by the same functions; what it refuses
stands beside the field. Where a control token is set, it is asked for first.
"""

import time
from collections.abc import Callable
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from simulator.clock import ClockRefused
from simulator.deliveries.access import ask_for_token, let_in
from simulator.deliveries.forms import AdvanceForm, TokenForm, fault_form, typed_fault
from simulator.faults.describe import effect
from simulator.faults.models import FAULTS, Fault, Where
from simulator.faults.registry import FaultNotFound, TooManyFaults
from simulator.services import services
from simulator.triggers.playing import AlreadyPlaying, Played
from simulator.web import shown_instant

blueprint = Blueprint("instruments", __name__, url_prefix="/deliveries")
blueprint.before_request(ask_for_token)
_MOVE_S = 30.0  # real seconds; a person looks at a page that loads
_BACK = {"deliveries": "deliveries.show_list", "faults": "instruments.show_faults"}
Page = str | tuple[str, int] | Response


@blueprint.get("/unlock")
def show_unlock() -> Page:
    """Ask for the control token."""
    return render_template("deliveries/unlock.html", form=TokenForm())


@blueprint.post("/unlock")
def unlock() -> Page:
    """Let a browser in that knows the token."""
    form = TokenForm(formdata=request.form)
    if not let_in(form.token.data or ""):
        form.token.errors = ["This is not the control token, the one in CRM_SIM_CONTROL_TOKEN."]
        return render_template("deliveries/unlock.html", form=form), 403
    return redirect(url_for("deliveries.show_list"))


@blueprint.get("/instruments/live")
def show_live() -> str:
    """The changing part of what stands beside the list."""
    return render_template("deliveries/_instruments.html", **standing())


@blueprint.post("/clock/freeze")
def freeze() -> Page:
    """Stop the clock."""
    return _move(lambda: services().player.freeze(ends_at=_end()))


@blueprint.post("/clock/advance")
def advance() -> Page:
    """Go forward through every moment at which a delivery is due."""
    form = AdvanceForm(formdata=request.form)
    try:
        by = form.span()
        return _move(lambda: services().player.advance(by, ends_at=_end(), field="by"))
    except ClockRefused as refused:
        form.by.errors = [str(refused)]
        return render_template("deliveries/clock.html", form=form, **standing()), 422


@blueprint.post("/clock/run-until-idle")
def run_until_idle() -> Page:
    """Go on from moment to moment until no delivery waits any more."""
    return _move(lambda: services().player.run_until_idle(ends_at=_end()))


@blueprint.post("/clock/resume")
def resume() -> Page:
    """Let the clock run."""
    try:
        services().player.resume()
    except AlreadyPlaying as refused:
        flash(str(refused), "danger")
    else:
        flash("The clock runs.", "success")
    return _back()


@blueprint.post("/pause")
def pause() -> Page:
    """Send nothing until it is resumed."""
    services().pause_deliveries()
    flash("Nothing is sent until you resume.", "success")
    return _back()


@blueprint.post("/resume")
def resume_sending() -> Page:
    """Send what is due again."""
    services().resume_deliveries()
    flash("What is due is sent again.", "success")
    return _back()


@blueprint.get("/faults")
def show_faults() -> Page:
    """Faults in force and those that were, and all that can be added."""
    kinds: dict[Where, list[tuple[str, str]]] = {where: [] for where in Where}
    for name, fault in FAULTS.items():
        kinds[fault.where].append((name, effect(fault)))
    return render_template("deliveries/faults.html", kinds=kinds, faults=services().faults.all())


@blueprint.get("/faults/live")
def show_live_faults() -> str:
    """The changing part of the page of faults."""
    return render_template("deliveries/_faults.html", faults=services().faults.all())


@blueprint.get("/faults/new/<name>")
def show_new_fault(name: str) -> Page:
    """The parameters of a fault."""
    fault = _known(name)
    return _fault_page(name, fault, fault_form(fault))


@blueprint.post("/faults/new/<name>")
def add_fault(name: str) -> Page:
    """Let something break."""
    fault = _known(name)
    form = fault_form(fault, request.form)
    wanted = typed_fault(fault, form)
    if wanted is None:
        return _fault_page(name, fault, form), 422
    try:
        added = services().faults.add(wanted)
    except TooManyFaults as error:
        return _fault_page(name, fault, form, str(error)), 409
    flash(f"Fault {added.id} ({name}) is in force.", "success")
    return redirect(url_for(".show_faults"))


@blueprint.post("/faults/<int:fault_id>/clear")
def clear_fault(fault_id: int) -> Page:
    """Take one fault away; what it holds is let go."""
    try:
        services().faults.clear(fault_id)
    except FaultNotFound as error:
        flash(str(error), "info")
    else:
        flash(f"Fault {fault_id} is cleared.", "success")
    return _back()


@blueprint.post("/faults/clear")
def clear_faults() -> Page:
    """Take all faults away; what they hold is let go."""
    count = services().faults.clear_all()
    flash(f"{count} fault{'' if count == 1 else 's'} in force cleared.", "success")
    return _back()


def standing() -> dict[str, Any]:
    """What the panel shows: clock, sending, faults in force."""
    clock = services().clock
    return {
        "now": clock.now(),
        "frozen": clock.frozen,
        "paused": services().dispatcher.paused,
        "faults": [one for one in services().faults.all() if one.in_force],
    }


def _move(move: Callable[[], Played]) -> Page:
    """Raises ClockRefused where a field can be blamed."""
    try:
        played = move()
    except AlreadyPlaying as refused:
        flash(str(refused), "danger")
        return _back()
    attempts = f"{played.attempts} attempt{'' if played.attempts == 1 else 's'}"
    if played.complete:
        flash(f"The clock got to {shown_instant(played.now)}, with {attempts}.", "success")
    else:
        flash(
            f"The clock got as far as {shown_instant(played.now)} within {_MOVE_S:g} s, with "
            f"{attempts}. Do the same again to go on.",
            "warning",
        )
    return _back()


def _end() -> float:
    return time.monotonic() + _MOVE_S


def _back() -> Response:
    """To the page whose button it was."""
    return redirect(url_for(_BACK.get(request.form.get("back", ""), "deliveries.show_list")))


def _known(name: str) -> type[Fault]:
    if name not in FAULTS:
        abort(404, f"There is no fault {name}. The page Faults lists all there are.")
    return FAULTS[name]


def _fault_page(name: str, fault: type[Fault], form: Any, problem: str = "") -> str:
    own = {field for field in fault.model_fields if field not in Fault.model_fields}
    return render_template(
        "deliveries/fault.html",
        name=name,
        where=fault.where,
        effect=effect(fault),
        form=form,
        hints={key: field.description or "" for key, field in fault.model_fields.items()},
        own=own,
        problem=problem,
    )
