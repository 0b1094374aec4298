"""Inbound email: a customer writes, and the Local CRM files it, silently (trigger.email-silent).

In: a session, an email, now, whether an email reopens a closed case. Out: a follow-up on the case
that the subject names as `[Case 10000052]`, or a new case, for a new customer where nobody has
the sender's address. The step does not commit; killed before the commit nothing happened.

What an email says is cut to the fields' lengths and freed of what XML cannot carry: nobody is
there to mend it. An address that is none is refused (ChangeRefused).
"""

import re
from dataclasses import dataclass
from datetime import datetime
from email.utils import parseaddr

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from simulator.local_crm import changes, fields
from simulator.local_crm.changes import Author, ChangeRefused
from simulator.local_crm.fields import FieldType
from simulator.local_crm.models import Case, Customer, Origin
from simulator.triggers.urls import Kind

AUTHOR = Author(Origin.EMAIL, "inbound email")
_CASE = re.compile(r"\[case\s+([A-Za-z0-9_.-]{1,64})\]", re.IGNORECASE)
_SPOILT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class InboundEmail:
    """An email as it came; `sender` may have a name: `Zoë Müller <zoe@example.com>`."""

    sender: str
    subject: str
    body: str


@dataclass(frozen=True)
class Filed:
    """Where an email went: to a new case, or as a follow-up to one that was there."""

    account: str
    case: str
    followup: str | None  # None: it became the case itself
    new_customer: bool
    reopened: bool


def receive(session: Session, email: InboundEmail, now: datetime, *, reopens: bool) -> Filed:
    """File an email. Raises ChangeRefused for an address that is none.

    reopens: whether an email to a closed case opens it again; if not, it becomes a new case, as
    does one that names somebody else's case.
    """
    name, address = parseaddr(email.sender)
    if not address:
        raise ChangeRefused({"email": f"The sender {email.sender or '(empty)'} has no address."})
    customer = _customer_with(session, address)
    if customer is None:
        return _open_case(session, _new_customer(session, name, address, now), email, now, new=True)
    case = _named_case(session, email.subject)
    if case is None or case.accountnum != customer.accountnum:
        return _open_case(session, customer.accountnum, email, now)
    closed = case.status == "Closed"
    if closed and not reopens:
        return _open_case(session, customer.accountnum, email, now)
    if closed:
        changes.edit(session, Kind.CASE, case.casenum, {"status": "Open"}, AUTHOR, now)
    followup = changes.create(
        session,
        Kind.FOLLOWUP,
        {
            "casenum": case.casenum,
            **_filed_as(Kind.FOLLOWUP, subject=email.subject, body=email.body),
            "direction": "Inbound",
            "mediatype": "Email",
        },
        AUTHOR,
        now,
    )
    return Filed(case.accountnum, case.casenum, followup.ids.followup_id, False, reopened=closed)


def _open_case(
    session: Session, account: str, email: InboundEmail, now: datetime, *, new: bool = False
) -> Filed:
    case = changes.create(
        session,
        Kind.CASE,
        {
            "accountnum": account,
            **_filed_as(Kind.CASE, subject=email.subject, description=email.body),
            "mediatype": "Email",
        },
        AUTHOR,
        now,
    )
    return Filed(account, str(case.ids.case_id), None, new_customer=new, reopened=False)


def _new_customer(session: Session, name: str, address: str, now: datetime) -> str:
    first, last = _names(name, address)
    values = {**_filed_as(Kind.CUSTOMER, firstname=first, lastname=last), "email": address}
    return changes.create(session, Kind.CUSTOMER, values, AUTHOR, now).ids.account_id


def _customer_with(session: Session, address: str) -> Customer | None:
    if fields.check(fields.BY_NAME[Kind.CUSTOMER]["email"], address):
        return None
    same = func.lower(Customer.email) == func.lower(address)
    return session.scalar(select(Customer).where(same, Customer.email != ""))


def _named_case(session: Session, subject: str) -> Case | None:
    named = _CASE.search(subject)
    return session.get(Case, named[1]) if named else None


def _names(name: str, address: str) -> tuple[str, str]:
    """First and last name, both of them something: from the sender's name, else the address."""
    local, _, domain = address.partition("@")
    words = name.split() or [word.capitalize() for word in re.split(r"[._+-]+", local) if word]
    first = words[0] if words else "Unknown"
    return first, " ".join(words[1:]) or domain or "Unknown"


def _filed_as(kind: Kind, **texts: str) -> dict[str, str]:
    """Texts that their fields take; a required one is never empty."""
    return {name: _fitting(fields.BY_NAME[kind][name], text) for name, text in texts.items()}


def _fitting(field: fields.Field, text: str) -> str:
    plain = _SPOILT.sub("", text.replace("\r\n", "\n"))
    if field.type is not FieldType.LONG_TEXT:
        plain = " ".join(plain.split())
    cut = plain[: field.max_length]
    return cut if cut.strip() or not field.required else f"(no {field.label.lower()})"
