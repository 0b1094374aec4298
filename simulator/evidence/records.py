"""What recorded records say of the ledger's lines about them: one check for each line."""

import re
from collections import defaultdict
from collections.abc import Iterable

from simulator.evidence.recording import Item, Recording
from simulator.evidence.weighing import Fact, Finding, speaks_to, weigh, weigh_each
from simulator.local_crm.fields import FIELDS, FieldClass
from simulator.objects import Kind

_NUMBERS = ("ACCOUNTNUM", "CASENUM", "FOLLOWUPNUM", "TASKNUM")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# What a recording makes of a date, by how it can be read.
_MONTH_FIRST, _EITHER_FIRST = "12311999", "01021999"
_SUFFIX = ".NAME"


def _of(seen: Recording, *kinds: Kind) -> list[Item]:
    return [item for item in seen.items if item.kind in kinds]


def _tags(item: Item) -> list[str]:
    return [tag for tag, _ in item.fields]


def _known(kind: Kind) -> list[str]:
    return [field.tag for field in FIELDS[kind] if field.field_class is not FieldClass.CUSTOM]


def _in_order(seen: Recording, kind: Kind) -> Finding:
    expected = _known(kind)
    good, bad = [], []
    for item in _of(seen, kind):
        pairs = zip(expected, _tags(item), strict=False)
        wrong = [f"{came} stands where {known} is known" for known, came in pairs if came != known]
        missing = expected[len(item.fields) :]
        if wrong or missing:
            bad.append(Fact(item.line, f"{wrong[0] if wrong else f'{missing[0]} is missing'}."))
        else:
            good.append(Fact(item.line, f"The {len(expected)} tags of a {kind} in their order."))
    return weigh(good, bad, f"No {kind} was read.")


@speaks_to("records.customer-tags")
def customer_tags(seen: Recording) -> Finding:
    """Tags and their order."""
    return _in_order(seen, Kind.CUSTOMER)


@speaks_to("records.case-tags")
def case_tags(seen: Recording) -> Finding:
    """Tags and their order."""
    return _in_order(seen, Kind.CASE)


@speaks_to("records.followup-tags")
def followup_tags(seen: Recording) -> Finding:
    """Tags and their order."""
    return _in_order(seen, Kind.FOLLOWUP)


@speaks_to("records.task-reply-tags")
def task_reply_tags(seen: Recording) -> Finding:
    """Tags and their order."""
    return _in_order(seen, Kind.TASK)


@speaks_to("records.custom-tag")
def custom_tag(seen: Recording) -> Finding:
    """A case's have a suffix, others' have none."""
    facts = [
        (
            tag.endswith(_SUFFIX) == (item.kind is Kind.CASE),
            Fact(item.line, f"A {item.kind} has the tag {tag}."),
        )
        for item in seen.items
        for tag in _tags(item)
        if tag not in _known(item.kind)
    ]
    return weigh_each(facts, "No record has a custom field.")


@speaks_to("records.dates")
def dates(seen: Recording) -> Finding:
    """Days that can be read in one way only tell; the others fit."""
    good, bad, both = [], [], 0
    for item, tag, text in _dated(seen):
        day = text[:8] if tag == "DUEDATE" else text
        if day == _MONTH_FIRST:
            good.append(Fact(item.line, f"{tag} can be read as MMDDYYYY only."))
        elif day == _EITHER_FIRST:
            both += 1
        else:
            bad.append(Fact(item.line, f"{tag} is written like {text}."))
    return weigh(good, bad, f"{both} dates fit; no day after the 12th was seen.")


@speaks_to("records.duedate")
def duedate(seen: Recording) -> Finding:
    """Twelve digits."""
    facts = [
        (len(text) == 12, Fact(item.line, f"DUEDATE is written like {text}."))
        for item, tag, text in _dated(seen)
        if tag == "DUEDATE"
    ]
    return weigh_each(facts, "No task has a due date.")


@speaks_to("records.no-order")
def no_order(seen: Recording) -> Finding:
    """A time beside the day of the last change would order versions."""
    facts = [
        (len(text) == 8, Fact(item.line, f"{tag} is written like {text}."))
        for item, tag, text in _dated(seen)
        if tag in ("LASTACTDATE", "LASTMODDATE")
    ]
    return weigh_each(facts, "No record with a date of its last change was read.")


def _dated(seen: Recording) -> Iterable[tuple[Item, str, str]]:
    for item in seen.items:
        for tag, text in item.fields:
            if tag.endswith("DATE") and tag in _known(item.kind) and text:
                yield item, tag, text


@speaks_to("records.empty-element")
def empty_element(seen: Recording) -> Finding:
    """All records of a kind have the same tags, some of them empty."""
    good, bad = [], []
    tags: dict[Kind, set[str]] = defaultdict(set)
    for item in seen.items:
        tags[item.kind] |= set(_tags(item)) & set(_known(item.kind))
    for item in seen.items:
        left_out = tags[item.kind] - set(_tags(item))
        if left_out:
            bad.append(Fact(item.line, f"{min(left_out)} is left out, which others have."))
        elif any(not text for _, text in item.fields):
            good.append(Fact(item.line, "Empty values are empty elements."))
    return weigh(good, bad, "No record with an empty value was read.")


