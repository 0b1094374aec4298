"""The index by record tells what waits from what is done, of which there may be much more."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_NAME, _TABLE = "ix_inbox_triggers_record", "inbox_triggers"


def upgrade() -> None:
    op.drop_index(_NAME, _TABLE)
    op.create_index(_NAME, _TABLE, ["kind", "record_id", "state", "received_at"])


def downgrade() -> None:
    op.drop_index(_NAME, _TABLE)
    op.create_index(_NAME, _TABLE, ["kind", "record_id", "received_at"])
