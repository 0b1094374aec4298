"""What recorded calls of the CRM API say of the ledger's lines about it: one check for each."""

import re
from collections import Counter
from collections.abc import Callable, Iterable

from simulator.crm_api.errors import Refusal
from simulator.evidence.recording import Call, Recording
from simulator.evidence.weighing import Fact, Finding, speaks_to, weigh, weigh_each
from simulator.objects import Kind

_BEGINNING = re.compile(
    r'<\?xml version="1\.0" encoding="ISO-8859-1"\?>\s*<[^>]+>\s*'
    r'<REPLY STATUS="0" ERROR_STR="" ERROR_CODE="0"\s*/?>'
)
_REFUSALS = {
    "number-with-letters": Refusal.VALUE_TEST,
    "unknown-tag": Refusal.UNKNOWN_TAG,
    "tag-twice": Refusal.DUPLICATE_TAG,
    "unknown-object": Refusal.UNKNOWN_OBJECT,
    "no-filter": Refusal.NO_FILTER,
    "raw-ampersand": Refusal.MALFORMED,
}
_PROBES = "It was not asked: see `record --probe`."
_NAMES = ("FIRSTNAME", "LASTNAME", "COMPANY")


def _said(call: Call) -> str:
    """What a reply says, in a few words."""
    if call.reply is None:
        return f"HTTP {call.status}, {call.unkept or 'no REPLY'}"
    if call.failed:
        return f"error {call.code}: {call.reply.get('ERROR_STR', '')}".rstrip(".")
    return f"{len(call.items)} found"


def _sort(calls: Iterable[Call], is_good: Callable[[Call], bool], unseen: str = _PROBES) -> Finding:
    """Each call's reply is evidence for or against."""
    facts = []
    for call in calls:
        what = str(call.kind or "no object of ours")
        facts.append((is_good(call), Fact(call.line, f"{what}, {call.why}: {_said(call)}.")))
    return weigh_each(facts, unseen)


def _succeeds(call: Call) -> bool:
    return call.succeeded


def _fails(call: Call) -> bool:
    return call.failed


@speaks_to("api.wapi-endpoint")
def wapi_endpoint(seen: Recording) -> Finding:
    """/WAPI/wapi.php answers."""
    return _endpoint(seen, "/WAPI/wapi.php")


@speaks_to("api.cc-endpoint")
def cc_endpoint(seen: Recording) -> Finding:
    """/cc/v1/wapi answers."""
    return _endpoint(seen, "/cc/v1/wapi")


def _endpoint(seen: Recording, path: str) -> Finding:
    calls = [
        call
        for call in seen.answered
        if call.endpoint == path and (call.reply is not None or call.status in (404, 405, 415))
    ]
    return _sort(calls, lambda call: call.reply is not None, f"{path} was not called.")


@speaks_to("api.raw-query")
def raw_query(seen: Recording) -> Finding:
    """A raw xml_query is understood."""
    return _sort(seen.probes("raw"), _succeeds)


@speaks_to("api.raw-query-decoded")
def raw_query_decoded(seen: Recording) -> Finding:
    """A raw & cuts the field, so that the rest is an error."""
    return _sort(seen.probes("raw-ampersand"), _fails)


@speaks_to("api.action-case")
def action_case(seen: Recording) -> Finding:
    """A small `get`."""
    return _sort(seen.probes("small-action"), _succeeds)


@speaks_to("api.object-case")
def object_case(seen: Recording) -> Finding:
    """A small `customer` with a small `accountnum`."""
    return _sort(seen.probes("small-object"), _succeeds)


@speaks_to("api.objects")
def objects(seen: Recording) -> Finding:
    """Customer, Case and Task are known."""
    known = (Kind.CUSTOMER, Kind.CASE, Kind.TASK)
    other = (*_REFUSALS, "small-object")
    calls = [c for c in seen.answered if c.kind in known and c.why not in other]
    unknown = _unknown_object(seen)
    calls = [c for c in calls if c.succeeded or c.code in unknown]
    return _sort(calls, _succeeds, "No Customer, Case or Task was asked for.")


@speaks_to("api.followup-object")
def followup_object(seen: Recording) -> Finding:
    """Followup is known."""
    unknown = _unknown_object(seen)
    calls = [c for c in seen.answered if c.kind is Kind.FOLLOWUP and c.why != "no-filter"]
    calls = [c for c in calls if c.succeeded or c.code in unknown]
    return _sort(calls, _succeeds, "No Followup was asked for.")


def _unknown_object(seen: Recording) -> set[str]:
    """The error code of an object that is surely unknown."""
    return {call.code for call in seen.probes("unknown-object") if call.failed}


@speaks_to("api.duplicate-tags")
def duplicate_tags(seen: Recording) -> Finding:
    """A tag given twice."""
    return _sort(seen.probes("tag-twice"), _fails)


@speaks_to("api.reply")
def reply(seen: Recording) -> Finding:
    """Declaration, REPLY with its attributes in order, and nothing in it but ITEM."""
    good, bad = [], []
    for call in seen.answered:
        if call.failed or call.unkept == "too large":
            continue
        others = [] if call.reply is None else [one for one in call.reply if one.tag != "ITEM"]
        if call.status != 200 or not call.body or not _BEGINNING.match(call.body):
            beginning = " ".join((call.body or "").split())[:120]
            bad.append(Fact(call.line, f"HTTP {call.status}: {beginning or call.unkept}"))
        elif others:
            bad.append(Fact(call.line, f"REPLY holds {others[0].tag!s}."))
        else:
            good.append(Fact(call.line, "Declaration, REPLY and its attributes are as known."))
    return weigh(good, bad, "No call was answered.")


