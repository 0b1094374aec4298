"""The page of a list: search, sort, one page after the other, a selection to delete.

In: an agent's request. Out: a page; nothing is changed.
"""

from flask import render_template, request

from simulator.agent_console import asked as asking
from simulator.agent_console import cells, reads
from simulator.agent_console.asked import Asked
from simulator.agent_console.screens import LEADS_TO, SCREENS
from simulator.db import read_session
from simulator.local_crm import custom_fields, search, walk
from simulator.services import services
from simulator.web.answers import Page


def show_list(path: str) -> Page:
    """Records of a kind, newest first until another order is asked for (see `asked`)."""
    screen = SCREENS[path]
    with read_session(services().engine) as db:
        custom = custom_fields.of_kind(db, screen.kind)
        asked = Asked.from_address(screen, custom, request.args)
        stretch = walk.read(db, screen.kind, asked.conditions, asked.order, asked.start)
        agents = reads.all_agents(db)
    return render_template(
        "agent_console/list.html",
        screen=screen,
        asked=asked,
        stretch=stretch,
        rows=cells.rows(screen, stretch.records),
        agents=agents,
        search_fields=asking.inputs(screen, custom),
        sortable=search.sortable(screen.kind),
        leads_to=LEADS_TO,
        all_checked=request.args.get("select") == "page",
        looked_at=walk.LOOK_AT,
    )
