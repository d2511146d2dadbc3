"""Grams of studies and patients are made anew: names that are close to a word are found by grams, too."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_TABLES = ("study_grams", "patient_grams")


def upgrade() -> None:
    """Drop them; who migrates makes what is missing from the rows."""
    there = sa.inspect(op.get_bind()).get_table_names()
    for table in _TABLES:
        if table in there:
            op.drop_table(table)


def downgrade() -> None:
    """As `upgrade`: an older version makes its own."""
    upgrade()