@speaks_to("api.root")
def root(seen: Recording) -> Finding:
    """WAPI."""
    roots = [(c.line, str(c.root.tag)) for c in seen.answered if c.root is not None]
    facts = [(tag == "WAPI", Fact(line, f"The root is {tag}.")) for line, tag in roots]
    return weigh_each(facts, "No call was answered.")


@speaks_to("api.nothing-found")
def nothing_found(seen: Recording) -> Finding:
    """A number that no record has; of a kind whose filter by number was seen in clients."""
    asked = [
        call
        for call in seen.answered
        if call.kind in (Kind.CUSTOMER, Kind.CASE)
        and call.asks_for
        and not call.is_about_rights
        and (call.why == "not-found" or (call.succeeded and not call.items))
    ]
    return _sort(
        asked,
        lambda call: (
            call.succeeded
            and call.status == 200
            and call.reply is not None
            and not len(call.reply)
            and not (call.reply.text or "").strip()
        ),
        "No record was asked for that is not there: see `record --probe`.",
    )


@speaks_to("api.error-reply")
def error_reply(seen: Recording) -> Finding:
    """HTTP 200, STATUS -1, a sentence and a number."""

    def as_known(call: Call) -> bool:
        found = call.reply
        return (
            found is not None
            and call.status == 200
            and found.get("STATUS") == "-1"
            and bool(found.get("ERROR_STR"))
            and found.get("ERROR_CODE", "").isdigit()
            and not len(found)
        )

    errors = [c for c in seen.answered if c.failed or (c.why in _REFUSALS and not c.succeeded)]
    return _sort(errors, as_known, "Nothing was answered with an error: see `record --probe`.")


@speaks_to("api.error-codes")
def error_codes(seen: Recording) -> Finding:
    """The numbers of the errors that probes bring about."""
    errors = [call for call in seen.probes(*_REFUSALS) if call.failed]
    return _sort(errors, lambda call: call.code == str(_REFUSALS[call.why].number))


@speaks_to("api.rate-limit")
def rate_limit(seen: Recording) -> Finding:
    """HTTP 429 refutes it; its absence proves little."""
    bad = [Fact(c.line, "HTTP 429 was answered.") for c in seen.calls if c.status == 429]
    minutes = Counter(call.at.replace(second=0, microsecond=0) for call in seen.calls)
    return weigh((), bad, f"{max(minutes.values(), default=0)} calls in a minute were let through.")


@speaks_to("api.row-cap")
def row_cap(seen: Recording) -> Finding:
    """A list was cut that lacks a record which was there before it and after."""
    bad = []
    lists = [c for c in seen.answered if c.succeeded and c.filters and not c.asks_for]
    lists = [c for c in lists if [tag for tag, _ in c.filters] in (["ACCOUNTNUM"], ["CASENUM"])]
    for found in lists:
        tag, number = found.filters[0]
        has = {item.number for item in found.items}
        own = [i for i in seen.items if i.kind is found.kind and i.get(tag) == number]
        before = {item.number for item in own if item.line < found.line}
        after = {item.number for item in own if item.line > found.line}
        if before & after - has:
            sentence = f"A list of {len(has)} lacks a record that was there before and after."
            bad.append(Fact(found.line, sentence))
    longest = max((len(call.items) for call in lists), default=0)
    return weigh((), bad, f"The longest list had {longest} records; none was seen to be cut.")


@speaks_to("api.characters")
def characters(seen: Recording) -> Finding:
    """References in replies, or signs of their loss."""
    by_reference = [call for call in seen.answered if "&#1078;" in (call.body or "")]
    good = [Fact(call.line, "Such a character is a reference.") for call in by_reference]
    bad = [
        Fact(call.line, "The reply is UTF-8, whatever it declares.")
        for call in seen.answered
        if call.bytes == "utf-8" and "8859-1" in (call.body or "")[:100]
    ]
    bad += [
        Fact(item.line, f"{tag} is {item.get(tag)}.")
        for item in seen.items
        for tag in _NAMES
        if "??" in item.get(tag)
    ]
    return weigh(good, bad, "No reply has a character beyond ISO-8859-1.")


@speaks_to("api.filters")
def filters(seen: Recording) -> Finding:
    """All are taken together, and an exact one does not match in part."""

    def as_known(call: Call) -> bool:
        return call.succeeded and not call.items

    calls = [c for c in seen.probes("filters", "part-of-exact") if not c.is_about_rights]
    return _sort(calls, as_known)


@speaks_to("api.more-filters")
def more_filters(seen: Recording) -> Finding:
    """The filters of follow-ups, and of tasks by number."""
    unknown = _unknown_object(seen)
    assumed = (Kind.FOLLOWUP, Kind.TASK)
    calls = [c for c in seen.probes("more-filters", "not-found") if c.kind in assumed]
    calls = [c for c in calls if not c.is_about_rights and c.code not in unknown]
    return _sort(calls, _succeeds)


@speaks_to("api.partial-match")
def partial_match(seen: Recording) -> Finding:
    """The middle of a subject, in other letters."""
    calls = [call for call in seen.probes("part-middle") if call.succeeded]
    return _sort(calls, lambda call: bool(call.items), f"{_PROBES} It needs `--read case:NUMBER`.")


@speaks_to("api.no-filter")
def no_filter(seen: Recording) -> Finding:
    """A GET without any."""
    calls = seen.probes("no-filter")
    return _sort(calls, _fails, "It was not asked: see `record --ask-for-all`.")


@speaks_to("api.unknown-filter")
def unknown_filter(seen: Recording) -> Finding:
    """A tag that no object has."""
    return _sort(seen.probes("unknown-tag"), _fails)


@speaks_to("api.number-filter")
def number_filter(seen: Recording) -> Finding:
    """A number that is a letter."""
    return _sort(seen.probes("number-with-letters"), _fails)