@speaks_to("records.lengths")
def lengths(seen: Recording) -> Finding:
    """A longer value than the page allows refutes it."""
    limits = {f.tag: f.max_length for f in FIELDS[Kind.CUSTOMER] if f.max_length}
    del limits["EMAIL"]
    return _too_long(_of(seen, Kind.CUSTOMER), limits)


@speaks_to("records.email-length")
def email_length(seen: Recording) -> Finding:
    """One between 41 and 254 tells."""
    good = [
        Fact(item.line, f"An email has {len(item.get('EMAIL'))} characters.")
        for item in _of(seen, Kind.CUSTOMER)
        if 40 < len(item.get("EMAIL")) <= 254
    ]
    found = _too_long(_of(seen, Kind.CUSTOMER), {"EMAIL": 254})
    return found if found.line is not None or not good else weigh(good, (), "")


@speaks_to("records.custom-lengths")
def custom_lengths(seen: Recording) -> Finding:
    """A custom text of more than 4000 bytes."""
    limits = {tag: 4000 for i in seen.items for tag in _tags(i) if tag not in _known(i.kind)}
    return _too_long(seen.items, limits)


def _too_long(items: Iterable[Item], limits: dict[str, int]) -> Finding:
    bad, longest = [], 0.0
    for item in items:
        for tag, text in item.fields:
            limit = limits.get(tag)
            if limit and len(text) > limit:
                bad.append(Fact(item.line, f"{tag} has {len(text)} characters, {limit} are known."))
            elif limit:
                longest = max(longest, len(text) / limit)
    unseen = f"The longest value has {longest:.0%} of its limit." if longest else "There is none."
    return weigh((), bad, unseen)


@speaks_to("records.names-required")
def names_required(seen: Recording) -> Finding:
    """A customer without a name refutes it."""
    customers = _of(seen, Kind.CUSTOMER)
    bad = [
        Fact(item.line, f"{tag} is empty.")
        for item in customers
        for tag in ("FIRSTNAME", "LASTNAME")
        if tag in _tags(item) and not item.get(tag)
    ]
    return weigh((), bad, f"All of {len(customers)} customers have both names.")


@speaks_to("records.email-optional")
def email_optional(seen: Recording) -> Finding:
    """Two customers without one."""
    without = {i.number: i for i in _of(seen, Kind.CUSTOMER) if not i.get("EMAIL")}
    good = [Fact(item.line, "A customer has no email.") for item in without.values()]
    return weigh(good if len(good) > 1 else (), (), f"{len(without)} customers have no email.")


@speaks_to("records.parents")
def parents(seen: Recording) -> Finding:
    """A record names the parents that its trigger names."""
    good, bad = [], []
    named = {(t.kind, t.number): dict(t.ids) for t in seen.triggers if t.kind}
    for item in _of(seen, Kind.CASE, Kind.FOLLOWUP, Kind.TASK):
        tags = ("ACCOUNTNUM", "CASENUM") if item.kind is Kind.FOLLOWUP else ("ACCOUNTNUM",)
        ids = named.get((item.kind, item.number), {})
        for tag, parameter in zip(tags, ("AccountID", "CaseID"), strict=False):
            if not item.get(tag):
                bad.append(Fact(item.line, f"A {item.kind} has no {tag}."))
            elif ids.get(parameter, item.get(tag)) != item.get(tag):
                bad.append(Fact(item.line, f"{tag} is not the {parameter} of its trigger."))
            else:
                good.append(Fact(item.line, f"A {item.kind} names its {tag}."))
    return weigh(good, bad, "No case, follow-up or task was read.")


@speaks_to("records.decimal-numbers")
def decimal_numbers(seen: Recording) -> Finding:
    """Digits alone."""
    facts = [
        (number.isdigit(), Fact(line, f"{where} is written like {number}."))
        for line, where, number in _numbers(seen)
        if where in ("AccountID", "CaseID", "ACCOUNTNUM", "CASENUM")
    ]
    return weigh_each(facts, "No number was seen.")


@speaks_to("records.numbers-in-sequence")
def numbers_in_sequence(seen: Recording) -> Finding:
    """None below 10000000; each that is created is above the one before."""
    bad = [
        Fact(line, f"{where} has {len(number)} digits.")
        for line, where, number in _numbers(seen)
        if number.isdigit() and len(number) < 8
    ]
    good = [
        Fact(t.line, f"A {t.kind} that was created is {t.step} above the one before.")
        for t in seen.triggers
        if t.step is not None and t.step > 0
    ]
    return weigh(good, bad, "No two records of a kind were created.")


@speaks_to("records.opaque-ids")
def opaque_ids(seen: Recording) -> Finding:
    """Characters and length of the ids."""
    facts = [
        (bool(_ID.fullmatch(number)), Fact(line, f"{where} is written like {number}."))
        for line, where, number in _numbers(seen)
    ]
    return weigh_each(facts, "No number was seen.")


def _numbers(seen: Recording) -> Iterable[tuple[int, str, str]]:
    """Numbers of records, and where they stand."""
    for trigger in seen.triggers:
        for name, value in trigger.ids:
            yield trigger.line, name, value
    for item in seen.items:
        for tag, text in item.fields:
            if tag in _NUMBERS and text:
                yield item.line, tag, text
