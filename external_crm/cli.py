"""`external-crm`: its tables and its dashboard. Exit codes: 0 done, 2 set-up wrong."""

import signal
import socket
import sys
from typing import Any

import click
from pydantic import ValidationError
from werkzeug.serving import WSGIRequestHandler, make_server

from external_crm import logs
from external_crm.app import create_app
from external_crm.db import MIGRATIONS, DatabaseUnusable, NotMigrated, make_engine
from external_crm.settings import Settings


class PortUnusable(Exception):
    """The dashboard cannot listen where it should; the message says what to do."""


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
        except (NotMigrated, PortUnusable) as error:
            click.echo(str(error), err=True)
        except DatabaseUnusable as error:
            click.echo(f"{error} It is set by EXTERNAL_CRM_DATABASE_URL.", err=True)
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
    """Create or update the tables.

    Harmless to repeat; `crm-receiver migrate` does it too.
    """
    engine = make_engine(Settings().database_url)
    MIGRATIONS.upgrade(engine)
    engine.dispose()
    click.echo("The database is up to date.")


@main.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.")
def serve(host: str | None, port: int | None) -> None:
    """Serve the dashboard.

    Its pages ask for no login, so keep it on loopback or behind one.
    """
    logs.configure()
    settings = Settings()
    host, port = host or settings.host, settings.port if port is None else port
    engine = make_engine(settings.database_url)
    try:
        MIGRATIONS.check(engine)
    except NotMigrated as error:
        raise NotMigrated(f"{error} Run `external-crm migrate`.") from None
    with _listen(host, port) as listening:
        port = listening.getsockname()[1]
        server = make_server(
            host,
            port,
            create_app(engine),
            threaded=True,
            request_handler=_QuietHandler,
            fd=listening.fileno(),  # werkzeug keeps a duplicate
        )
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # end as at Ctrl-C
        click.echo(f"Dashboard listens on http://{host}:{port}.")
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
        engine.dispose()


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens; werkzeug's own answer to a port in use is prints and SystemExit."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()
        return listening
    except OSError as error:
        listening.close()
        raise PortUnusable(
            f"Port {port} on {host} cannot be used: {error.strerror}. End what listens there, or "
            "choose another with --port or EXTERNAL_CRM_PORT."
        ) from None


class _QuietHandler(WSGIRequestHandler):
    """werkzeug's threaded server without a line for each request."""

    disable_nagle_algorithm = True

    def log(self, type: str, message: str, *args: Any) -> None:
        """Nothing: the pages say what there is to know."""
