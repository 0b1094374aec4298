"""Puts the receiver's web side together: settings in, WSGI application out."""

import structlog
from flask import Flask, Response
from sqlalchemy import Engine
from werkzeug.exceptions import HTTPException

from external_crm.db import DatabaseUnusable, make_engine
from receiver import endpoint, health, metrics
from receiver.clock import Clock, SystemClock
from receiver.db import check_tables
from receiver.ingest import FAILED, LARGEST_BODY, NOT_FOUND, WRONG_METHOD, Ingest, Reply
from receiver.settings import Settings
from receiver.wsgi_front import WsgiFront

log = structlog.get_logger()


def open_engine(settings: Settings, **bounds: float) -> Engine:
    """An engine on a database that is there and migrated. Raises DatabaseUnusable.

    bounds: patience_s and answer_within_s, as `make_engine` has them.
    """
    engine = make_engine(settings.database_url, **bounds)
    try:
        check_tables(engine)
    except DatabaseUnusable:
        engine.dispose()
        raise
    return engine


def create_app(settings: Settings, engine: Engine, clock: Clock | None = None) -> Flask:
    """The application that serves the trigger URLs: Flask, and the front where it is on."""
    app = Flask(__name__, static_folder=None)
    clock = clock or SystemClock()
    ingest = Ingest(engine, clock, settings.secrets)
    app.extensions["crm_receiver"] = ingest
    app.extensions[health.EXTENSION] = health.Subject(engine, clock)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    app.url_map.merge_slashes = False  # a doubled slash would be answered with a redirect
    app.register_blueprint(endpoint.blueprint)
    app.register_blueprint(health.blueprint)
    app.register_blueprint(metrics.blueprint)
    app.register_error_handler(Exception, _plain_error)
    if settings.wsgi_front:
        beside = max(1, settings.web_threads // 4)
        app.wsgi_app = WsgiFront(ingest, app.wsgi_app, beside)  # type: ignore[method-assign]
    return app


def _plain_error(error: Exception) -> Response:
    """A sentence instead of a page or a trace; the path is never logged, it holds the secret."""
    if isinstance(error, HTTPException):
        status = error.code or 500
        if status == 405:
            return endpoint.respond(WRONG_METHOD)
        if status == 404:
            return endpoint.respond(NOT_FOUND)
        return endpoint.respond(Reply(status, str(error.description)))
    log.error("failed", error=type(error).__name__, exc_info=error)
    return endpoint.respond(FAILED)
