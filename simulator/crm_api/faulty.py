"""Answers a call of the CRM API under a fault (simulator/faults).

In: the fault that hits the call, and the call's query, rows or reply. Out: what comes instead.
Killed here: as in a call without a fault.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import Any

from flask import Response, request
from sqlalchemy import Select, false

from simulator.crm_api.errors import CallRefused, Refusal
from simulator.crm_api.parse import Command
from simulator.crm_api.render import CONTENT_TYPE
from simulator.faults import connections
from simulator.faults.models import (
    ConnectionReset,
    EmptyReply,
    ExpiredCredentials,
    HttpError,
    MalformedXml,
    NotFoundFirst,
    PartialList,
    SlowDrip,
    StaleRead,
    Timeout,
    TruncatedXml,
    WrongEncoding,
)
from simulator.faults.registry import Fired, Registry
from simulator.faults.replies import spoiled
from simulator.faults.rules import ApiCall
from simulator.local_crm.earlier import as_it_was
from simulator.local_crm.models import NUMBER_COLUMN
from simulator.triggers.urls import Kind

Query = Select[Any]
Rows = Iterable[Sequence[Any]]


def fault_of(faults: Registry, kind: Kind, action: str, command: Command) -> Fired | None:
    """The fault that hits a call."""
    tags = {tag.upper(): text for tag, text in command.values if text}
    record = tags.pop(NUMBER_COLUMN[kind].upper(), None) if action != "Add" else None
    # What is to be changed may be secret, and tells no calls apart.
    filters = " ".join(f"{tag}={tags[tag]}" for tag in sorted(tags)) if action == "Get" else ""
    return faults.on_call(ApiCall(kind, action, record, filters))


def nothing_done(fired: Fired | None, unknown_caller: Refusal) -> Response | None:
    """What is answered without doing anything; None where the work is to be done.

    unknown_caller: how a caller is refused whose credentials are wrong. Raises CallRefused.
    """
    match fired and fired.fault:
        case HttpError() as error:
            return _error_page(error)
        case ExpiredCredentials():
            raise CallRefused(unknown_caller)
        case Timeout(work_done=done) | ConnectionReset(work_done=done) | EmptyReply(work_done=done):
            return None if done else Response(content_type=CONTENT_TYPE)
    return None


def query(fired: Fired | None, found: Query, now: datetime) -> Query:
    """The query that a Get runs."""
    match fired and fired.fault:
        case NotFoundFirst():
            return found.where(false())
        case StaleRead(stale_s=stale_s):
            return as_it_was(found, now - timedelta(seconds=stale_s))
    return found


def rows(fired: Fired | None, found: Rows) -> Rows:
    """The rows that a Get renders."""
    if fired is None or not isinstance(fired.fault, PartialList):
        return found
    whole = list(found)
    count = len(whole) // 2 if fired.fault.count is None else fired.fault.count
    return whole[:count] if len(whole) > 1 else whole


def reply(fired: Fired | None, made: Response, faults: Registry) -> Response:
    """The reply as it goes out."""
    if fired is None:
        return made
    fault, sock = fired.fault, request.environ.get("werkzeug.socket")
    goes_on = partial(faults.may_hold, fired.id)
    match fault:
        case Timeout(delay_s=delay_s):
            made.close()
            return Response(connections.silence(sock, delay_s, goes_on))
        case ConnectionReset():
            made.close()
            return Response(connections.reset(sock))
        case SlowDrip(delay_s=delay_s):
            data = _whole(made)
            made.headers["Content-Length"] = str(len(data))
            made.response = connections.drip(sock, data, delay_s, goes_on)
        case TruncatedXml() | MalformedXml() | WrongEncoding() | EmptyReply():
            made.set_data(spoiled(fault, _whole(made)))
    if isinstance(fault, WrongEncoding):
        made.content_type = f"text/xml; charset={fault.declared}"
    return made


def _whole(made: Response) -> bytes:
    """All bytes of a reply, which has then let go of what it was read from."""
    data = made.get_data()
    made.close()
    return data


def _error_page(error: HttpError) -> Response:
    try:
        title = f"{error.status} {HTTPStatus(error.status).phrase}"
    except ValueError:
        title = str(error.status)
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    response = Response(page, status=error.status, content_type="text/html")
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response
