"""The two endpoints of the CRM API: who calls, what for, may they, and the reply.

In: a POST. Out: an XML reply with HTTP 200, an error reply included (api.error-reply); only a
caller in too great a hurry gets 429. A GET is one consistent state, however long its reply is
on the way: its read transaction ends when the reply is out or the caller is gone.
Killed here: a change was committed whole or not at all; the caller asks again.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, islice

from flask import Blueprint, Response, current_app, request
from flask.blueprints import BlueprintSetupState
from sqlalchemy import Connection
from werkzeug.exceptions import RequestEntityTooLarge

from simulator.crm_api import faulty, filters, parse, render, write
from simulator.crm_api.errors import CallRefused, Refusal, TooManyRequests
from simulator.crm_api.rate_limit import RateLimit
from simulator.crm_api.watch import Watch
from simulator.db import read_connection
from simulator.faults.registry import Fired
from simulator.local_crm import api_access, custom_fields
from simulator.local_crm.api_access import Access, verify, verify_key
from simulator.local_crm.changes import Author
from simulator.local_crm.models import NUMBER_COLUMN, Origin
from simulator.services import services
from simulator.settings import Settings
from simulator.triggers.urls import Kind
from simulator.web import csrf

blueprint = Blueprint("crm_api", __name__)
csrf.exempt(blueprint)  # a program calls, with credentials in every request and no cookie

_READ_AT_MOST = 64_000_000  # bytes taken in before the connection is dropped
_ROWS_AT_ONCE = 200  # in memory; any number of records may be in a reply
_RATE_LIMIT = "crm_simulator_api_rate_limit"
_KINDS = {kind.lower(): kind for kind in Kind}
_ACTIONS = ("Get", "Add", "Modify", "Delete")
_NEVER_AVAILABLE = {(kind, "Delete") for kind in Kind} | {(Kind.FOLLOWUP, "Modify")}  # api.rights


@dataclass
class _Call:
    """What is known of a call so far; `root` is the reply's, by the user it is for."""

    settings: Settings
    watch: Watch
    root: str = "WAPI"
    unknown_caller: Refusal = Refusal.BAD_CREDENTIALS  # what wrong credentials are answered with
    fired: Fired | None = None  # the fault that hits the call


@blueprint.record
def _make_rate_limit(state: BlueprintSetupState) -> None:
    state.app.extensions[_RATE_LIMIT] = RateLimit()


@blueprint.post("/WAPI/wapi.php")
def wapi() -> Response:
    """A call with the credentials in its XML (api.wapi-endpoint)."""
    return _answer(_wapi_reply)


@blueprint.post("/cc/v1/wapi")
def cc_wapi() -> Response:
    """A call with the credentials in its headers (api.cc-endpoint)."""
    return _answer(_cc_wapi_reply)


def _answer(reply: Callable[[_Call, bytes, ExitStack], Response]) -> Response:
    call = _Call(services().settings, Watch(services(), request.path))
    try:
        response = _understood(call, reply)
    except CallRefused as refused:
        call.watch.refused(refused)
        response = _response(render.error_reply(refused, call.root, call.settings))
        if isinstance(refused, TooManyRequests):
            response.status_code = 429
            response.headers["Retry-After"] = str(refused.retry_after_s)
    except Exception:
        call.watch.ends(500)
        raise
    if not response.is_streamed:
        call.watch.ends(response.status_code)
    return faulty.reply(call.fired, response, services().faults)


def _understood(call: _Call, reply: Callable[[_Call, bytes, ExitStack], Response]) -> Response:
    body = _read_body(call.settings.api_body_limit_bytes)
    limit: RateLimit = current_app.extensions[_RATE_LIMIT]
    limit.check(services().clock.now(), call.settings.api_rate_limit_per_minute)
    with ExitStack() as stack:
        return reply(call, body, stack)


def _read_body(limit: int) -> bytes:
    """The body, taken in to its end even where it is too large: a connection that is closed
    on unread bytes is reset, and the caller would never see the error reply.
    """
    request.max_content_length = _READ_AT_MOST
    body = bytearray()
    try:
        while chunk := request.stream.read(65_536):
            if len(body) <= limit:
                body += chunk
    except RequestEntityTooLarge:
        raise CallRefused(Refusal.TOO_LARGE, limit) from None
    if len(body) > limit:
        raise CallRefused(Refusal.TOO_LARGE, limit)
    return bytes(body)


