"""Signs of life of the workers, and the oldest waiting trigger at a glance."""

import sqlalchemy as sa
from alembic import op

from external_crm.db import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_WAITING = sa.text("state = 'waiting'")


def upgrade() -> None:
    op.create_table(
        "receiver_heartbeats",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("beat_at", UtcDateTime(), nullable=False),
        sa.Column("restarts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index(
        "ix_inbox_triggers_waiting",
        "inbox_triggers",
        ["received_at"],
        sqlite_where=_WAITING,
        postgresql_where=_WAITING,
    )


def downgrade() -> None:
    op.drop_index("ix_inbox_triggers_waiting", "inbox_triggers")
    op.drop_table("receiver_heartbeats")
