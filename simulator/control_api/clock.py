"""The clock over the control API: stop it, move it, let it run.

In: an instant, a span, or nothing. Out: where the clock stands, and how many attempts of
deliveries were made on the way, each at its own instant.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from flask import Response
from pydantic import AwareDatetime, BaseModel, Field

from simulator.clock import ClockRefused
from simulator.control_api.frame import Body, control, refusal, reply
from simulator.control_api.problems import ProblemFound
from simulator.db import read_session
from simulator.services import services
from simulator.triggers.playing import AlreadyPlaying, Played
from simulator.waiting import Idle

_LONGEST_S = 3e11  # beyond the year 9999 wherever the clock stands


class RealTime(Body):
    """How long the caller wants to wait."""

    timeout_s: float = Field(
        60, ge=0, le=600, description="Real seconds after which the clock is left where it is."
    )


class Freezing(RealTime):
    """Where to stop."""

    at: AwareDatetime | None = Field(
        None, description="Instant to stand still at, not in the past; without one, now."
    )


class Setting(RealTime):
    """Where to go."""

    at: AwareDatetime = Field(description="Instant to go to, not in the past.")


class Advancing(RealTime):
    """How far to go."""

    by_s: float = Field(
        ge=0, le=_LONGEST_S, allow_inf_nan=False, description="Seconds to go forward."
    )


class ClockOut(BaseModel):
    """Where the clock stands."""

    now: datetime
    frozen: bool = Field(description="Whether it stands still.")


class Moved(ClockOut):
    """Where a move has led."""

    attempts: int = Field(description="Attempts of deliveries that were made on the way.")
    idle: bool = Field(description="Whether no delivery waits any more.")


def _replies(model: type[BaseModel]) -> dict[Any, Any]:
    return {
        "200": model,
        "409": refusal("Another call is moving the clock."),
        "503": refusal("The real time is up; the clock got a part of the way."),
    }


@control.get("/clock", responses={"200": ClockOut})
def show_clock() -> Response:
    """Where the clock stands."""
    return _clock()


@control.post("/clock/freeze", responses=_replies(Moved))
def freeze_clock(body: Freezing) -> Response:
    """Stop the clock; at a later instant after playing all that is due until then."""
    return _moved(lambda: services().player.freeze(body.at, ends_at=_end(body)))


@control.post("/clock/set", responses=_replies(Moved))
def set_clock(body: Setting) -> Response:
    """Go to an instant through every moment at which a delivery is due."""
    return _moved(lambda: services().player.move_to(body.at, ends_at=_end(body)))


@control.post("/clock/advance", responses=_replies(Moved))
def advance_clock(body: Advancing) -> Response:
    """Go forward through every moment at which a delivery is due."""
    by = timedelta(seconds=body.by_s)
    return _moved(lambda: services().player.advance(by, ends_at=_end(body), field="by_s"))


@control.post("/clock/run-until-idle", responses=_replies(Moved))
def run_until_idle(body: RealTime) -> Response:
    """Go on from moment to moment until no delivery waits any more."""
    return _moved(lambda: services().player.run_until_idle(ends_at=_end(body)))


@control.post("/clock/resume", responses=_replies(ClockOut))
def resume_clock() -> Response:
    """Let the clock run at real pace from where it stands."""
    try:
        services().player.resume()
    except AlreadyPlaying as refused:
        raise ProblemFound(409, str(refused)) from refused
    return _clock()


def _end(body: RealTime) -> float:
    return time.monotonic() + body.timeout_s


def _clock() -> Response:
    clock = services().clock
    return reply(ClockOut(now=clock.now(), frozen=clock.frozen))


def _moved(move: Callable[[], Played]) -> Response:
    try:
        played = move()
    except ClockRefused as refused:
        raise ProblemFound(422, str(refused), refused.field) from refused
    except AlreadyPlaying as refused:
        raise ProblemFound(409, str(refused)) from refused
    if not played.complete:
        raise ProblemFound(
            503,
            f"The clock got as far as {played.now.isoformat()} in the real time it was given, "
            f"with {played.attempts} attempts. Call again to go on, or give a longer timeout_s.",
            "timeout_s",
        )
    with read_session(services().engine) as session:
        idle = Idle().is_met(session, services())
    frozen = services().clock.frozen
    return reply(Moved(now=played.now, frozen=frozen, attempts=played.attempts, idle=idle))
