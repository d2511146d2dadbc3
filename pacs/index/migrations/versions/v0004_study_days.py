"""How many studies each day of a hospital has, so that a far page of the list is found without walking to it.

Written out, not made from `pacs.index.tables`: a step never changes after its release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "study_days",
        sa.Column("hospital", WORD, nullable=False),
        sa.Column("study_date", WORD, nullable=False),
        sa.Column("studies", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hospital", "study_date", name=op.f("pk_study_days")),
    )
    op.execute(
        "INSERT INTO study_days (hospital, study_date, studies)"
        " SELECT hospital, study_date, count(*) FROM studies GROUP BY hospital, study_date"
    )


def downgrade() -> None:
    op.drop_table("study_days")
