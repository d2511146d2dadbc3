"""Grams are made anew: whole names, four digits of a number, month and year of a study are grams, too."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
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
