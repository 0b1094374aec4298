"""The two endpoints of the CRM API: who calls, what for, may they, and the reply.

In: a POST. Out: an XML reply with HTTP 200, an error reply included (api.error-reply).
Killed here: nothing was changed; the caller asks again.
"""

from collections.abc import Callable

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session
from werkzeug.exceptions import RequestEntityTooLarge

from simulator.crm_api import filters, parse, render
from simulator.crm_api.errors import CallRefused, Refusal
from simulator.db import read_session
from simulator.local_crm.api_access import verify, verify_key
from simulator.local_crm.models import ApiAccess
from simulator.services import services
from simulator.triggers.urls import Kind
from simulator.web import csrf

blueprint = Blueprint("crm_api", __name__)
csrf.exempt(blueprint)  # a program calls, with credentials in every request and no cookie

_READ_AT_MOST = 64_000_000  # bytes taken in before the connection is dropped
_ACCESS_ROW = 1
_KINDS = {kind.lower(): kind for kind in Kind}
_NEVER_GRANTED = {"Followup:Modify"}


@blueprint.post("/WAPI/wapi.php")
def wapi() -> Response:
    """A call with the credentials in its XML (api.wapi-endpoint)."""
    return _answer(_wapi_reply)


@blueprint.post("/cc/v1/wapi")
def cc_wapi() -> Response:
    """A call with the credentials in its headers (api.cc-endpoint)."""
    return _answer(_cc_wapi_reply)


def _answer(reply: Callable[[Session, bytes], bytes]) -> Response:
    try:
        body = _read_body()
        with read_session(services().engine) as session:
            xml = reply(session, body)
    except CallRefused as refused:
        xml = render.error_reply(refused)
    return Response(xml, content_type=render.CONTENT_TYPE)


def _read_body() -> bytes:
    """The body, taken in to its end even where it is too large: a connection that is closed
    on unread bytes is reset, and the caller would never see the error reply.
    """
    request.max_content_length = _READ_AT_MOST
    body = bytearray()
    try:
        while chunk := request.stream.read(65_536):
            if len(body) <= parse.BODY_LIMIT:
                body += chunk
    except RequestEntityTooLarge:
        raise CallRefused(Refusal.TOO_LARGE, parse.BODY_LIMIT) from None
    if len(body) > parse.BODY_LIMIT:
        raise CallRefused(Refusal.TOO_LARGE, parse.BODY_LIMIT)
    return bytes(body)


def _wapi_reply(session: Session, body: bytes) -> bytes:
    credentials, command = parse.wapi_call(body)
    access = _enabled_access(session)
    if not verify(access, credentials.tenant, credentials.username, credentials.password):
        raise CallRefused(Refusal.BAD_CREDENTIALS)
    return _run(session, access, command)


def _cc_wapi_reply(session: Session, body: bytes) -> bytes:
    access = _enabled_access(session)
    tenant, key = (request.headers.get(name, "") for name in ("X-8x8-Tenant", "x-api-key"))
    if not verify_key(access, tenant, key):
        raise CallRefused(Refusal.BAD_KEY)
    return _run(session, access, parse.bare_command(body))


def _enabled_access(session: Session) -> ApiAccess:
    access = session.get(ApiAccess, _ACCESS_ROW)
    if access is None or not access.enabled:
        raise CallRefused(Refusal.API_DISABLED)
    return access


def _run(session: Session, access: ApiAccess, command: parse.Command) -> bytes:
    """The reply to a command whose caller is known. Raises CallRefused."""
    kind = _KINDS.get(command.object.lower())  # api.object-case
    if kind is None:
        raise CallRefused(Refusal.UNKNOWN_OBJECT, command.object or "(empty)")
    action = command.action.capitalize()  # api.action-case
    if action not in _ACTIONS:
        raise CallRefused(Refusal.UNKNOWN_ACTION, command.action or "(empty)")
    right = f"{kind}:{action}"  # api.rights
    if right in _NEVER_GRANTED or right not in access.rights:
        raise CallRefused(Refusal.NO_RIGHT, f"{action} a {kind}")
    return _ACTIONS[action](session, kind, command)


def _get(session: Session, kind: Kind, command: parse.Command) -> bytes:
    found = session.scalars(filters.select_matching(session, kind, command.values))
    return render.reply(kind, found)


def _not_available(session: Session, kind: Kind, command: parse.Command) -> bytes:
    raise CallRefused(Refusal.NOT_AVAILABLE, command.action)


_ACTIONS: dict[str, Callable[[Session, Kind, parse.Command], bytes]] = {
    "Get": _get,
    "Add": _not_available,
    "Modify": _not_available,
}
