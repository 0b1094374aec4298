"""The Flask application of the simulator: the one module that knows all others.

In: settings, a clock. Out: an app over an open database, with its services and pages; nothing
ticks yet. Killed here: the database has its tables, the rest is done anew.
"""

import os

from flask import Flask

from simulator import web
from simulator.agent_console.routes import blueprint as agent_console
from simulator.certificates import Authority, own_authority
from simulator.clock import ControlledClock
from simulator.config_manager.crm import blueprint as config_crm
from simulator.config_manager.routes import blueprint as config_manager
from simulator.control_api import routes as control_api
from simulator.crm_api.routes import blueprint as crm_api
from simulator.db import open_database
from simulator.deliveries.histories import blueprint as histories
from simulator.deliveries.instruments import blueprint as instruments
from simulator.deliveries.routes import blueprint as deliveries
from simulator.health import health
from simulator.interactions.routes import blueprint as interactions
from simulator.local_crm.first_start import fill_at_first_start
from simulator.services import EXTENSION, make_services
from simulator.settings import Settings

MAX_REQUEST_BYTES = 2_000_000  # without a limit a raw XML body of any size is read into memory


def create_app(
    settings: Settings,
    *,
    clock: ControlledClock | None = None,
    authority: Authority | None = None,
) -> Flask:
    """An app of its own over the database of `settings`.

    authority: by default the one kept in the data folder, whose files may raise OSError.
    Raises DatabaseUnusable and CaFileUnusable, each with a sentence for the operator. Close
    its services when done.
    """
    authority = authority or own_authority(settings.data_dir)
    engine = open_database(settings.database_path, durable=not settings.ephemeral)
    try:
        clock = clock or ControlledClock(settings.freeze_at)
        services = make_services(engine, settings, clock, authority)
        with services.sessions.begin() as session:
            fill_at_first_start(session, settings)
    except BaseException:
        engine.dispose()
        raise
    app = control_api.new_app("simulator", static_folder=None, template_folder=None)
    app.secret_key = (
        settings.secret_key.get_secret_value() if settings.secret_key else os.urandom(32)
    )
    app.config["MAX_CONTENT_LENGTH"] = MAX_REQUEST_BYTES
    app.extensions[EXTENSION] = services
    web.init_app(app)
    consoles = (agent_console, config_manager, config_crm, interactions)
    for blueprint in (*consoles, deliveries, instruments, histories, crm_api):
        app.register_blueprint(blueprint)
    app.register_api(health)
    control_api.register(app)
    return app
