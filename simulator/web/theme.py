"""Light or dark: a cookie that the base template reads, and the button that changes it.

In: a form that names a theme. Out: the cookie, and the page that the form was on.
"""

from flask import Blueprint, redirect, request

from simulator.web.answers import Page, way_back

blueprint = Blueprint("theme", __name__)
_COOKIE = "crm_simulator_theme"
_THEMES = ("light", "dark")
_YEAR_S = 365 * 24 * 3600


def theme() -> str:
    """The theme of this browser."""
    chosen = request.cookies.get(_COOKIE, "")
    return chosen if chosen in _THEMES else _THEMES[0]


@blueprint.post("/theme")
def choose() -> Page:
    """Change the theme."""
    answer = redirect(way_back("/"))
    if request.form.get("theme") in _THEMES:
        answer.set_cookie(_COOKIE, request.form["theme"], max_age=_YEAR_S, samesite="Lax")
    return answer
