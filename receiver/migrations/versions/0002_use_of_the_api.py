"""What all workers share of the CRM API: its failures, the budget, and which kind is refused."""

import sqlalchemy as sa
from alembic import op

from external_crm.db import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "receiver_api_use",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failed_record", sa.String(length=96), nullable=True),
        sa.Column("tokens", sa.Double(), nullable=False),
        sa.Column("refilled_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.add_column("receiver_holds", sa.Column("kind", sa.String(length=16), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("receiver_holds") as holds:
        holds.drop_column("kind")
    op.drop_table("receiver_api_use")
