"""Every page of the simulator, with all that its address can ask for.

In: an app with records up to number LAST_RECORD and what `long_history` leaves. Out: addresses; and
which pages of the app are not among them, so that a new one is measured from its first day.
"""

import re
from collections.abc import Iterable, Iterator

from flask import Flask

from simulator.agent_console.screens import SCREENS, Screen
from simulator.faults.models import FAULTS
from simulator.local_crm import search

RECORD = 10_000_500  # a number that all kinds have
DEEP = 700  # a position from which every kind still has pages on both sides
FAULT = next(iter(FAULTS))
CUSTOM = "tier"  # a custom field of each kind, see `long_history`
LOAD = DELETION = 1
_NO_PAGES = re.compile(r"/(_sim|WAPI|cc|livez|readyz|metrics)\b|.*/static/")


def addresses(mapping: str) -> list[str]:
    """All of them. mapping: that of an uploaded file's mapping page."""
    return [
        *(address for screen in SCREENS.values() for address in _of_screen(screen)),
        *_SEARCHES,
        *_OTHERS,
        mapping,
    ]


def not_covered(app: Flask, covered: Iterable[str]) -> list[str]:
    """The pages of the app to which none of the addresses leads."""
    where = app.url_map.bind("localhost")
    reached = {where.match(address.partition("?")[0], "GET")[0] for address in covered}
    pages = {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if "GET" in (rule.methods or ()) and not _NO_PAGES.match(rule.rule)
    }
    return sorted(pages - reached)


def _of_screen(screen: Screen) -> Iterator[str]:
    """A kind's lists in every order and searched by every field, and the pages of a record."""
    base = screen.address
    yield from (base, f"{base}?from=end", f"{base}?after={DEEP}~", f"{base}?before={DEEP}~")
    yield from (f"{base}?q={text}" for text in ("a", "no+such+thing", str(RECORD)))
    for field in search.sortable(screen.kind):
        yield f"{base}?sort={field}&after={DEEP}~M"
        yield f"{base}?sort=-{field}&from=end"
    for field in (*search.fields_of(screen.kind), f"custom-{CUSTOM}"):
        yield f"{base}?{field}=A"
        yield f"{base}?{field}=no+such+thing"
    yield f"{base}/new"
    yield from (f"{base}/{RECORD}{page}" for page in ("", "/edit", "/delete"))
    if screen.deletes_many:
        chosen = "&".join(f"chosen={RECORD + n}" for n in range(50))
        yield from (f"{base}/delete-selected?{chosen}", f"{base}/delete-all")


# Of one condition or several, along an index and across it.
_SEARCHES = (
    "/agent/customers?q=smith",
    "/agent/customers?q=john+smith",
    "/agent/customers?lastname=s&sort=lastname",
    "/agent/customers?lastname=s&firstname=j&customertype=Partner",
    "/agent/customers?firstname=a&company=s&sort=-lastname",
    "/agent/customers?company=s&firstname=zz&sort=lastname",
    f"/agent/customers?custom-{CUSTOM}=gold&customertype=Partner&sort=company",
    "/agent/cases?status=Open&priority=High&project=Sales&subject=nothing",
    "/agent/cases?status=Open&priority=High&project=Sales&assignedto=ag1003",
    "/agent/cases?q=can&sort=subject",
    "/agent/tasks?task_status=Pending&assignedto=ag1003&sort=-subject",
)
_OTHERS = (
    "/",
    "/deliveries",
    "/deliveries?from=end",
    "/deliveries?before=20000",
    "/deliveries?after=20000",
    "/deliveries?state=exhausted",
    "/deliveries?kind=Task&from=end",
    "/deliveries?event=Edit&before=20000",
    "/deliveries?state=delivered&kind=Case&event=Delete",
    f"/deliveries?record_id={RECORD}",
    "/deliveries?record_id=none",
    "/deliveries/live",
    "/deliveries/500",
    "/deliveries/500/live",
    "/deliveries/test",
    "/deliveries/instruments/live",
    "/deliveries/events",
    "/deliveries/events?page=999",
    "/deliveries/events?what=record-changed",
    "/deliveries/events/live",
    "/deliveries/journal",
    "/deliveries/journal?page=999",
    "/deliveries/journal/live",
    "/deliveries/faults",
    "/deliveries/faults/live",
    f"/deliveries/faults/new/{FAULT}",
    "/deliveries/unlock",
    "/config/integration/crm-triggers",
    "/config/integration/crm-api",
    "/config/crm/fields",
    "/config/crm/fields/customer/new",
    f"/config/crm/fields/customer/{CUSTOM}/edit",
    f"/config/crm/fields/customer/{CUSTOM}/remove",
    "/config/crm/imports",
    "/config/crm/bulk",
    f"/config/crm/loads/{LOAD}",
    f"/config/crm/loads/{LOAD}/progress",
    f"/config/crm/loads/{LOAD}/rejected-rows.csv",
    "/interactions",
    f"/agent/customers/delete-all/{DELETION}",
    f"/agent/customers/delete-all/{DELETION}/progress",
)
