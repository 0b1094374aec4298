"""Who may call the CRM API: the one row behind Integration > CRM API against what a caller gives.

In: the row and the caller's credentials. Out: yes or no; which of them was wrong is not said.
"""

import hmac

from simulator.local_crm.models import ApiAccess
from simulator.local_crm.secrets import check_secret


def verify(access: ApiAccess, tenant: str, username: str, password: str) -> bool:
    """Whether TENANT, USERNAME and PASSWORD of a request to /WAPI/wapi.php are right."""
    known = _same(access.tenant, tenant) & _same(access.username, username)
    return check_secret(access.password_hash, password) and known


def verify_key(access: ApiAccess, tenant: str, key: str) -> bool:
    """Whether X-8x8-Tenant and x-api-key of a request to /cc/v1/wapi are right."""
    known = _same(access.tenant, tenant)
    return check_secret(access.api_key_hash, key) and known


def _same(kept: str, given: str) -> bool:
    return hmac.compare_digest(kept.encode(), given.encode("utf-8", "replace"))
