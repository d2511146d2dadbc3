"""The number of a modality has 64 bits: of 32, anybody could choose a modality that is counted as another one.

The table is made anew and filled from the rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pacs.index import study_modalities

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("study_modalities")
    _create(sa.BigInteger())
    study_modalities.fill(op.get_bind())


def downgrade() -> None:
    """Empty: no version was ever released that stopped at the step before."""
    op.drop_table("study_modalities")
    _create(sa.Integer())


def _create(of_modality: sa.types.TypeEngine[int]) -> None:
    op.create_table(
        "study_modalities",
        sa.Column("modality", of_modality, autoincrement=False, nullable=False),
        sa.Column("place", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("modality", "place", name=op.f("pk_study_modalities")),
        sqlite_with_rowid=False,
    )
