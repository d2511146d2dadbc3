"""Storage commitment transactions (PS3.4 Annex J).

Written out, not made from `pacs.index.tables`: a step never changes after its release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "commitments",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("hospital", WORD, nullable=False),
        sa.Column("requester", WORD, nullable=False),
        sa.Column("transaction_uid", WORD, nullable=False),
        sa.Column("state", WORD, nullable=False),
        sa.Column("claim", WORD, nullable=False),
        sa.Column("due_at_us", sa.BigInteger(), nullable=False),
        sa.Column("requested_at_us", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("is_association_open", sa.Boolean(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("references", sa.LargeBinary(), nullable=False),
        sa.Column("failures", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commitments")),
        sa.UniqueConstraint("hospital", "requester", "transaction_uid", name="uq_commitments_key"),
    )
    op.create_index("ix_commitments_of_requester", "commitments", ["hospital", "requester", "state"], unique=False)
    op.create_index("ix_commitments_due", "commitments", ["state", "due_at_us"], unique=False)


def downgrade() -> None:
    op.drop_table("commitments")
