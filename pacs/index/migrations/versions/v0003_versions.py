"""Earlier versions of instances.

Written out, not made from `pacs.index.tables`: a step never changes after its release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "versions",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("hospital", WORD, nullable=False),
        sa.Column("sop_instance_uid", WORD, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("transfer_syntax_uid", WORD, nullable=False),
        sa.Column("segment_row", ROW_ID, nullable=True),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("data_set_offset", sa.BigInteger(), nullable=False),
        sa.Column("received_at_us", sa.BigInteger(), nullable=False),
        sa.Column("superseded_at_us", sa.BigInteger(), nullable=False),
        sa.Column("reason", WORD, nullable=False),
        sa.ForeignKeyConstraint(["segment_row"], ["segments.id"], name=op.f("fk_versions_segment_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_versions")),
        sa.UniqueConstraint(
            "hospital", "sop_instance_uid", "digest", name=op.f("uq_versions_hospital_sop_instance_uid_digest")
        ),
    )


def downgrade() -> None:
    op.drop_table("versions")
