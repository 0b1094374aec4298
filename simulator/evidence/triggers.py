"""What recorded triggers say of the ledger's lines about them: one check for each line."""

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

from simulator.evidence.recording import Recording, Trigger
from simulator.evidence.weighing import Fact, Finding, speaks_to, weigh, weigh_each
from simulator.objects import Kind
from simulator.triggers.backoff import POLICIES

_DOCUMENTED = re.compile(
    r"(?:.*[&?])?AccountID=[^&=?;#]+(?:&CaseID=[^&=?;#]+(?:&FollowupID=[^&=?;#]+)?|&TaskID=[^&=?;#]+)?"
)
_ELEVEN = {
    (kind.lower(), event)
    for kind in Kind
    for event in ("create", "edit", "delete")
    if (kind, event) != (Kind.FOLLOWUP, "edit")
}
_TELLING = re.compile(r"sign|hmac|digest|event|sequence|timestamp|webhook|x-8x8", re.IGNORECASE)
_SOON = timedelta(minutes=15)
_NO_TRIGGER = "No trigger came."
_NOT_REPEATED = "No trigger was answered other than with 200: see `record --refuse-first`."


@speaks_to("trigger.boxes")
def boxes(seen: Recording) -> Finding:
    """A URL that is set is called."""
    good = [Fact(t.line, f"{t.path} was called.") for t in seen.triggers]
    return weigh(good, (), _NO_TRIGGER)


@speaks_to("trigger.eleven-events")
def eleven_events(seen: Recording) -> Finding:
    """Which events of the table came, and none that is unknown."""
    came = {t.box: t.line for t in seen.triggers if t.kind and t.box in _ELEVEN}
    named = ", ".join(" ".join(box).title() for box in sorted(came))
    good = [Fact(min(came.values()), f"{len(came)} of the 11 came: {named}.")] if came else []
    bad = [Fact(t.line, "Its parameters are of no kind.") for t in seen.triggers if not t.kind]
    return weigh(good, bad, "No trigger came to a URL that names its box.")


@speaks_to("trigger.followup-edit-silent")
def followup_edit_silent(seen: Recording) -> Finding:
    """A call of the twelfth box refutes it; its silence cannot be proved."""
    edits = [t for t in seen.triggers if t.box == ("followup", "edit")]
    bad = [Fact(t.line, "The box Followup Edit was called.") for t in edits]
    return weigh((), bad, "The box Followup Edit was not called.")


@speaks_to("trigger.query-string")
def query_string(seen: Recording) -> Finding:
    """Order and spelling."""
    good, bad = [], []
    for trigger in seen.triggers:
        query = trigger.query
        if _DOCUMENTED.fullmatch(query):
            good.append(Fact(trigger.line, f"?{query}"))
        else:
            bad.append(Fact(trigger.line, f"?{query} is none of the four."))
    return weigh(good, bad, _NO_TRIGGER)


@speaks_to("trigger.task-id")
def task_id(seen: Recording) -> Finding:
    """Whether the CRM API knows a task by that number."""
    good, bad = [], []
    for trigger in seen.triggers:
        if trigger.kind is not Kind.TASK or trigger.box[1] == "delete":
            continue
        for call in seen.answered:
            if call.kind is Kind.TASK and call.asks_for == trigger.number and call.succeeded:
                if call.items:
                    good.append(Fact(call.line, "The task is found by its TaskID."))
                else:
                    bad.append(Fact(call.line, "No task has the number of the TaskID."))
    return weigh(good, [] if good else bad, "No task's trigger was followed by a read of it.")


@speaks_to("trigger.existing-query")
def existing_query(seen: Recording) -> Finding:
    """What stands between the box's own query and the ids."""
    own = [(t.line, t.query.partition("AccountID=")[0]) for t in seen.triggers]
    facts = [
        (query.endswith("&"), Fact(line, f"A URL's own query was continued with {query[-1]}."))
        for line, query in own
        if query
    ]
    return weigh_each(facts, "No URL had a query of its own.")


@speaks_to("trigger.percent-encoded")
def percent_encoded(seen: Recording) -> Finding:
    """Only a value with unusual characters tells."""
    values = [(t.line, value) for t in seen.triggers for _, value in t.ids]
    good = [Fact(line, f"{value} is encoded.") for line, value in values if "%" in value]
    bad = [
        Fact(line, f"{value} is not encoded.")
        for line, value in values
        if re.search(r"[^A-Za-z0-9._~%-]", value)
    ]
    return weigh(good, bad, "All numbers are of characters that need no encoding.")


@speaks_to("trigger.method")
def method(seen: Recording) -> Finding:
    """GET or another."""
    facts = [(t.method == "GET", Fact(t.line, f"It came by {t.method}.")) for t in seen.triggers]
    return weigh_each(facts, _NO_TRIGGER)


