"""Answers a call of the CRM API under a fault (simulator/faults).

In: the fault that hits the call, and the call's query, rows or reply. Out: what comes instead.
Killed here: as in a call without a fault.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from http import HTTPStatus

from flask import Response, request
from sqlalchemy import Select, false

from simulator.crm_api.errors import CallRefused, Refusal
from simulator.crm_api.parse import Command
from simulator.faults import connections
from simulator.faults.models import (
    ConnectionReset,
    EmptyReply,
    ExpiredCredentials,
    HttpError,
    NotFoundFirst,
    PartialList,
    SlowDrip,
    StaleRead,
    Timeout,
)
from simulator.faults.registry import Fired, Registry
from simulator.faults.replies import spoiled
from simulator.faults.rules import ApiCall
from simulator.local_crm.earlier import as_it_was
from simulator.local_crm.models import NUMBER_COLUMN
from simulator.triggers.urls import Kind

Rows = Iterable[tuple[object, ...]]


def fault_of(faults: Registry, kind: Kind, action: str, command: Command) -> Fired | None:
    """The fault that hits a call."""
    tags = {tag.upper(): text for tag, text in command.values if text}
    record = tags.pop(NUMBER_COLUMN[kind].upper(), None) if action != "Add" else None
    # Values that are added may be secret, and tell no calls apart.
    filters = "" if action == "Add" else " ".join(f"{tag}={tags[tag]}" for tag in sorted(tags))
    return faults.on_call(ApiCall(kind, action, record, filters))


def instead(fired: Fired | None, unknown_caller: Refusal) -> Response | None:
    """What is answered without doing anything. Raises CallRefused.

    unknown_caller: what a caller is told whose credentials are not accepted.
    """
    match fired and fired.fault:
        case HttpError() as error:
            return _error_page(error)
        case ExpiredCredentials():
            raise CallRefused(unknown_caller)
        case Timeout(work_done=False) | ConnectionReset(work_done=False) | EmptyReply(work_done=False):
            return Response()
    return None


def query(fired: Fired | None, found: Select[..., ], now: datetime) -> Select[...]:
    """The query of a Get."""
    match fired and fired.fault:
        case NotFoundFirst():
            return found.where(false())
        case StaleRead(stale_s=stale_s):
            return as_it_was(found, now - timedelta(seconds=stale_s))
    return found