def _wapi_reply(call: _Call, body: bytes, stack: ExitStack) -> Response:
    as_sent = call.settings.api_raw_query == "as-sent"
    credentials, command = parse.wapi_call(body, raw_as_sent=as_sent)
    call.watch.by(credentials.tenant, credentials.username)
    call.watch.wants(command)
    reading = stack.enter_context(read_connection(services().engine))
    access = _enabled_access(call, reading)
    if not verify(access, credentials.tenant, credentials.username, credentials.password):
        raise CallRefused(call.unknown_caller)
    return _run(call, reading, access, command, stack)


def _cc_wapi_reply(call: _Call, body: bytes, stack: ExitStack) -> Response:
    reading = stack.enter_context(read_connection(services().engine))
    access = _enabled_access(call, reading)
    tenant, key = (request.headers.get(name, "") for name in ("X-8x8-Tenant", "x-api-key"))
    call.unknown_caller = Refusal.BAD_KEY
    call.watch.by(tenant)
    if not verify_key(access, tenant, key):
        raise CallRefused(call.unknown_caller)
    command = parse.bare_command(body)
    call.watch.wants(command)
    return _run(call, reading, access, command, stack)


def _enabled_access(call: _Call, reading: Connection) -> Access:
    access = api_access.read(reading)
    if access is None or not access.enabled:
        raise CallRefused(Refusal.API_DISABLED)
    call.root = render.root_for(access.username, call.settings)
    return access


def _run(
    call: _Call, reading: Connection, access: Access, command: parse.Command, stack: ExitStack
) -> Response:
    """The reply to a command whose caller is known. Raises CallRefused.

    reading: it is closed by `stack`, or by the reply where that is streamed.
    """
    kind = _kind(command.object, call.settings)
    call.watch.concerns(kind)
    action = command.action.capitalize()  # api.action-case
    if action not in _ACTIONS:
        raise CallRefused(Refusal.UNKNOWN_ACTION, command.action or "(empty)")
    if (kind, action) in _NEVER_AVAILABLE:
        raise CallRefused(Refusal.NOT_AVAILABLE, action, kind)
    if f"{kind}:{action}" not in access.rights:  # api.rights
        raise CallRefused(Refusal.NO_RIGHT, action, kind)
    call.fired = faulty.fault_of(services().faults, kind, action, command)
    call.watch.hit_by(call.fired)
    instead = faulty.nothing_done(call.fired, call.unknown_caller)
    if instead is not None:
        return instead
    if action == "Get":
        return _get(call, reading, kind, command, stack)
    author = Author(Origin.API, access.used_identity)  # api.identity
    stack.close()  # the state that was read must not be older than the change
    return _response(_change(call, kind, action, command, author))


def _kind(written: str, settings: Settings) -> Kind:
    kind = _KINDS.get(written.lower())  # api.object-case
    if kind is None or (settings.api_case_matters and written != kind):
        raise CallRefused(Refusal.UNKNOWN_OBJECT, written or "(empty)")
    return kind


def _get(
    call: _Call, reading: Connection, kind: Kind, command: parse.Command, stack: ExitStack
) -> Response:
    """A reply that fits one chunk is sent whole, with its length; a longer one as rows come."""
    custom = custom_fields.of_kind(reading, kind)
    found = filters.select_matching(kind, command.values, custom, call.settings)
    found = faulty.query(call.fired, found, services().clock.now())
    rows = faulty.rows(
        call.fired, reading.execute(found.execution_options(yield_per=_ROWS_AT_ONCE))
    )
    rows_seen = call.watch.rows(kind, rows)
    chunks = render.reply_chunks(kind, custom, rows_seen, call.root, call.settings)
    begun = list(islice(chunks, 2))
    if len(begun) < 2:
        return _response(begun[0])
    response = _response(call.watch.streamed(chain(begun, chunks)))
    response.call_on_close(stack.pop_all().close)
    return response


def _change(call: _Call, kind: Kind, action: str, command: parse.Command, author: Author) -> bytes:
    values, settings, now = command.values, call.settings, services().clock.now()
    hashed = write.password_hash(values) if (kind, action) == (Kind.CUSTOMER, "Add") else ""
    with services().sessions.begin() as session:
        if action == "Modify":
            number = write.modify(session, kind, values, author, now, settings)
        else:
            number = write.add(session, kind, values, hashed, author, now, settings)
    call.watch.changes(number)
    if action == "Modify" and settings.api_modify_reply == "empty":
        return render.success_reply(call.root, settings)
    return render.number_reply(NUMBER_COLUMN[kind].upper(), number, call.root, settings)


def _response(content: bytes | Iterator[bytes]) -> Response:
    return Response(content, content_type=render.CONTENT_TYPE)
