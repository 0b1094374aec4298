"""What a new tenant has before anyone works in it: agents, and CRM API access as in the settings.

In: a session, settings. Out: rows, only where there are none: later starts change nothing.
Killed before the commit: the next start does it.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from simulator.local_crm.models import Agent, ApiAccess
from simulator.local_crm.secrets import hash_secret
from simulator.settings import Settings
from simulator.triggers.urls import Kind

AGENT_COUNT = 5
# Followup has no Modify, and the CRM API cannot delete (wire: CRM API tab reference).
ALL_RIGHTS = [
    f"{kind}:{right}"
    for kind in Kind
    for right in ("Add", "Modify", "Get")
    if (kind, right) != (Kind.FOLLOWUP, "Modify")
]


def fill_at_first_start(session: Session, settings: Settings) -> None:
    """Five agents and the row behind Integration > CRM API, if they are not there yet."""
    if session.scalar(select(Agent).limit(1)) is None:
        session.add_all(
            Agent(agent_id=f"ag{1000 + number}", name=f"Agent {number}")
            for number in range(1, AGENT_COUNT + 1)
        )
    if session.get(ApiAccess, 1) is None:
        quickly = settings.ephemeral
        session.add(
            ApiAccess(
                id=1,
                enabled=True,
                tenant=settings.tenant,
                username=settings.api_username,
                password_hash=hash_secret(
                    settings.api_password.get_secret_value(), quickly=quickly
                ),
                api_key_hash=hash_secret(settings.api_key.get_secret_value(), quickly=quickly),
                used_identity="ag1001",
                rights=ALL_RIGHTS,
            )
        )
