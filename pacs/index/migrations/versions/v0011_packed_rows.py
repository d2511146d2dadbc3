"""On PostgreSQL: attributes of patients, studies and series may be bytes, and keys by UID begin with the UID.

Rows are not written in another form: what is there stays readable as it is. A page of an index is divided better where
its first column is what differs: of keys (hospital, UID) PostgreSQL left pages half full.

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
    ("instances", "uq_instances_hospital_sop_instance_uid", ("hospital", "sop_instance_uid")),
    ("studies", "uq_studies_hospital_study_instance_uid", ("hospital", "study_instance_uid")),
    (
        "series",
        "uq_series_hospital_series_instance_uid_study_row",
        ("hospital", "series_instance_uid", "study_row"),
    ),
)


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return  # a column of SQLite keeps text and bytes
    for table, columns in _COLUMNS:
        changes = (f"ALTER {column} TYPE BYTEA USING convert_to({column}, 'UTF8')" for column in columns)
        op.execute(f"ALTER TABLE {table} {', '.join(changes)}")
    for table, key, (hospital, uid, *rest) in _KEYS:
        op.drop_constraint(key, table, type_="unique")
        op.create_unique_constraint(key, table, [uid, hospital, *rest])


def downgrade() -> None:
    """Only the keys: what was written since cannot be read by an older version."""
    if op.get_bind().dialect.name == "postgresql":
        for table, key, columns in _KEYS:
            op.drop_constraint(key, table, type_="unique")
            op.create_unique_constraint(key, table, list(columns))
