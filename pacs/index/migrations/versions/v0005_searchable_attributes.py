"""Attributes that an operator made searchable, and their values.

Written out, not made from `pacs.index.tables`: a step never changes after its release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "searchable_attributes",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("tag", sa.BigInteger(), nullable=False),
        sa.Column("private_creator", WORD, nullable=False),
        sa.Column("level", WORD, nullable=False),
        sa.Column("done_until", sa.BigInteger(), nullable=False),
        sa.Column("is_removed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_searchable_attributes")),
        sa.UniqueConstraint("tag", "private_creator", name="uq_searchable_attributes_tag"),
    )
    op.create_table(
        "attribute_values",
        sa.Column("attribute", ROW_ID, nullable=False),
        sa.Column("row", ROW_ID, nullable=False),
        sa.Column("value", WORD, nullable=False),
        sa.Column("hospital", WORD, nullable=False),
        sa.Column("shown", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("attribute", "row", "value", name=op.f("pk_attribute_values")),
    )
    op.create_index("ix_attribute_values_value", "attribute_values", ["hospital", "attribute", "value", "row"])


def downgrade() -> None:
    op.drop_table("attribute_values")
    op.drop_table("searchable_attributes")
