"""The receiver's inbox, as far as pages show it: what an audit entry names as its cause.

In: the id of an inbox row. Out: the row, or None. Read only. The table is the receiver's and is
declared here by what is read of it; in a database that was filled by something else it is missing.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, Text, inspect, select
from sqlalchemy.orm import Session

from external_crm.db import UtcDateTime

_INBOX = Table(
    "inbox_triggers",
    MetaData(),
    Column("id", BigInteger, primary_key=True),
    Column("cause", String),  # trigger, verification, settle
    Column("caused_by", BigInteger),  # the row behind it
    Column("kind", String),
    Column("event", String),
    Column("record_id", String),
    Column("account_id", String),
    Column("case_id", String),
    Column("received_at", UtcDateTime),
    Column("state", String),
    Column("due_at", UtcDateTime),
    Column("attempts", Integer),
    Column("verdict", String),
    Column("finished_at", UtcDateTime),
    Column("last_error", Text),
)


def find(session: Session, trigger_id: int) -> Mapping[str, Any] | None:
    """The columns of one inbox row, or None where there is none, or no inbox."""
    if not inspect(session.connection()).has_table(_INBOX.name):
        return None
    row = session.execute(select(_INBOX).where(_INBOX.c.id == trigger_id)).one_or_none()
    return None if row is None else dict(row._mapping)
