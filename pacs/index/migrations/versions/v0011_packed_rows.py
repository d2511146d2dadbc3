"""On PostgreSQL: attributes of patients, studies and series may be bytes, and UIDs have indexes of their hashes.

Rows are not written in another form: what is there stays readable as it is. UIDs are long, and grow in many places at
once, one for each machine that makes them, so that a B-tree of them is left half full: of images 162 bytes each. A
unique index of 16 bytes of SHA-256 and a hash index to look up by take 80.

Written out, not made from `pacs.index.tables`: a step never changes after its release.
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("patients", ("attributes",)),
    ("studies", ("patient_attributes", "attributes")),
    ("series", ("attributes",)),
)
_KEYS = (
    ("instances", "sop_instance_uid", "", "uq_instances_hospital_sop_instance_uid"),
    ("series", "series_instance_uid", "study_row", "uq_series_hospital_series_instance_uid_study_row"),
)


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return  # a column of SQLite keeps text and bytes
    for table, columns in _COLUMNS:
        changes = (f"ALTER {column} TYPE BYTEA USING convert_to({column}, 'UTF8')" for column in columns)
        op.execute(f"ALTER TABLE {table} {', '.join(changes)}")
    for table, uid, within, key in _KEYS:
        named = f"hospital || '!' || {uid}" + (f" || '!' || {within}" if within else "")
        # A text becomes bytes by a function that an index may use, if its backslashes are doubled.
        digest = f"sha256(replace({named}, '\\', '\\\\')::bytea)"
        op.drop_constraint(key, table, type_="unique")
        op.execute(f"CREATE UNIQUE INDEX uq_{table}_key ON {table} ((encode(substr({digest}, 1, 16), 'hex')::uuid))")
        op.execute(f"CREATE INDEX ix_{table}_uid ON {table} USING hash ({uid})")


def downgrade() -> None:
    """Only the keys: what was written since cannot be read by an older version."""
    if op.get_bind().dialect.name == "postgresql":
        for table, uid, within, key in _KEYS:
            op.execute(f"DROP INDEX uq_{table}_key")
            op.execute(f"DROP INDEX ix_{table}_uid")
            op.create_unique_constraint(key, table, ["hospital", uid, *([within] if within else [])])