@speaks_to("trigger.success-is-200")
def success_is_200(seen: Recording) -> Finding:
    """A failed call is repeated; one that was not in a quarter of an hour never will be."""
    good: list[Fact] = []
    bad: list[Fact] = []
    for calls in _by_url(seen).values():
        good += _repeats(calls)
        last = calls[-1]
        if len(calls) == 1 and last.status != 200 and seen.ended_at > last.at + _SOON:
            bad.append(Fact(last.line, f"It was answered {last.status} and not called again."))
    return weigh(good, bad, _NOT_REPEATED)


@speaks_to("trigger.failures")
def failures(seen: Recording) -> Finding:
    """Which answers made 8x8 call again."""
    return weigh(_all_repeats(seen), (), _NOT_REPEATED)


@speaks_to("trigger.may-repeat")
def may_repeat(seen: Recording) -> Finding:
    """The same call twice."""
    return weigh(_all_repeats(seen), (), _NOT_REPEATED)


@speaks_to("trigger.retry-schedule")
def retry_schedule(seen: Recording) -> Finding:
    """The times between the calls of one trigger are a part of the schedule."""
    delays = POLICIES["standard"].delays_s
    good, bad = [], []
    for calls in _by_url(seen).values():
        waits = [after.after_s or 0.0 for before, after in pairwise(calls) if before.status != 200]
        if not waits:
            continue
        told = ", ".join(f"{wait:g} s" for wait in waits)
        places = range(len(delays) - len(waits) + 1)
        if any(all(map(_fits, delays[place:], waits)) for place in places):
            good.append(Fact(calls[0].line, f"It was called again after {told}."))
        else:
            ours = ", ".join(f"{delay:g}" for delay in delays)
            bad.append(Fact(calls[0].line, f"It was called again after {told}, not {ours}."))
    return weigh(good, bad, _NOT_REPEATED)


@speaks_to("trigger.event-not-sent")
def event_not_sent(seen: Recording) -> Finding:
    """No parameter beside the ids."""
    good, bad = [], []
    for trigger in seen.triggers:
        behind = re.sub(r"^(.*?)(?=AccountID=)", "", trigger.query)
        extra = [n for n in re.findall(r"([^&=?;]+)=", behind) if n not in dict(trigger.ids)]
        if extra:
            bad.append(Fact(trigger.line, f"It has a parameter {extra[0]}."))
        else:
            good.append(Fact(trigger.line, "It has no parameter but the ids."))
    return weigh(good, bad, _NO_TRIGGER)


@speaks_to("trigger.bare")
def bare(seen: Recording) -> Finding:
    """No body, no header and no second record."""
    good, bad = [], []
    for trigger in seen.triggers:
        telling = [n for n in (*trigger.headers, *trigger.other_headers) if _TELLING.search(n)]
        if trigger.body_bytes:
            bad.append(Fact(trigger.line, f"It has a body of {trigger.body_bytes} bytes."))
        elif telling:
            bad.append(Fact(trigger.line, f"It has a header {telling[0]}."))
        elif len(trigger.ids) != len(dict(trigger.ids)):
            bad.append(Fact(trigger.line, "It names several records."))
        else:
            names = ", ".join(sorted({*trigger.headers, *trigger.other_headers}))
            good.append(Fact(trigger.line, f"No body; headers: {names}."))
    return weigh(good, bad, _NO_TRIGGER)


@speaks_to("exchange.steps")
def steps(seen: Recording) -> Finding:
    """A trigger names a record that the CRM API then shows."""
    shown = {(item.kind, item.number): item for item in seen.items}
    good = [
        Fact(shown[t.kind, t.number].line, f"A {t.kind} that a trigger named was read.")
        for t in seen.triggers
        if t.kind and (t.kind, t.number) in shown
    ]
    return weigh(good, (), "No record that a trigger named was found.")


def _by_url(seen: Recording) -> dict[tuple[str, str], list[Trigger]]:
    found = defaultdict(list)
    for trigger in seen.triggers:
        found[trigger.path, trigger.query].append(trigger)
    return found


def _repeats(calls: list[Trigger]) -> Iterator[Fact]:
    for before, after in pairwise(calls):
        if before.status != 200:
            yield Fact(after.line, f"It was answered {before.status} and called again.")


def _all_repeats(seen: Recording) -> list[Fact]:
    return [fact for calls in _by_url(seen).values() for fact in _repeats(calls)]


def _fits(delay_s: float, wait_s: float) -> bool:
    """A delay, varied, and the time that a call and a look at the clock take."""
    return delay_s * 0.85 - 0.5 <= wait_s <= delay_s * 1.15 + 2
