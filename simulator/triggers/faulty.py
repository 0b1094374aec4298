"""Sends a trigger under a fault (simulator/faults): lost, doubled, or not sent at all.

In: the fault that hits the attempt, something that calls the URL once. Out: the Outcome as the
sender sees it. Nothing waits for a deadline that is only played: a lost answer is given up as
soon as the receiver has done its work. Killed here: as in a call without a fault.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

from simulator.faults.models import (
    ConcurrentDuplicate,
    Duplicate,
    LoseAnswer,
    LoseRequest,
    NeverSend,
    Storm,
)
from simulator.faults.registry import Fired
from simulator.triggers.outcome import Outcome

STORM_WIDTH = 16  # copies under way at the same time
Call = Callable[[], Outcome]


def send_under(
    fired: Fired | None, call: Call, timeout_s: float, stopping: Callable[[], bool]
) -> Outcome:
    """What the sender sees of an attempt.

    timeout_s: the deadline that a lost call has missed. stopping: no more copies are wanted.
    """
    if fired is None:
        return call()
    outcome = _send_under(fired, call, timeout_s, stopping)
    return replace(outcome, fault=fired.fault.fault)


def reaches_receiver(fired: Fired | None) -> bool:
    """Whether the receiver hears of the attempt at all."""
    return fired is None or not isinstance(fired.fault, LoseRequest | NeverSend)


def _send_under(
    fired: Fired, call: Call, timeout_s: float, stopping: Callable[[], bool]
) -> Outcome:
    match fired.fault:
        case NeverSend():
            return Outcome(None, f"Never sent ({_name(fired)}).", "", 0.0, retry=False)
        case LoseRequest():
            return _timed_out(fired, Outcome(None, None, "", 0.0), timeout_s)
        case LoseAnswer():
            return _timed_out(fired, call(), timeout_s)
        case Duplicate(count=count):
            outcome = call()
            for _ in range(count):
                if not stopping():
                    call()
            return outcome
        case ConcurrentDuplicate(count=count):
            return _all_at_once(call, count + 1)
        case Storm(count=count):
            with ThreadPoolExecutor(STORM_WIDTH, thread_name_prefix="storm") as pool:
                first = pool.submit(call)
                for _ in range(count):
                    pool.submit(lambda: None if stopping() else call())
            return first.result()
    raise NotImplementedError(f"The fault {fired.fault.fault} does not act on sending.")


def _all_at_once(call: Call, count: int) -> Outcome:
    start = Barrier(count)

    def begin() -> Outcome:
        start.wait()
        return call()

    with ThreadPoolExecutor(count, thread_name_prefix="duplicate") as pool:
        first, *_ = [pool.submit(begin) for _ in range(count)]
    return first.result()


def _timed_out(fired: Fired, really: Outcome, timeout_s: float) -> Outcome:
    """What the sender sees instead of what really came of it."""
    sentence = f"No complete answer within {timeout_s:g} s; the call was given up ({_name(fired)})."
    return replace(really, status=None, error=sentence, reply_excerpt="")


def _name(fired: Fired) -> str:
    return f"fault {fired.id}: {fired.fault.fault}"
