"""Who may move the clock, break things and read the logs on pages: whoever has the control token.

In: a browser's session, a token that was typed. Out: yes or no. Where the simulator has no token
(on this machine alone that is allowed) everybody may, as over the control API.
"""

import hmac

from flask import abort, current_app, redirect, request, session, url_for
from werkzeug.wrappers import Response

from simulator.services import services

_PROOF = "control"
_OPEN = ("instruments.show_unlock", "instruments.unlock")


def may_control() -> bool:
    """Whether this browser may do what the control API does."""
    proof = _proof()
    return proof is None or hmac.compare_digest(str(session.get(_PROOF, "")), proof)


def ask_for_token() -> Response | None:
    """What comes instead of a page, before its request is handled; None where it may be seen."""
    if may_control() or request.endpoint in _OPEN:
        return None
    if request.method != "GET" or request.path.endswith("/live"):
        abort(403, "This needs the control token. Give it on the page Deliveries first.")
    return redirect(url_for(_OPEN[0]))


def let_in(token: str) -> bool:
    """Remember that this browser knows the token; False, and nothing is remembered, if not."""
    wanted = services().settings.control_token
    if wanted is None:
        return True
    if not hmac.compare_digest(token.encode(), wanted.get_secret_value().encode()):
        return False
    session[_PROOF] = _proof()
    return True


def _proof() -> str | None:
    """What the cookie holds: worth nothing under another token or another secret key."""
    token = services().settings.control_token
    if token is None:
        return None
    key = current_app.secret_key
    secret = key if isinstance(key, bytes) else str(key).encode()
    return hmac.new(secret, token.get_secret_value().encode(), "sha256").hexdigest()
