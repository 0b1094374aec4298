"""Auto-log: after an interaction the system creates a task for the customer, silently
(trigger.agent-only).

In: a session, how many interactions or who calls, a source of chance, now. Out: tasks with origin
auto_log, each tied to a customer that exists. The steps do not commit.

    NobodyCalls     there is no customer to call; a sentence
    UnknownCaller   no customer is meant, or more than one; a sentence
"""

import random
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from simulator.local_crm import changes
from simulator.local_crm.changes import Author
from simulator.local_crm.models import Agent, Customer, NumberSequence, Origin
from simulator.triggers.urls import Kind

AUTHOR = Author(Origin.AUTO_LOG, "system")

# What is logged: CALL_TYPE, MEDIA_TYPE and how the subject begins. DAA is what clients show;
# CAMPAIGN is a guess.
INTERACTIONS = (
    ("DAA", "Phone", "Inbound call from"),
    ("DAA", "Phone", "Inbound call from"),
    ("DAA", "Voicemail", "Voicemail from"),
    ("DAA", "Web Callback", "Web callback for"),
    ("CAMPAIGN", "Phone", "Campaign call to"),
)
_NAMED = 5  # customers, where several are meant
_OUTCOMES = ("Answered.", "Answered, to be followed up.", "Customer hung up.", "Transferred.")


class NobodyCalls(Exception):
    """There is no customer; the message says what to do."""


class UnknownCaller(Exception):
    """Whose call it is cannot be said; the message says why and what to do."""


@dataclass(frozen=True)
class Caller:
    """A customer who calls."""

    customer: Customer
    known_by: str  # in words


def auto_log(session: Session, calls: int, rng: random.Random, now: datetime) -> list[str]:
    """The numbers of the tasks that `calls` interactions left. Raises NobodyCalls."""
    agents = list(session.scalars(select(Agent.agent_id).order_by(Agent.agent_id)))
    return [_log_one(session, some_caller(session, rng), agents, rng, now) for _ in range(calls)]


def log_call(session: Session, caller: Caller, rng: random.Random, now: datetime) -> str:
    """The number of the task that a caller's interaction left."""
    agents = list(session.scalars(select(Agent.agent_id).order_by(Agent.agent_id)))
    return _log_one(session, caller, agents, rng, now)


def find_caller(session: Session, number: str) -> Caller:
    """The customer with that account number, or else with that phone number (the field Voice, to
    the letter). Raises UnknownCaller.
    """
    number = number.strip()
    customer = session.get(Customer, number)
    if customer is not None:
        return Caller(customer, "by the account number")
    with_voice = select(Customer).where(Customer.voice == number, Customer.voice != "")
    found = session.scalars(with_voice.order_by(Customer.accountnum).limit(_NAMED + 1)).all()
    if not found:
        raise UnknownCaller(
            f"No customer has the account number or, in Voice, the phone number {number}. Type one "
            "as a customer's page shows it."
        )
    if len(found) > 1:
        more = " and more" if len(found) > _NAMED else ""
        accounts = ", ".join(each.accountnum for each in found[:_NAMED])
        raise UnknownCaller(
            f"Several customers have the phone number {number}: {accounts}{more}. Type the account "
            "number of one of them."
        )
    return Caller(found[0], f"by the phone number {number}")


def _log_one(
    session: Session, caller: Caller, agents: list[str], rng: random.Random, now: datetime
) -> str:
    customer = caller.customer
    call_type, media, beginning = rng.choice(INTERACTIONS)
    minutes, seconds = divmod(rng.randrange(15, 1800), 60)
    task = changes.create(
        session,
        Kind.TASK,
        {
            "accountnum": customer.accountnum,
            "subject": f"{beginning} {customer.firstname} {customer.lastname}",
            "description": f"{rng.choice(_OUTCOMES)} Duration {minutes}:{seconds:02d}.",
            "task_status": "Completed",
            "assignedto": rng.choice(["", *agents]) if media == "Voicemail" else _one(rng, agents),
            "call_type": call_type,
            "media_type": media,
            "phone": customer.voice,
            "email": customer.email,
        },
        AUTHOR,
        now,
        system_values={"transactionid": f"{now:%Y%m%d%H%M%S}{rng.randrange(10**8):08d}"},
    )
    return str(task.ids.task_id)


def _one(rng: random.Random, agents: list[str]) -> str:
    return rng.choice(agents) if agents else ""


def some_caller(session: Session, rng: random.Random) -> Caller:
    """The customer next to a number drawn from all that were handed out: no scan. Raises
    NobodyCalls.
    """
    sequence = session.get(NumberSequence, Kind.CUSTOMER)
    first = changes.first_number(session)
    end = sequence.next_number if sequence else first
    drawn = str(rng.randrange(first, max(end, first + 1)))
    in_order = select(Customer).order_by(Customer.accountnum).limit(1)
    found = session.scalar(in_order.where(Customer.accountnum >= drawn)) or session.scalar(in_order)
    if found is None:
        raise NobodyCalls(
            "There is no customer who could call. Add some first: crm-simulator seed."
        )
    return Caller(found, "drawn from all")
