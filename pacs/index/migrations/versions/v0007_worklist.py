"""Workitems, who is told of them, and what is still to be told.

Written out, not made from `pacs.index.tables`: a step never changes after its release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
ROW = sa.BigInteger().with_variant(sa.Integer, "sqlite")
TRUTH = sa.Boolean(create_constraint=False)


def upgrade() -> None:
    op.create_table(
        "workitems",
        sa.Column("id", ROW, primary_key=True, autoincrement=True),
        sa.Column("hospital", WORD, nullable=False),
        sa.Column("workitem_uid", WORD, nullable=False),
        sa.Column("state", WORD, nullable=False),
        sa.Column("transaction_uid", WORD, nullable=False),
        sa.Column("worklist_label", WORD, nullable=False),
        sa.Column("patient_id", WORD, nullable=False),
        sa.Column("changed_at_us", sa.BigInteger(), nullable=False),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.UniqueConstraint("hospital", "workitem_uid", name=op.f("uq_workitems_hospital_workitem_uid")),
    )
    op.create_index("ix_workitems_state", "workitems", ["hospital", "state", "id"])
    op.create_index("ix_workitems_patient_id", "workitems", ["hospital", "patient_id", "id"])
    op.create_index("ix_workitems_in_order", "workitems", ["hospital", "id"])
    op.create_index("ix_workitems_old", "workitems", ["state", "changed_at_us"])
    op.create_table(
        "global_subscriptions",
        sa.Column("hospital", WORD, nullable=False),
        sa.Column("subscriber", WORD, nullable=False),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("is_locking", TRUTH, nullable=False),
        sa.Column("is_suspended", TRUTH, nullable=False),
        sa.Column("keys", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("hospital", "subscriber", "kind", name=op.f("pk_global_subscriptions")),
    )
    op.create_table(
        "workitem_subscriptions",
        sa.Column("hospital", WORD, nullable=False),
        sa.Column("workitem_row", ROW, sa.ForeignKey("workitems.id"), autoincrement=False, nullable=False),
        sa.Column("subscriber", WORD, nullable=False),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("is_locking", TRUTH, nullable=False),
        sa.PrimaryKeyConstraint("hospital", "workitem_row", "subscriber", name=op.f("pk_workitem_subscriptions")),
    )
    op.create_index(
        "ix_workitem_subscriptions_subscriber", "workitem_subscriptions", ["hospital", "subscriber", "workitem_row"]
    )
    op.create_index("ix_workitem_subscriptions_workitem", "workitem_subscriptions", ["workitem_row"])
    op.create_table(
        "workitem_events",
        sa.Column("id", ROW, primary_key=True, autoincrement=True),
        sa.Column("hospital", WORD, nullable=False),
        sa.Column("subscriber", WORD, nullable=False),
        sa.Column("workitem_uid", WORD, nullable=False),
        sa.Column("event_type", sa.BigInteger(), nullable=False),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.Column("made_at_us", sa.BigInteger(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_workitem_events_waiting", "workitem_events", ["hospital", "subscriber", "id"])


def downgrade() -> None:
    for table in ("workitem_events", "workitem_subscriptions", "global_subscriptions", "workitems"):
        op.drop_table(table)
