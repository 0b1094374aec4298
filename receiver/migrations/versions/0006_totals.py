"""Totals for the metrics; what was done before begins them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "receiver_totals",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("label", sa.String(length=32), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "label"),
    )
    op.execute(
        "INSERT INTO receiver_totals (name, label, value)"
        " SELECT 'applied', verdict, count(*) FROM inbox_triggers"
        " WHERE cause = 'trigger' AND state = 'done' AND verdict IS NOT NULL GROUP BY verdict"
    )
    op.execute(
        "INSERT INTO receiver_totals (name, label, value)"
        " SELECT 'rejected', '', count(*) FROM inbox_rejects"
    )


def downgrade() -> None:
    op.drop_table("receiver_totals")
