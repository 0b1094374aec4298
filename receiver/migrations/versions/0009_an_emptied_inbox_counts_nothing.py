"""Whoever empties the inbox by TRUNCATE leaves no counts behind; SQLite has no such statement."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_NAME = "receiver_count_emptied"


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute(
        f"CREATE FUNCTION {_NAME}() RETURNS trigger LANGUAGE plpgsql AS"  # noqa: S608 - made of constants
        " $$ BEGIN DELETE FROM receiver_inbox_counts; RETURN NULL; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {_NAME} AFTER TRUNCATE ON inbox_triggers"
        f" FOR EACH STATEMENT EXECUTE FUNCTION {_NAME}()"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"DROP FUNCTION {_NAME} CASCADE")
