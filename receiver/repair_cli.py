"""`crm-receiver dead` and `crm-receiver rejects`: what an operator sees and does about them.

In: ids or conditions. Out: lines, or changed rows; what changes many says how many first.
Exit codes as in cli.py: 0 done, 1 not done, 2 asked wrongly.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
from sqlalchemy.orm import Session

from external_crm.db import read_session, session_factory
from external_crm.rows import Kind
from receiver import repair
from receiver.app import open_engine
from receiver.models import InboxTrigger, Reject
from receiver.repair import DeadChoice, RejectChoice
from receiver.settings import Settings

_Command = TypeVar("_Command", bound=Callable[..., Any])


@click.group()
def dead() -> None:
    """Look at triggers that were given up; replay or drop them."""


@click.group()
def rejects() -> None:
    """Look at requests that were no triggers; replay or drop them."""


def _chosen_by(*, kind: bool) -> Callable[[_Command], _Command]:
    """The conditions of list, replay and drop, as options."""
    kinds = click.Choice([kind.value for kind in Kind])
    options = [
        click.option("--before", type=click.DateTime(), help="Only those before this time (UTC)."),
        click.option("--reason", metavar="TEXT", help="Only those whose reason has this in it."),
    ]
    if kind:
        options += [
            click.option("--record", "record_id", metavar="ID", help="Only those of this record."),
            click.option("--kind", type=kinds, help="Only those of this kind."),
        ]

    def decorate(command: _Command) -> _Command:
        for option in options:
            command = option(command)
        return command

    return decorate


def _for_change(*, kind: bool) -> Callable[[_Command], _Command]:
    """What replay and drop take: ids, conditions, or --all, and --yes."""

    def decorate(command: _Command) -> _Command:
        command = click.option("--yes", is_flag=True, help="Do not ask.")(command)
        command = click.option("--all", "everything", is_flag=True, help="All of them.")(command)
        command = click.argument("ids", type=int, nargs=-1, metavar="[ID]...")(command)
        return _chosen_by(kind=kind)(command)

    return decorate


_limit = click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


# --- dead ---------------------------------------------------------------------------------------


@dead.command(name="list")
@_chosen_by(kind=True)
@_limit
@_as_json
def list_dead(limit: int, as_json: bool, **conditions: Any) -> None:
    """List dead triggers, newest first, each with its reason."""
    choice = _dead_choice((), **conditions)
    with _reading() as session:
        total = repair.count_dead(session, choice)
        rows = repair.list_dead(session, choice, limit)
    for row in rows:
        click.echo(json.dumps(_dead_fields(row)) if as_json else _dead_line(row))
    _say_how_many(total, len(rows), "dead trigger", as_json)


@dead.command(name="show")
@click.argument("row_id", metavar="ID", type=int)
def show_dead(row_id: int) -> None:
    """Show one dead trigger whole: its reason and the last reply."""
    with _reading() as session:
        rows = repair.list_dead(session, DeadChoice(ids=(row_id,)), 1)
    if not rows:
        raise click.ClickException(f"There is no dead trigger {row_id}. `dead list` shows them.")
    _show(_dead_fields(rows[0]))


@dead.command(name="replay")
@_for_change(kind=True)
def replay_dead(ids: tuple[int, ...], everything: bool, yes: bool, **conditions: Any) -> None:
    """Make dead triggers due again: by id, by condition, or all."""
    choice = _dead_choice(ids, **conditions)
    _demand_choice(asdict(choice), everything)
    with _reading() as session:
        count = repair.count_dead(session, choice)
    _agree(count, "dead trigger", "replay", yes)
    with _changing() as session:
        changed = repair.replay_dead(session, choice, datetime.now(UTC))
    click.echo(f"{_plural(changed, 'trigger')} due again now.")


@dead.command(name="drop")
@_for_change(kind=True)
def drop_dead(ids: tuple[int, ...], everything: bool, yes: bool, **conditions: Any) -> None:
    """Give dead triggers up for good; their records are not read on their account."""
    choice = _dead_choice(ids, **conditions)
    _demand_choice(asdict(choice), everything)
    with _reading() as session:
        count = repair.count_dead(session, choice)
    _agree(count, "dead trigger", "drop", yes)
    with _changing() as session:
        changed = repair.drop_dead(session, choice, datetime.now(UTC))
    click.echo(f"{_plural(changed, 'dead trigger')} dropped.")


def _dead_choice(ids: tuple[int, ...], kind: str | None, **others: Any) -> DeadChoice:
    return DeadChoice(ids, Kind(kind) if kind else None, **_aware(others))


def _dead_fields(row: InboxTrigger) -> dict[str, Any]:
    return {
        "id": row.id,
        "cause": row.cause,
        "kind": row.kind,
        "event": row.event,
        "record_id": row.record_id,
        "account_id": row.account_id,
        "case_id": row.case_id,
        "received_at": _instant(row.received_at),
        "given_up_at": _instant(row.finished_at),
        "attempts": row.attempts,
        "reason": row.last_error,
        "last_reply": row.last_reply,
    }


def _dead_line(row: InboxTrigger) -> str:
    what = f"{row.kind} {row.event or row.cause}"
    given_up_at = _instant(row.finished_at)
    return f"{row.id:<8} {what:<16} {row.record_id:<12} {given_up_at}  {row.last_error}"


# --- rejects ------------------------------------------------------------------------------------


@rejects.command(name="list")
@_chosen_by(kind=False)
@_limit
@_as_json
def list_rejects(limit: int, as_json: bool, **conditions: Any) -> None:
    """List rejects, newest first, each with its reason."""
    choice = RejectChoice(**_aware(conditions))
    with _reading() as session:
        total = repair.count_rejects(session, choice)
        rows = repair.list_rejects(session, choice, limit)
    for row in rows:
        fields = _reject_fields(row)
        line = f"{row.id:<8} {fields['received_at']}  {row.method:<4} {row.line[:80]}  {row.reason}"
        click.echo(json.dumps(fields) if as_json else line)
    _say_how_many(total, len(rows), "reject", as_json)


@rejects.command(name="show")
@click.argument("row_id", metavar="ID", type=int)
def show_reject(row_id: int) -> None:
    """Show one reject whole."""
    with _reading() as session:
        rows = repair.list_rejects(session, RejectChoice(ids=(row_id,)), 1)
    if not rows:
        raise click.ClickException(f"There is no reject {row_id}. `rejects list` shows them.")
    _show(_reject_fields(rows[0]))


@rejects.command(name="replay")
@_for_change(kind=False)
def replay_rejects(ids: tuple[int, ...], everything: bool, yes: bool, **conditions: Any) -> None:
    """Read rejects again; what is a trigger now is stored and due."""
    choice = RejectChoice(ids, **_aware(conditions))
    _demand_choice(asdict(choice), everything)
    with _reading() as session:
        count = repair.count_rejects(session, choice)
    _agree(count, "reject", "replay", yes)
    with _changing() as session:
        stored, refused = repair.replay_rejects(session, choice, datetime.now(UTC))
    click.echo(f"{_plural(stored, 'trigger')} stored and due now; {refused} still rejected.")


@rejects.command(name="drop")
@_for_change(kind=False)
def drop_rejects(ids: tuple[int, ...], everything: bool, yes: bool, **conditions: Any) -> None:
    """Delete rejects."""
    choice = RejectChoice(ids, **_aware(conditions))
    _demand_choice(asdict(choice), everything)
    with _reading() as session:
        count = repair.count_rejects(session, choice)
    _agree(count, "reject", "drop", yes)
    with _changing() as session:
        dropped = repair.drop_rejects(session, choice)
    click.echo(f"{_plural(dropped, 'reject')} dropped.")


def _reject_fields(row: Reject) -> dict[str, Any]:
    return {
        "id": row.id,
        "received_at": _instant(row.received_at),
        "method": row.method,
        "line": row.line,
        "reason": row.reason,
    }


# --- both ---------------------------------------------------------------------------------------


@contextmanager
def _reading() -> Iterator[Session]:
    engine = open_engine(Settings.load())
    try:
        with read_session(engine) as session:
            yield session
    finally:
        engine.dispose()


@contextmanager
def _changing() -> Iterator[Session]:
    engine = open_engine(Settings.load())
    try:
        with session_factory(engine).begin() as session:
            yield session
    finally:
        engine.dispose()


def _demand_choice(conditions: dict[str, Any], everything: bool) -> None:
    """Nobody replays or drops all of them by a slip of the pen."""
    if everything == any(conditions.values()):
        raise click.UsageError("Give ids or conditions, or --all, but not both.")


def _agree(count: int, what: str, verb: str, yes: bool) -> None:
    """Say how many are concerned, and ask unless told not to; ends the command on no.

    Never inside a transaction: triggers could not be stored while the operator thinks.
    """
    if count == 0:
        raise click.ClickException(f"No {what} is chosen; nothing was changed.")
    if not yes:
        click.confirm(f"{verb.capitalize()} {_plural(count, what)}?", abort=True)


def _say_how_many(total: int, shown: int, what: str, as_json: bool) -> None:
    if not as_json:
        rest = f", the newest {shown} are shown" if shown < total else ""
        click.echo(f"{_plural(total, what)}{rest}.")


def _show(fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        if value is not None:
            click.echo(f"{name.replace('_', ' '):<12} {value}")


def _plural(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _aware(conditions: dict[str, Any]) -> dict[str, Any]:
    before = conditions.pop("before", None)
    return conditions | {"before": before and before.replace(tzinfo=UTC)}


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
