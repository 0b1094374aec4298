"""Light or dark: a cookie that the base template reads, and the button that changes it.

In: a form that names a theme. Out: the cookie, and the page that the form was on.
"""

import re

from flask import Blueprint, redirect, request
from werkzeug.wrappers import Response

blueprint = Blueprint("theme", __name__)
# Cookies know no ports: one called `theme` would be shared with whatever else is on this host.
_COOKIE = "external_crm_theme"
_THEMES = ("light", "dark")
# One slash alone at the beginning: browsers take //host for another site.
_OWN_PATH = re.compile(r"/(?:[\w.~%-][\w.~%/-]*)?", re.ASCII)
_YEAR_S = 365 * 24 * 3600


def theme() -> str:
    """The theme of this browser."""
    chosen = request.cookies.get(_COOKIE, "")
    return chosen if chosen in _THEMES else _THEMES[0]


@blueprint.post("/theme")
def choose() -> Response:
    """Change the theme. (It needs no token against forgery: nothing is there to be gained.)"""
    page = request.form.get("next", "")
    answer = redirect(page if _OWN_PATH.fullmatch(page) else "/")
    if request.form.get("theme") in _THEMES:
        answer.set_cookie(_COOKIE, request.form["theme"], max_age=_YEAR_S, samesite="Lax")
    return answer
