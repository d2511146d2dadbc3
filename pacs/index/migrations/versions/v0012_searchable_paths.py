"""Searchable attributes may lie in sequences, and have the VR with which they were sent.

Names and private attributes are looked through again: names with several groups were kept group by group, private
values as text.

Written out, not made from `pacs.index.tables`: a step never changes after its release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pydicom.datadict import dictionary_VR

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_KEPT = "id, tag, private_creator, level, done_until, is_removed"


def upgrade() -> None:
    connection = op.get_bind()
    rows = connection.execute(sa.text(f"SELECT {_KEPT} FROM searchable_attributes")).mappings().all()  # noqa: S608
    op.drop_table("searchable_attributes")
    made = op.create_table(
        "searchable_attributes",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("sequences", WORD, nullable=False),
        sa.Column("tag", sa.BigInteger(), nullable=False),
        sa.Column("private_creator", WORD, nullable=False),
        sa.Column("vr", WORD, nullable=False),
        sa.Column("level", WORD, nullable=False),
        sa.Column("done_until", sa.BigInteger(), nullable=False),
        sa.Column("is_removed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_searchable_attributes")),
        sa.UniqueConstraint("sequences", "tag", "private_creator", name="uq_searchable_attributes_path"),
    )
    for row in rows:
        vr = "" if row["private_creator"] else dictionary_VR(row["tag"])[:2]
        done_until = row["done_until"]
        if vr in ("", "PN"):
            done_until = 0
            connection.execute(
                sa.text("DELETE FROM attribute_values WHERE attribute = :attribute"), {"attribute": row["id"]}
            )
        connection.execute(sa.insert(made).values(**{**row, "sequences": "", "vr": vr, "done_until": done_until}))
    if rows and connection.dialect.name == "postgresql":
        connection.execute(
            sa.text("SELECT setval(pg_get_serial_sequence('searchable_attributes', 'id'), :last)"),
            {"last": max(row["id"] for row in rows)},
        )


def downgrade() -> None:
    """Nothing that lies in a sequence stays."""
    connection = op.get_bind()
    connection.execute(
        sa.text(
            "DELETE FROM attribute_values WHERE attribute IN"
            " (SELECT id FROM searchable_attributes WHERE sequences <> '')"
        )
    )
    connection.execute(sa.text("DELETE FROM searchable_attributes WHERE sequences <> ''"))
    with op.batch_alter_table("searchable_attributes") as batch:
        batch.drop_constraint("uq_searchable_attributes_path", type_="unique")
        batch.drop_column("sequences")
        batch.drop_column("vr")
        batch.create_unique_constraint("uq_searchable_attributes_tag", ["tag", "private_creator"])
