"""The addresses of Agent Console, and what all its pages show.

In: nothing. Out: a blueprint. Each view says what it takes and gives in its own module.
"""

from collections.abc import Callable
from typing import Any

from flask import Blueprint

from simulator.agent_console import (
    acting,
    deleting,
    deleting_all,
    lists,
    notices,
    reads,
    record_pages,
    saving,
)
from simulator.agent_console.screens import SCREENS
from simulator.db import read_session
from simulator.services import services

blueprint = Blueprint("agent_console", __name__, url_prefix="/agent", template_folder="templates")

_LIST = f"/<any({','.join(SCREENS)}):path>"
_RECORD = f"{_LIST}/<record_id>"

_ADDRESSES: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("GET", _LIST, lists.show_list),
    ("GET", f"{_LIST}/new", saving.show_new),
    ("POST", f"{_LIST}/new", saving.create),
    ("GET", f"{_LIST}/delete-selected", deleting.show_delete_selected),
    ("POST", f"{_LIST}/delete-selected", deleting.delete_selected),
    ("GET", f"{_LIST}/delete-all", deleting_all.show_delete_all),
    ("POST", f"{_LIST}/delete-all", deleting_all.delete_all),
    ("GET", f"{_LIST}/delete-all/<int:number>", deleting_all.show_deletion),
    ("GET", f"{_LIST}/delete-all/<int:number>/progress", deleting_all.show_deletion_progress),
    ("GET", _RECORD, record_pages.show_record),
    ("GET", f"{_RECORD}/edit", saving.show_edit),
    ("POST", f"{_RECORD}/edit", saving.edit),
    ("GET", f"{_RECORD}/delete", deleting.show_delete),
    ("POST", f"{_RECORD}/delete", deleting.delete),
    ("POST", "/act-as", acting.act_as),
)
for method, address, view in _ADDRESSES:
    blueprint.add_url_rule(address, view_func=view, methods=[method])


@blueprint.context_processor
def add_agents() -> dict[str, Any]:
    """For the choice of the acting agent, and the lines after an action, on every page."""
    with read_session(services().engine) as db:
        agents = reads.all_agents(db)
    return {"all_agents": agents, "acting": acting.agent_id(), "take_notices": notices.take}
