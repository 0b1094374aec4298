"""Puts the dashboard together: an engine in, WSGI application out."""

import structlog
from flask import Flask, Response, make_response, render_template
from flask_bootstrap import Bootstrap5
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, NotFound

from external_crm.dashboard import routes, theme

log = structlog.get_logger()

NAMES = {"customer": "Customers", "case": "Cases", "followup": "Follow-ups", "task": "Tasks"}


def create_app(engine: Engine) -> Flask:
    """The Flask application that serves the dashboard."""
    app = Flask(__name__)
    app.config["BOOTSTRAP_SERVE_LOCAL"] = True
    Bootstrap5(app)
    app.extensions["external_crm"] = engine
    app.jinja_env.globals["names"] = NAMES
    app.jinja_env.globals["theme"] = theme.theme
    app.register_blueprint(routes.blueprint)
    app.register_blueprint(theme.blueprint)
    app.register_error_handler(Exception, _error_page)
    app.after_request(_secure)
    return app


def _secure(response: Response) -> Response:
    # Bootstrap's icons are data: URLs; everything else comes from this server.
    response.headers["Content-Security-Policy"] = "default-src 'self'; img-src 'self' data:"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _error_page(error: Exception) -> Response:
    """A sentence in a page; never a trace."""
    if isinstance(error, HTTPException):
        if error.code is not None and error.code < 400:
            return make_response(error)
        status, title, sentence = error.code or 500, error.name, str(error.description)
        if type(error) is NotFound and sentence == NotFound.description:
            sentence = "The address leads nowhere. Check it, or start from one of the links above."
    elif isinstance(error, SQLAlchemyError):
        status, title = 503, "The database does not answer"
        sentence = "The External CRM's database cannot be read now. Try again in a moment."
        log.error("database unavailable", error=type(error).__name__)
    else:
        status, title = 500, "Something failed here"
        sentence = "This page failed. The dashboard's log says why."
        log.error("failed", exc_info=error)
    return make_response(
        render_template("dashboard/error.html", title=title, sentence=sentence), status
    )
