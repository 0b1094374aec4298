"""Who may call the CRM API: the one row behind Integration > CRM API against what a caller gives.

In: a connection, the row and the caller's credentials. Out: yes or no; which of them was wrong is
not said.
"""

import hmac
from dataclasses import dataclass

from sqlalchemy import Connection, select

from simulator.local_crm.models import ApiAccess
from simulator.local_crm.secrets import check_secret


@dataclass(frozen=True)
class Access:
    """The row as a call reads it; `rights` are such as "Customer:Get"."""

    enabled: bool
    tenant: str
    username: str
    password_hash: str
    api_key_hash: str
    used_identity: str
    rights: tuple[str, ...]


# Made once, and no object of the ORM: every call reads it.
_TABLE = ApiAccess.__table__.c
_ROW = select(
    *(_TABLE.enabled, _TABLE.tenant, _TABLE.username, _TABLE.password_hash),
    *(_TABLE.api_key_hash, _TABLE.used_identity, _TABLE.rights),
).limit(1)


def read(reading: Connection) -> Access | None:
    """The row as it is now, or None before the first start."""
    row = reading.execute(_ROW).first()
    return None if row is None else Access(*row[:-1], rights=tuple(row[-1]))


def verify(access: Access, tenant: str, username: str, password: str) -> bool:
    """Whether TENANT, USERNAME and PASSWORD of a request to /WAPI/wapi.php are right."""
    known = _same(access.tenant, tenant) & _same(access.username, username)
    return check_secret(access.password_hash, password) and known


def verify_key(access: Access, tenant: str, key: str) -> bool:
    """Whether X-8x8-Tenant and x-api-key of a request to /cc/v1/wapi are right."""
    known = _same(access.tenant, tenant)
    return check_secret(access.api_key_hash, key) and known


def _same(kept: str, given: str) -> bool:
    return hmac.compare_digest(kept.encode(), given.encode("utf-8", "replace"))
