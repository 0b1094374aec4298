"""Believable records: customers, cases, follow-ups and tasks that hang together.

In: a session, how many customers, a seed, now. Out: rows by a silent channel, equal for equal
seed, now and custom fields, an empty database and equal library versions. Killed before the
commit: nothing of the chunk was added.

Faker draws its pools once, and chance composes them: a Faker call for each field of 100,000
customers would take half a minute.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from faker import Faker
from sqlalchemy.orm import Session

from simulator.local_crm import changes, custom_fields, fields, many
from simulator.local_crm.changes import Author
from simulator.local_crm.fields import BY_NAME, MEDIA, Field, FieldType
from simulator.local_crm.first_start import AGENT_COUNT
from simulator.local_crm.models import Origin
from simulator.triggers.urls import Kind

Row = dict[str, Any]
Counts = Counter[Kind]
CHUNK = 1000  # customers whose records are held and written at a time
YEARS = timedelta(days=730)  # customers were imported then; all else happened since
AUTHOR = Author(Origin.CSV, "csv import")
_AGENTS = [f"ag{1001 + number}" for number in range(AGENT_COUNT)]

# Names and texts that show at once where an encoding or an escape is wrong. They come first.
AWKWARD_NAMES = (
    ("Zoë", "Müller-Lüdenscheidt"),
    ("Siobhán", "O'Brien"),
    ("伟", "王"),
    ("Łukasz", "Żółć"),
    ("Ana & Rui", "Conceição"),
    ("Bob <Bobby>", 'D"Angelo'),
    ("Ada 🚀", "Lovelace"),
    ("Нина", "Иванова"),
    ("Percy%20", "Plus+Sign"),
)
AWKWARD_COMPANIES = ("Smith & Sons", "<Brackets> GmbH", "Crème Brûlée SARL", "株式会社サンプル")
SUBJECTS = (
    "Cannot log in",
    "Invoice is wrong",
    "No dial tone on line 2",
    "Voicemail doesn't reach the inbox",
    "Password reset & unlock",
    "Calls drop after 5 < 10 minutes",
    "Adresse à corriger",
    "Wants a quote for 20 more seats",
    "Headset crackles",
    "Contract renewal",
)
NOTES = (
    "Called back, left a message.",
    "Customer confirms: it works again.",
    "Waiting for the carrier's answer.",
    "Sent the document by email.\nAsked for a signature.",
    "Escalated to the second level – see “notes”.",
    "Problème résolu, à vérifier demain.",
)
_CUSTOM_TEXTS = ("gold", "A-7", "renewal", "2nd floor")  # ASCII: a byte is a character
TASK_SUBJECTS = ("Call back", "Send a quote", "Check the invoice", "Arrange a visit", "Follow up")


@dataclass(frozen=True)
class _Pools:
    first_names: list[str]
    last_names: list[str]
    companies: list[str]
    streets: list[str]
    cities: list[tuple[str, str, str]]  # city, state, zip


class FakeData:
    """A source of records: chunk after chunk it hands out the same for the same seed, whatever
    transactions the chunks are committed in. It holds no more than one chunk in memory.
    """

    def __init__(self, customers: int, seed: int, now: datetime, author: Author = AUTHOR) -> None:
        self.customers_left = customers
        self._rng = random.Random(seed)  # noqa: S311 data, no secret
        self._now = now
        self._author = author
        self._pools = _draw_pools()
        self._awkward_names = iter(AWKWARD_NAMES)

    def add_chunk(self, session: Session, *, customers_only: bool = False) -> Counts:
        """How many records of each kind were added: up to 1,000 customers and what is theirs."""
        count = min(CHUNK, self.customers_left)
        self.customers_left -= count
        rng, now = self._rng, self._now
        customers = list(_customers(session, rng, self._pools, self._awkward_names, count))
        rows = {Kind.CUSTOMER: customers}
        if not customers_only:
            rows[Kind.CASE] = list(_cases(session, rng, customers, now))
            rows[Kind.FOLLOWUP] = list(_followups(session, rng, rows[Kind.CASE], now))
            rows[Kind.TASK] = list(_tasks(session, rng, customers, now))
        # Customers were there before all that happened to them.
        added_at = now if customers_only else now - YEARS
        for kind, of_kind in rows.items():
            _fill_custom_fields(rng, of_kind, custom_fields.of_kind(session, kind), now)
            many.create_many(session, kind, of_kind, self._author, added_at)
        return Counter({kind: len(of_kind) for kind, of_kind in rows.items()})


def add_fake_data(session: Session, customers: int, seed: int, now: datetime) -> Counts:
    """How many records of each kind were added: to 200 customers about 300 cases, 300
    follow-ups and 200 tasks, all in the session's transaction.
    """
    source = FakeData(customers, seed, now)
    added: Counts = Counter()
    while source.customers_left:
        added += source.add_chunk(session)
    return added


def _draw_pools() -> _Pools:
    fake = Faker("en_US")
    fake.seed_instance(8)  # the pools are always the same; the seed chooses from them
    return _Pools(
        first_names=[fake.first_name() for _ in range(150)],
        last_names=[fake.last_name() for _ in range(250)],
        companies=[fake.company()[:50] for _ in range(120)],
        streets=[fake.street_address()[:50] for _ in range(200)],
        cities=[(fake.city(), fake.state(), fake.postcode()) for _ in range(100)],
    )


def _customers(
    session: Session,
    rng: random.Random,
    pools: _Pools,
    awkward_names: Iterator[tuple[str, str]],
    count: int,
) -> Iterator[Row]:
    first_number = changes.next_numbers(session, Kind.CUSTOMER, count)
    for position in range(count):
        first, last = next(awkward_names, None) or (
            rng.choice(pools.first_names),
            rng.choice(pools.last_names),
        )
        company = rng.choice(AWKWARD_COMPANIES if rng.random() < 0.1 else pools.companies)
        account = str(first_number + position)
        second_address = rng.random() < 0.2
        yield {
            "accountnum": account,
            "firstname": first,
            "lastname": last,
            "company": company,
            "pbx": rng.choice(("", "", "main", "branch")),
            "comments": rng.choice(("", "", *NOTES)),
            "customertype": _pick(rng, Kind.CUSTOMER, "customertype"),
            # The number keeps emails unique; some customers have none.
            "email": "" if rng.random() < 0.1 else f"{_ascii(first, last)}.{account}@example.com",
            "voice": _phone(rng),
            "alternative": rng.choice(("", _phone(rng))),
            "fax": rng.choice(("", "", _phone(rng))),
            **_address(rng, pools, "addr1", filled=True),
            **_address(rng, pools, "addr2", filled=second_address),
            "custom_fields": {},
        }


def _address(rng: random.Random, pools: _Pools, prefix: str, *, filled: bool) -> Row:
    city, state, postcode = rng.choice(pools.cities) if filled else ("", "", "")
    return {
        f"{prefix}str1": rng.choice(pools.streets) if filled else "",
        f"{prefix}str2": rng.choice(("", "", "Floor 2", "c/o Façade & Co.")) if filled else "",
        f"{prefix}city": city,
        f"{prefix}state": state,
        f"{prefix}zip": postcode,
        f"{prefix}country": "USA" if filled else "",
    }


def _cases(
    session: Session, rng: random.Random, customers: list[Row], now: datetime
) -> Iterator[Row]:
    owners = [row for row in customers for _ in range(rng.choice((0, 1, 1, 2, 2, 3)))]
    first_number = changes.next_numbers(session, Kind.CASE, len(owners))
    for number, owner in enumerate(owners, first_number):
        opened_at = _between(rng, now - YEARS, now)
        status = _pick(rng, Kind.CASE, "status")
        closed_at = _between(rng, opened_at, now) if status == "Closed" else None
        assigned_to = rng.choice(("", *_AGENTS))
        assigned_at = _between(rng, opened_at, closed_at or now) if assigned_to else None
        creator = rng.choice(_AGENTS)
        yield {
            "casenum": str(number),
            "accountnum": owner["accountnum"],
            "subject": rng.choice(SUBJECTS),
            "description": " ".join(rng.sample(NOTES, 2)),
            "status": status,
            **{
                name: _pick(rng, Kind.CASE, name)
                for name in ("priority", "severity", "category", "project", "visibility")
            },
            "mediatype": rng.choice(MEDIA),
            "assignedto": assigned_to,
            "assigneddate": assigned_at,
            "createdby": creator,
            "createddate": opened_at,
            "closedby": (assigned_to or creator) if closed_at else "",
            "closeddate": closed_at,
            "lastactdate": closed_at or _between(rng, assigned_at or opened_at, now),
            "custom_fields": {},
        }


def _followups(
    session: Session, rng: random.Random, cases: list[Row], now: datetime
) -> Iterator[Row]:
    parents = [row for row in cases for _ in range(rng.choice((0, 1, 1, 2)))]
    first_number = changes.next_numbers(session, Kind.FOLLOWUP, len(parents))
    for number, parent in enumerate(parents, first_number):
        yield {
            "followupnum": str(number),
            "casenum": parent["casenum"],
            "accountnum": parent["accountnum"],
            "subject": f"Re: {parent['subject']}",
            "body": rng.choice(NOTES),
            "direction": _pick(rng, Kind.FOLLOWUP, "direction"),
            "mediatype": rng.choice(MEDIA),
            "visibility": parent["visibility"],
            "createdby": rng.choice(_AGENTS),
            "createddate": _between(rng, parent["createddate"], parent["closeddate"] or now),
            "custom_fields": {},
        }


def _tasks(
    session: Session, rng: random.Random, customers: list[Row], now: datetime
) -> Iterator[Row]:
    owners = [row for row in customers for _ in range(rng.choice((0, 1, 1, 2)))]
    first_number = changes.next_numbers(session, Kind.TASK, len(owners))
    for number, owner in enumerate(owners, first_number):
        created_at = _between(rng, now - YEARS, now)
        due_at = created_at.replace(second=0, microsecond=0) + timedelta(hours=rng.randint(1, 240))
        yield {
            "tasknum": str(number),
            "accountnum": owner["accountnum"],
            "subject": f"{rng.choice(TASK_SUBJECTS)}: {owner['firstname']} {owner['lastname']}",
            "description": rng.choice(NOTES),
            "task_status": _pick(rng, Kind.TASK, "task_status"),
            "assignedto": rng.choice(_AGENTS),
            "call_type": "DAA",
            "media_type": rng.choice(MEDIA),
            "middleware_url": "",
            "phone": owner["voice"],
            "email": owner["email"],
            "duedate": due_at if rng.random() < 0.8 else None,
            "createdby": rng.choice(_AGENTS),
            "createddate": created_at,
            "lastmoddate": _between(rng, created_at, now),
            "transactionid": "",
            "parenttasknum": "",
            "custom_fields": {},
        }


def _fill_custom_fields(
    rng: random.Random, rows: list[Row], custom: Sequence[Field], now: datetime
) -> None:
    for row in rows if custom else ():
        row["custom_fields"] = {field.name: _custom_value(rng, field, now) for field in custom}


def _custom_value(rng: random.Random, field: Field, now: datetime) -> str:
    """A value that the field's rules allow."""
    if field.type is FieldType.PICK:
        return rng.choice(field.choices)
    if field.type is FieldType.DATE:
        return fields.wire_date(_between(rng, now - YEARS, now))
    most = field.max_length or 0
    if field.type is FieldType.NUMBER:
        return str(rng.randrange(10 ** min(most, 6)))
    if field.type is FieldType.URL:
        url = f"https://example.com/{rng.randrange(1000)}"
        return url if len(url) <= most else field.default or "ftp://x"
    return rng.choice(_CUSTOM_TEXTS)[:most]


def _pick(rng: random.Random, kind: Kind, name: str) -> str:
    return rng.choice(BY_NAME[kind][name].choices)


def _between(rng: random.Random, earliest: datetime, latest: datetime) -> datetime:
    """An instant in the span, to the second where the span allows it."""
    span_s = int((latest - earliest).total_seconds())
    return earliest + timedelta(seconds=rng.randint(0, span_s))


def _phone(rng: random.Random) -> str:
    return f"+1 555 01{rng.randint(0, 99):02d} {rng.randint(0, 9999):04d}"


def _ascii(first: str, last: str) -> str:
    letters = "".join(
        c for c in f"{first}.{last}".lower() if c == "." or (c.isascii() and c.isalpha())
    )
    return letters.strip(".") or "customer"
