"""How many rows of the inbox there are of each sort, kept by the database itself.

With it go two indexes, which find the oldest row of each cause and those that are held.

Whoever rebuilds inbox_triggers on SQLite (a batch migration) loses its triggers: make them again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_SORT = "state, cause, attempts + postponed > 0"
_KEY = "state, cause, failed, slot"
_ADD = "ON CONFLICT ({key}) DO UPDATE SET number = receiver_inbox_counts.number + excluded.number"

_SQLITE = {
    "receiver_count_stored": ("INSERT", {"NEW": 1}),
    "receiver_count_changed": (
        "UPDATE OF state, cause, attempts, postponed",
        {"OLD": -1, "NEW": 1},
    ),
    "receiver_count_removed": ("DELETE", {"OLD": -1}),
}

# By statement, not by row: a group of stored triggers costs one addition.
_POSTGRESQL = {
    "receiver_count_stored": ("INSERT", {"arrived": ("NEW", 1)}),
    "receiver_count_changed": ("UPDATE", {"gone": ("OLD", -1), "arrived": ("NEW", 1)}),
    "receiver_count_removed": ("DELETE", {"gone": ("OLD", -1)}),
}


def upgrade() -> None:
    op.create_table(
        "receiver_inbox_counts",
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("cause", sa.String(length=16), nullable=False),
        sa.Column("failed", sa.Boolean(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("state", "cause", "failed", "slot"),
    )
    _index_waiting("cause", "received_at")
    op.create_index(
        "ix_inbox_triggers_held",
        "inbox_triggers",
        ["state"],
        sqlite_where=sa.text("held IS 1"),
        postgresql_where=sa.text("held IS true"),
    )
    op.execute(
        f"INSERT INTO receiver_inbox_counts ({_KEY}, number)"  # noqa: S608 - made of constants
        f" SELECT {_SORT}, 0, count(*) FROM inbox_triggers GROUP BY 1, 2, 3"
    )
    if op.get_bind().dialect.name == "sqlite":
        for name, (event, signs) in _SQLITE.items():
            op.execute(_sqlite_trigger(name, event, signs))
        return
    for name, (event, rows) in _POSTGRESQL.items():
        for statement in _postgresql_trigger(name, event, rows):
            op.execute(statement)


def downgrade() -> None:
    for name in _SQLITE:
        if op.get_bind().dialect.name == "sqlite":
            op.execute(f"DROP TRIGGER {name}")
        else:
            op.execute(f"DROP FUNCTION {name} CASCADE")
    op.drop_table("receiver_inbox_counts")
    op.drop_index("ix_inbox_triggers_held", "inbox_triggers")
    _index_waiting("received_at")


def _index_waiting(*columns: str) -> None:
    waiting = sa.text("state = 'waiting'")
    name = "ix_inbox_triggers_waiting"
    op.drop_index(name, "inbox_triggers")
    op.create_index(name, "inbox_triggers", columns, sqlite_where=waiting, postgresql_where=waiting)


def _sqlite_trigger(name: str, event: str, rows: dict[str, int]) -> str:
    """One writer at a time: all add to slot 0."""
    add = _ADD.format(key=_KEY)
    steps = "".join(
        f" INSERT INTO receiver_inbox_counts ({_KEY}, number)"  # noqa: S608
        f" VALUES ({row}.state, {row}.cause, {row}.attempts + {row}.postponed > 0, 0, {sign})"
        f" {add};"
        for row, sign in rows.items()
    )
    return f"CREATE TRIGGER {name} AFTER {event} ON inbox_triggers BEGIN{steps} END"


def _postgresql_trigger(name: str, event: str, rows: dict[str, tuple[str, int]]) -> tuple[str, str]:
    """Each connection adds to a slot of its own, so that nobody waits for another's commit."""
    tables = " ".join(f"{age} TABLE AS {table}" for table, (age, _) in rows.items())
    changes = " UNION ALL ".join(
        f"SELECT {_SORT}, {sign} FROM {table}"  # noqa: S608
        for table, (_, sign) in rows.items()
    )
    function = (
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"  # noqa: S608
        f" INSERT INTO receiver_inbox_counts ({_KEY}, number)"
        " SELECT state, cause, failed, pg_backend_pid(), sum(sign)"
        f" FROM ({changes}) AS changed (state, cause, failed, sign)"
        " GROUP BY 1, 2, 3 HAVING sum(sign) <> 0"
        f" {_ADD.format(key=_KEY)}; RETURN NULL; END $$"
    )
    trigger = (
        f"CREATE TRIGGER {name} AFTER {event} ON inbox_triggers REFERENCING {tables}"
        f" FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
    )
    return function, trigger
