"""What a failed assertion on deliveries says: pure, from what was wanted and what there is.

In: a filter, deliveries. Out: text: which deliveries come nearest, and where each differs.
"""

from collections.abc import Mapping, Sequence

from simulator.control_api.deliveries import DeliveryOut

_SHOWN = 5


def told(wanted: Mapping[str, str], found: int, expected: str, all_: Sequence[DeliveryOut]) -> str:
    """Why an assertion failed. wanted: fields of a delivery to texts; expected: e.g. `2`."""
    filters = ", ".join(f"{name}={value}" for name, value in wanted.items()) or "no filter"
    lines = [f"{found} deliveries fit ({filters}); {expected} expected."]
    misses = {one.id: _differences(wanted, one) for one in all_}
    nearest = sorted((one for one in all_ if misses[one.id]), key=lambda one: len(misses[one.id]))
    if not all_:
        lines.append(
            "There are no deliveries at all: is a URL set in the box, and did an agent act?"
        )
    elif nearest:
        lines.append(f"Nearest of {len(nearest)} others:")
    for one in nearest[:_SHOWN]:
        lines += [f"  {line_of(one)}", f"    differs in {', '.join(misses[one.id])}"]
    return "\n".join(lines)


def summary(deliveries: Sequence[DeliveryOut]) -> str:
    """All deliveries, one a line, the latest 50."""
    lines = [line_of(one) for one in deliveries[-50:]]
    return "\n".join(lines) if lines else "There were no deliveries."


def line_of(one: DeliveryOut) -> str:
    """One delivery: what, where it stands, what came of its last attempt."""
    parts = [f"delivery {one.id}: {one.kind} {one.event} {one.record_id}", str(one.state)]
    parts.append(f"{one.attempt_count} attempt{'' if one.attempt_count == 1 else 's'}")
    if one.next_attempt_at is not None:
        parts.append(f"next at {one.next_attempt_at.isoformat()}")
    if one.attempts and one.attempts[-1].error:
        parts.append(f"last: {one.attempts[-1].error}")
    return ", ".join(parts)


def _differences(wanted: Mapping[str, str], one: DeliveryOut) -> list[str]:
    return [
        f"{name} (it is {getattr(one, name)})"
        for name, value in wanted.items()
        if str(getattr(one, name)) != value
    ]
