"""PostgreSQL has a table of whole names, descriptions and study IDs, and where their studies stand in the list."""

from __future__ import annotations

from alembic import op

from pacs.index import whole_values

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take away what may be left; who migrates makes what is missing from the rows."""
    whole_values.drop(op.get_bind())


def downgrade() -> None:
    """An older version does not keep it up to date."""
    whole_values.drop(op.get_bind())
