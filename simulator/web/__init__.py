"""What all pages share: base template, macros, local assets, error pages, safety headers.

In: the Flask app. Out: the app with Bootstrap served from here, light or dark, a token in every
form, and a sentence for every error. Pages work without JavaScript and load nothing from elsewhere.
"""

import re
from datetime import UTC, datetime

from flask import Flask, Response
from flask_bootstrap import Bootstrap5
from flask_wtf import CSRFProtect
from markupsafe import Markup

from simulator import db
from simulator.web import theme
from simulator.web.errors import register_error_pages
from simulator.web.routes import blueprint

CONTENT_SECURITY_POLICY = "default-src 'self'; img-src 'self' data:"  # Bootstrap's icons are data:

csrf = CSRFProtect()


def init_app(app: Flask) -> None:
    """Give the app what all pages share, the start page included."""
    app.config.setdefault("BOOTSTRAP_SERVE_LOCAL", True)
    app.config.setdefault("WTF_CSRF_TIME_LIMIT", None)  # a form may lie open over lunch
    app.config.setdefault("SESSION_COOKIE_SAMESITE", "Lax")
    # Cookies know no ports: the dashboard on the same host would overwrite one called `session`.
    app.config["SESSION_COOKIE_NAME"] = "crm_simulator"
    app.static_url_path = "/static"  # Bootstrap's address is made from it, static folder or not
    Bootstrap5().init_app(app)
    csrf.init_app(app)
    app.register_blueprint(blueprint)
    app.register_blueprint(theme.blueprint)
    app.jinja_env.globals["theme"] = theme.theme
    app.jinja_env.filters |= {
        "instant": shown_instant,
        "counted": shown_count,
        "numbered": numbered,
        "breakable": breakable,
    }
    app.after_request(_add_safety_headers)
    register_error_pages(app)


def shown_instant(instant: datetime | None) -> str:
    """An instant as pages show it, with its zone; nothing for none."""
    return "" if instant is None else instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def shown_count(count: int) -> str:
    """A number of rows that was counted by `db.count_to_most`."""
    most = db.MOST_COUNTED
    return f"more than {most:,}" if count > most else f"{count:,}"


def numbered(count: int, one: str, many: str) -> str:
    """How many of something, in words: `1 record`, `1,200 records`."""
    return f"{count:,} {one if count == 1 else many}"


def breakable(url: str) -> Markup:
    """A URL that may be broken before its parts, so that no id is broken where there is room."""
    return Markup("<wbr>").join(re.split("(?<=[^/:])(?=[/?&])", url))


def _add_safety_headers(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    # Not no-referrer: over https a form is accepted only with the Referer of this very site.
    response.headers.setdefault("Referrer-Policy", "same-origin")
    return response
