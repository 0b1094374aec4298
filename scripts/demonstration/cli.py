"""The command line of the demo.

In: options. Out: exit code 0 (equal), 1 (not, or something ended midway), 2 (could not start),
130 (interrupted before the comparison). An error is a sentence, never a stack trace.
"""

import sqlite3
import sys
from pathlib import Path

import click
from rich.console import Console

from scripts.demonstration.agents import EVENTS
from scripts.demonstration.compare import compare
from scripts.demonstration.console import PageFailed
from scripts.demonstration.interrupt import Interrupt, Interrupted
from scripts.demonstration.observe import open_read_only
from scripts.demonstration.parts import HOST, RETRY_SCHEDULE
from scripts.demonstration.processes import CannotStart, ProgramEnded, refuse_ports_in_use
from scripts.demonstration.screen import Screen, comparison_table
from scripts.demonstration.story import Options, Story
from scripts.demonstration.workplace import Workplace, workplace

_ACTIONS_FOR_PICTURES = 60
_SECRET_IN_PICTURES = "a-secret-of-your-own-24"  # noqa: S105 everybody will see it
EQUAL, NOT_EQUAL, CANNOT_START, INTERRUPTED = 0, 1, 2, 130


@click.group(invoke_without_command=True)
@click.option("--once", is_flag=True, help="Exit after the comparison: 0 equal, 1 not.")
@click.option(
    "--actions",
    default=200,
    show_default=True,
    type=click.IntRange(min=len(EVENTS)),
    help="How much the agents do; the first eleven actions are the eleven events.",
)
@click.option("--seed", default=1, show_default=True, help="Equal seeds, equal data and actions.")
@click.option("--no-outage", is_flag=True, help="Do not kill the receiver midway.")
@click.option(
    "--port-base",
    default=8801,
    show_default=True,
    type=click.IntRange(1, 65533),
    help="First of three ports: simulator, receiver, dashboard.",
)
@click.option(
    "--keep-data",
    type=click.Path(path_type=Path),
    help="Keep databases and logs in this folder, which must be empty or new.",
)
@click.pass_context
def main(
    context: click.Context,
    once: bool,
    actions: int,
    seed: int,
    no_outage: bool,
    port_base: int,
    keep_data: Path | None,
) -> None:
    """Show the whole path on this machine: an agent's action, its trigger, the External CRM."""
    if context.invoked_subcommand is not None:
        return
    interrupt = context.obj if isinstance(context.obj, Interrupt) else Interrupt()
    options = Options(actions, seed, not no_outage, port_base)
    try:
        refuse_ports_in_use(HOST, (port_base, port_base + 1, port_base + 2))
        with workplace(keep_data) as place:
            sys.exit(_run(options, once, place, interrupt))
    except CannotStart as error:
        click.echo(error, err=True)
        sys.exit(CANNOT_START)


@main.command("compare")
@click.argument("local_db", type=click.Path(path_type=Path))
@click.argument("external_db", type=click.Path(path_type=Path))
def compare_command(local_db: Path, external_db: Path) -> None:
    """Compare two databases that a demo left: exit code 0 equal, 1 not, 2 unreadable."""
    try:
        with open_read_only(local_db) as local, open_read_only(external_db) as external:
            comparison = compare(local, external)
    except sqlite3.Error as error:
        click.echo(f"{local_db} and {external_db} cannot be compared: {error}.", err=True)
        sys.exit(CANNOT_START)
    Console().print(comparison_table(comparison))
    for sentence in comparison.differences:
        click.echo(sentence)
    sys.exit(EQUAL if comparison.equal else NOT_EQUAL)


@main.command("screenshots")
@click.option("--port-base", default=8801, show_default=True, type=click.IntRange(1, 65533))
@click.option(
    "--into",
    "folder",
    default=Path("docs/screenshots"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="The folder of the pictures.",
)
@click.pass_context
def screenshots_command(context: click.Context, port_base: int, folder: Path) -> None:
    """Run a demo and take pictures of its pages, for the README."""
    from playwright.sync_api import Error

    from scripts.demonstration.chromium import HOW_TO_INSTALL, program
    from scripts.demonstration.pictures import take_pictures

    if program() is None:
        click.echo(f"There is no Chromium: {HOW_TO_INSTALL}.", err=True)
        sys.exit(CANNOT_START)
    interrupt = context.obj if isinstance(context.obj, Interrupt) else Interrupt()
    screen = Screen(_ACTIONS_FOR_PICTURES, RETRY_SCHEDULE)
    options = Options(_ACTIONS_FOR_PICTURES, 1, False, port_base, _SECRET_IN_PICTURES)
    try:
        refuse_ports_in_use(HOST, (port_base, port_base + 1, port_base + 2))
        with workplace(None) as place:
            story = Story(options, place.folder, screen, interrupt)
            with story.tell():
                take_pictures(story.parts, folder, screen.say)
    except CannotStart as error:
        click.echo(error, err=True)
        sys.exit(CANNOT_START)
    except Interrupted:
        sys.exit(INTERRUPTED)
    except (ProgramEnded, PageFailed, Error, AssertionError, TimeoutError, OSError) as error:
        click.echo(f"The pictures could not be taken: {error}", err=True)
        sys.exit(NOT_EQUAL)


def _run(options: Options, once: bool, place: Workplace, interrupt: Interrupt) -> int:
    """The exit code; the folder is kept when there is something to find in it."""
    screen = Screen(options.actions, RETRY_SCHEDULE)
    code = INTERRUPTED
    try:
        story = Story(options, place.folder, screen, interrupt)
        with story.tell() as code:
            if not once:
                story.stay_up()
    except Interrupted:
        screen.say("Stopped. No process is left.")
    except CannotStart:
        place.keep = True
        raise
    except (ProgramEnded, PageFailed) as error:
        click.echo(error, err=True)
        code = NOT_EQUAL
    except (sqlite3.Error, OSError) as error:
        click.echo(f"The demo could not go on: {error}.", err=True)
        code = NOT_EQUAL
    if code == NOT_EQUAL:
        place.keep = True
        screen.say(f"Databases and logs are in {place.folder}.")
    return code
