"""First tables: patients, studies, series, segments, instances.

Written out, not made from `pacs.index.tables`: a step never changes after its release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "patients",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("hospital", WORD, nullable=False),
        sa.Column("patient_id", WORD, nullable=False),
        sa.Column("issuer_of_patient_id", WORD, nullable=False),
        sa.Column("lone_study_uid", WORD, nullable=False),
        sa.Column("patient_name", WORD, nullable=False),
        sa.Column("patient_name_ideographic", WORD, nullable=False),
        sa.Column("patient_name_phonetic", WORD, nullable=False),
        sa.Column("patient_birth_date", WORD, nullable=False),
        sa.Column("patient_sex", WORD, nullable=False),
        sa.Column("studies", sa.BigInteger(), nullable=False),
        sa.Column("series", sa.BigInteger(), nullable=False),
        sa.Column("instances", sa.BigInteger(), nullable=False),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patients")),
        sa.UniqueConstraint(
            "hospital", "patient_id", "issuer_of_patient_id", "lone_study_uid", name="uq_patients_identity"
        ),
    )
    op.create_index("ix_patients_newest", "patients", ["hospital", "id"], unique=False)
    op.create_index("ix_patients_name", "patients", ["hospital", "patient_name"], unique=False)
    op.create_index("ix_patients_name_ideographic", "patients", ["hospital", "patient_name_ideographic"], unique=False)
    op.create_index("ix_patients_name_phonetic", "patients", ["hospital", "patient_name_phonetic"], unique=False)
    op.create_table(
        "segments",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("hospital", WORD, nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("end_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segments")),
        sa.UniqueConstraint("hospital", "name", name=op.f("uq_segments_hospital_name")),
    )
    op.create_table(
        "studies",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("hospital", WORD, nullable=False),
        sa.Column("study_instance_uid", WORD, nullable=False),
        sa.Column("patient_row", ROW_ID, nullable=False),
        sa.Column("patient_id", WORD, nullable=False),
        sa.Column("issuer_of_patient_id", WORD, nullable=False),
        sa.Column("patient_name", WORD, nullable=False),
        sa.Column("patient_name_ideographic", WORD, nullable=False),
        sa.Column("patient_name_phonetic", WORD, nullable=False),
        sa.Column("patient_birth_date", WORD, nullable=False),
        sa.Column("patient_sex", WORD, nullable=False),
        sa.Column("study_date", WORD, nullable=False),
        sa.Column("study_time", WORD, nullable=False),
        sa.Column("accession_number", WORD, nullable=False),
        sa.Column("study_id", WORD, nullable=False),
        sa.Column("study_description", WORD, nullable=False),
        sa.Column("modalities_in_study", WORD, nullable=False),
        sa.Column("sop_classes_in_study", WORD, nullable=False),
        sa.Column("series", sa.BigInteger(), nullable=False),
        sa.Column("instances", sa.BigInteger(), nullable=False),
        sa.Column("patient_attributes", sa.Text(), nullable=False),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["patient_row"], ["patients.id"], name=op.f("fk_studies_patient_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_studies")),
        sa.UniqueConstraint("hospital", "study_instance_uid", name=op.f("uq_studies_hospital_study_instance_uid")),
    )
    op.create_index("ix_studies_accession_number", "studies", ["hospital", "accession_number"], unique=False)
    op.create_index("ix_studies_newest", "studies", ["hospital", "study_date", "study_time", "id"], unique=False)
    op.create_index("ix_studies_patient_id", "studies", ["hospital", "patient_id"], unique=False)
    op.create_index("ix_studies_patient_name", "studies", ["hospital", "patient_name"], unique=False)
    op.create_index(
        "ix_studies_patient_name_ideographic", "studies", ["hospital", "patient_name_ideographic"], unique=False
    )
    op.create_index("ix_studies_patient_name_phonetic", "studies", ["hospital", "patient_name_phonetic"], unique=False)
    op.create_index("ix_studies_patient_row", "studies", ["patient_row"], unique=False)
    op.create_table(
        "series",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("hospital", WORD, nullable=False),
        sa.Column("study_row", ROW_ID, nullable=False),
        sa.Column("series_instance_uid", WORD, nullable=False),
        sa.Column("modality", WORD, nullable=False),
        sa.Column("series_number", sa.BigInteger(), nullable=False),
        sa.Column("series_description", WORD, nullable=False),
        sa.Column("instances", sa.BigInteger(), nullable=False),
        sa.Column("stored_bytes", sa.BigInteger(), nullable=False),
        sa.Column("last_stored_at_us", sa.BigInteger(), nullable=False),
        sa.Column("is_settled", sa.Boolean(), nullable=False),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["study_row"], ["studies.id"], name=op.f("fk_series_study_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_series")),
        sa.UniqueConstraint(
            "hospital",
            "series_instance_uid",
            "study_row",
            name=op.f("uq_series_hospital_series_instance_uid_study_row"),
        ),
    )
    op.create_index("ix_series_in_study", "series", ["hospital", "study_row", "series_number", "id"], unique=False)
    op.create_index(
        "ix_series_unsettled",
        "series",
        ["last_stored_at_us"],
        unique=False,
        sqlite_where=sa.text("NOT is_settled"),
        postgresql_where=sa.text("NOT is_settled"),
    )
    op.create_table(
        "instances",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("hospital", WORD, nullable=False),
        sa.Column("series_row", ROW_ID, nullable=False),
        sa.Column("sop_instance_uid", WORD, nullable=False),
        sa.Column("sop_class_uid", WORD, nullable=False),
        sa.Column("transfer_syntax_uid", WORD, nullable=False),
        sa.Column("instance_number", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("segment_row", ROW_ID, nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("data_set_offset", sa.BigInteger(), nullable=False),
        sa.Column("header_length", sa.BigInteger(), nullable=False),
        sa.Column("number_of_frames", sa.BigInteger(), nullable=False),
        sa.Column("stored_at_us", sa.BigInteger(), nullable=False),
        sa.Column("frame_table", sa.LargeBinary(), nullable=False),
        sa.Column("attributes", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["segment_row"], ["segments.id"], name=op.f("fk_instances_segment_row")),
        sa.ForeignKeyConstraint(["series_row"], ["series.id"], name=op.f("fk_instances_series_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instances")),
        sa.UniqueConstraint("hospital", "sop_instance_uid", name=op.f("uq_instances_hospital_sop_instance_uid")),
    )
    op.create_index(
        "ix_instances_in_series", "instances", ["hospital", "series_row", "instance_number", "id"], unique=False
    )


def downgrade() -> None:
    op.drop_table("instances")
    op.drop_table("segments")
    op.drop_table("series")
    op.drop_table("studies")
    op.drop_table("patients")
