"""The addresses of Configuration Manager > CRM.

In: nothing. Out: a blueprint. Each view says what it takes and gives in its own module.
"""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, request

from simulator.config_manager import field_pages, import_pages, load_pages

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
    ("GET", "/imports", import_pages.show_imports),
    ("POST", "/imports", import_pages.upload),
    ("GET", "/imports/map/<token>", import_pages.show_mapping),
    ("POST", "/imports/map/<token>", import_pages.begin),
    ("GET", "/bulk", load_pages.show_bulk),
    ("POST", "/bulk", load_pages.begin_bulk),
    ("GET", "/loads/<int:number>", load_pages.show_load),
    ("GET", "/loads/<int:number>/progress", load_pages.show_progress),
    ("GET", "/loads/<int:number>/rejected-rows.csv", load_pages.download_rejects),
)
for method, address, view in _ADDRESSES:
    blueprint.add_url_rule(address, view_func=view, methods=[method])
blueprint.register_error_handler(413, import_pages.refuse_too_large)


@blueprint.url_value_preprocessor
def take_large_files(endpoint: str | None, _values: dict[str, Any] | None) -> None:
    """On the one page for files a request may be large. Set here, before the check of the form's
    token, which reads the request already.
    """
    if endpoint == import_pages.UPLOAD:
        request.max_content_length = import_pages.MAX_UPLOAD_BYTES
