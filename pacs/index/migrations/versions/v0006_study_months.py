"""How many studies each month of a hospital has, so that the days need not all be summed up.

Written out, not made from `pacs.index.tables`: a step never changes after its release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "study_months",
        sa.Column("hospital", WORD, nullable=False),
        sa.Column("study_month", WORD, nullable=False),
        sa.Column("studies", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hospital", "study_month", name=op.f("pk_study_months")),
    )
    op.execute(
        "INSERT INTO study_months (hospital, study_month, studies)"
        " SELECT hospital, substr(study_date, 1, 6), sum(studies) FROM study_days GROUP BY 1, 2"
    )


def downgrade() -> None:
    op.drop_table("study_months")
