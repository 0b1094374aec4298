"""Rows, sync state and audit; the one counter as a row on SQLite, a sequence on PostgreSQL."""

import sqlalchemy as sa
from alembic import op

from external_crm.db import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("record_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("before", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("after", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("cause", sa.String(length=16), nullable=False),
        sa.Column("cause_id", sa.BigInteger(), nullable=True),
        sa.Column("ticket", sa.BigInteger(), nullable=False),
        sa.Column("written_at", UtcDateTime(), nullable=False),
        sa.Column("previous_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("kind", "record_id", "number"),
    )
    op.create_index("ix_audit_entries_written_at", "audit_entries", ["written_at"])

    op.create_table(
        "customers",
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("first_name", sa.Text(), nullable=False),
        sa.Column("last_name", sa.Text(), nullable=False),
        sa.Column("company", sa.Text(), nullable=False),
        sa.Column("pbx", sa.Text(), nullable=False),
        sa.Column("comments", sa.Text(), nullable=False),
        sa.Column("customer_type", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("voice", sa.Text(), nullable=False),
        sa.Column("alternative", sa.Text(), nullable=False),
        sa.Column("fax", sa.Text(), nullable=False),
        sa.Column("address1_line1", sa.Text(), nullable=False),
        sa.Column("address1_line2", sa.Text(), nullable=False),
        sa.Column("address1_city", sa.Text(), nullable=False),
        sa.Column("address1_state", sa.Text(), nullable=False),
        sa.Column("address1_zip", sa.Text(), nullable=False),
        sa.Column("address1_country", sa.Text(), nullable=False),
        sa.Column("address2_line1", sa.Text(), nullable=False),
        sa.Column("address2_line2", sa.Text(), nullable=False),
        sa.Column("address2_city", sa.Text(), nullable=False),
        sa.Column("address2_state", sa.Text(), nullable=False),
        sa.Column("address2_zip", sa.Text(), nullable=False),
        sa.Column("address2_country", sa.Text(), nullable=False),
        sa.Column("custom_fields", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("account_id"),
    )
    if op.get_bind().dialect.name == "sqlite":
        counter = op.create_table(
            "fence_counter",
            sa.Column("id", sa.Integer(), nullable=False),
            sa.Column("value", sa.BigInteger(), nullable=False),
            sa.PrimaryKeyConstraint("id"),
        )
        op.bulk_insert(counter, [{"id": 1, "value": 0}])
    else:
        op.execute(sa.schema.CreateSequence(sa.Sequence("fence_counter_sequence")))
    op.create_table(
        "sync_state",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("ticket", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("ks", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("first_not_found_at", UtcDateTime(), nullable=True),
        sa.Column("unexplained_gone_at", UtcDateTime(), nullable=True),
        sa.Column("audit_number", sa.Integer(), nullable=False),
        sa.Column("audit_hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("kind", "id"),
    )
    op.create_index("ix_sync_state_unexplained", "sync_state", ["unexplained_gone_at"])

    op.create_table(
        "cases",
        sa.Column("case_id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("customer_ref", sa.String(length=64), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("visibility", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("assigned_to", sa.Text(), nullable=False),
        sa.Column("assigned_date", sa.Date(), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_date", sa.Date(), nullable=True),
        sa.Column("closed_by", sa.Text(), nullable=False),
        sa.Column("closed_date", sa.Date(), nullable=True),
        sa.Column("last_activity_date", sa.Date(), nullable=True),
        sa.Column("custom_fields", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["customer_ref"], ["customers.account_id"], ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("case_id"),
    )
    op.create_index("ix_cases_account_id", "cases", ["account_id"])
    op.create_index("ix_cases_customer_ref", "cases", ["customer_ref"])
    op.create_index("ix_cases_status", "cases", ["status"])

    op.create_table(
        "tasks",
        sa.Column("task_id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("customer_ref", sa.String(length=64), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("assigned_to", sa.Text(), nullable=False),
        sa.Column("call_type", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("middleware_url", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_date", sa.Date(), nullable=True),
        sa.Column("last_modified_date", sa.Date(), nullable=True),
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("parent_task_id", sa.Text(), nullable=False),
        sa.Column("custom_fields", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["customer_ref"], ["customers.account_id"], ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("task_id"),
    )
    op.create_index("ix_tasks_account_id", "tasks", ["account_id"])
    op.create_index("ix_tasks_customer_ref", "tasks", ["customer_ref"])

    op.create_table(
        "followups",
        sa.Column("followup_id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("case_id", sa.String(length=64), nullable=False),
        sa.Column("customer_ref", sa.String(length=64), nullable=True),
        sa.Column("case_ref", sa.String(length=64), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("visibility", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_date", sa.Date(), nullable=True),
        sa.Column("custom_fields", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["case_ref"], ["cases.case_id"], ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["customer_ref"], ["customers.account_id"], ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("followup_id"),
    )
    op.create_index("ix_followups_account_id", "followups", ["account_id"])
    op.create_index("ix_followups_case_id", "followups", ["case_id"])
    op.create_index("ix_followups_case_ref", "followups", ["case_ref"])
    op.create_index("ix_followups_customer_ref", "followups", ["customer_ref"])


def downgrade() -> None:
    for table in ("followups", "tasks", "cases", "sync_state", "customers", "audit_entries"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "sqlite":
        op.drop_table("fence_counter")
    else:
        op.execute(sa.schema.DropSequence(sa.Sequence("fence_counter_sequence")))
