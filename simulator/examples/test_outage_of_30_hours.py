"""A receiver is down for 30 hours: every attempt at its exact time, then exhausted, then healed.

Copy this file into a folder and run `pytest` there. It takes well under a second, because the
simulator's clock stands still and is moved through each moment at which something is due.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import pytest

from simulator import NotInTime, Simulator, delivered

MONDAY = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
# The standard schedule: seconds from the agent's action to each attempt.
SCHEDULE_S = [0, 5, 305, 2105, 9305, 27_305, 63_305, 99_305]


class Receiver:
    """A WSGI app that answers 503 until it is up; yours goes here."""

    up = False

    def __call__(self, environ: object, start_response: Callable[..., object]) -> Iterable[bytes]:
        start_response("200 OK" if self.up else "503 Service Unavailable", [])
        return [b""]


def test_an_outage_of_30_hours(make_crm_sim: Callable[..., Simulator]) -> None:
    sim = make_crm_sim(freeze_at=MONDAY, retry_jitter=0)
    receiver = Receiver()
    sim.triggers.set_all(sim.serve(receiver))
    customer = sim.agent.create_customer(firstname="Ada", lastname="Byron")

    sim.clock.advance(timedelta(hours=30))

    [lost] = sim.deliveries.list(state="exhausted")
    times_s = [(attempt.started_at - MONDAY).total_seconds() for attempt in lost.attempts]
    assert times_s == SCHEDULE_S
    assert {attempt.status for attempt in lost.attempts} == {503}
    with pytest.raises(NotInTime, match="is exhausted after 8 attempts"):
        sim.wait(delivered(customer), timeout_s=0)

    receiver.up = True
    sim.deliveries.redeliver(lost.id)
    sim.wait(delivered(customer))

    healed = sim.deliveries.get(lost.id)
    assert (healed.state, healed.attempts[-1].status) == ("delivered", 200)
    assert healed.attempts[-1].started_at == MONDAY + timedelta(hours=30)
