"""`external-crm`: its tables and its dashboard. Exit codes: 0 done, 2 set-up wrong."""

import sys
from typing import Any

import click
import structlog
from pydantic import ValidationError
from werkzeug.serving import WSGIRequestHandler, make_server

from external_crm.app import create_app
from external_crm.db import MIGRATIONS, DatabaseUnusable, NotMigrated, make_engine
from external_crm.settings import Settings


class SentenceGroup(click.Group):
    """Turns what an operator can mend into one sentence and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except ValidationError as error:
            first = error.errors()[0]
            click.echo(
                f"EXTERNAL_CRM_{str(first['loc'][0]).upper()} is not usable: {first['msg']}.",
                err=True,
            )
        except DatabaseUnusable as error:
            click.echo(str(error), err=True)
        sys.exit(2)


@click.group(cls=SentenceGroup)
@click.version_option(package_name="crm-trigger-kit")
def main() -> None:
    """The External CRM's database and dashboard.

    EXTERNAL_CRM_DATABASE_URL says where the database is, EXTERNAL_CRM_HOST and EXTERNAL_CRM_PORT
    where the dashboard listens.
    """


@main.command()
def migrate() -> None:
    """Create the tables or bring them up to date; harmless to repeat."""
    engine = make_engine(Settings().database_url)
    MIGRATIONS.upgrade(engine)
    engine.dispose()
    click.echo("The database is up to date.")


@main.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.")
def serve(host: str | None, port: int | None) -> None:
    """Serve the dashboard: pages without a login, so keep it on loopback or behind one."""
    _configure_logs()
    settings = Settings()
    host, port = host or settings.host, settings.port if port is None else port
    engine = make_engine(settings.database_url)
    try:
        MIGRATIONS.check(engine)
    except NotMigrated as error:
        raise NotMigrated(f"{error} Run `external-crm migrate`.") from None
    try:
        server = make_server(
            host, port, create_app(engine), threaded=True, request_handler=_QuietHandler
        )
    except (OSError, SystemExit):
        # werkzeug answers a port in use with prints and SystemExit.
        raise DatabaseUnusable(
            f"Port {port} on {host} cannot be used. End what listens there, or choose another "
            "with --port."
        ) from None
    click.echo(f"Dashboard listens on http://{host}:{server.server_port}.")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
        engine.dispose()


def _configure_logs() -> None:
    """Events on standard error. A plain trace: the default one shows local variables, and so
    customers' data."""
    plain = structlog.dev.plain_traceback
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


class _QuietHandler(WSGIRequestHandler):
    """werkzeug's threaded server without a line for each request."""

    disable_nagle_algorithm = True

    def log(self, type: str, message: str, *args: Any) -> None:
        """Nothing: the pages say what there is to know."""
