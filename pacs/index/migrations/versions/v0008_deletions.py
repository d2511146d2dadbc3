"""What was deleted, by whom, why and until when it can be restored.

Written out, not made from `pacs.index.tables`: a step never changes after its release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "deletions",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("hospital", WORD, nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("study_instance_uid", WORD, nullable=False),
        sa.Column("series_instance_uid", WORD, nullable=False),
        sa.Column("sop_instance_uid", WORD, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("deleted_at_us", sa.BigInteger(), nullable=False),
        sa.Column("erase_at_us", sa.BigInteger(), nullable=False),
        sa.Column("state", WORD, nullable=False),
        sa.Column("instances", sa.BigInteger(), nullable=False),
        sa.Column("stored_bytes", sa.BigInteger(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deletions")),
        sa.UniqueConstraint("hospital", "name", name=op.f("uq_deletions_hospital_name")),
    )
    op.create_index("ix_deletions_of_study", "deletions", ["hospital", "study_instance_uid"])
    op.create_index("ix_deletions_due", "deletions", ["state", "erase_at_us"])


def downgrade() -> None:
    op.drop_table("deletions")
