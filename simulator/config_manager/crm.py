"""The addresses of Configuration Manager > CRM.

In: nothing. Out: a blueprint. Each view says what it takes and gives in its own module.
"""

from collections.abc import Callable
from typing import Any

from flask import Blueprint

from simulator.config_manager import field_pages

blueprint = Blueprint("config_crm", __name__, url_prefix="/config/crm", template_folder="templates")
_FIELDS = f"/fields/<any({','.join(field_pages.KINDS)}):kind>"

_ADDRESSES: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("GET", "/fields", field_pages.show_fields),
    ("GET", f"{_FIELDS}/new", field_pages.show_new),
    ("POST", f"{_FIELDS}/new", field_pages.add),
    ("GET", f"{_FIELDS}/<name>/edit", field_pages.show_edit),
    ("POST", f"{_FIELDS}/<name>/edit", field_pages.edit),
    ("GET", f"{_FIELDS}/<name>/remove", field_pages.show_remove),
    ("POST", f"{_FIELDS}/<name>/remove", field_pages.remove),
)
for method, address, view in _ADDRESSES:
    blueprint.add_url_rule(address, view_func=view, methods=[method])
