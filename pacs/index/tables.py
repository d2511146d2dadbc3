"""The index's tables, in SQLAlchemy Core; the same on SQLite and PostgreSQL.

The hospital is the first column of every unique key and of every index that a question uses; on PostgreSQL some keys
by UID are hashes, see `POSTGRESQL_KEYS`. Rows point to the row
above by a surrogate (``study_row``); DICOM's own words (``patient_id``, ``study_id``) keep their meaning.

Columns exist for what is asked often; every other kept attribute lives in ``attributes`` and is matched there.
Text columns are never NULL: empty means that the attribute is missing or empty, which is one thing to a query
(PS3.4 C.2.2.2.3). On PostgreSQL they compare by code point (collation "C"), as SQLite does.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

NO_NUMBER = 1 << 31
"""In a number column: the attribute is missing or no integer. Outside the range of IS (PS3.5 §6.2); sorts last."""

POSTGRESQL_KEYS = {
    "uq_instances_hospital_sop_instance_uid": ("uq_instances_key", "ix_instances_uid"),
    "uq_series_hospital_series_instance_uid_study_row": ("uq_series_key", "ix_series_uid"),
}
"""Unique keys of SQLite in whose place PostgreSQL has a unique index of a SHA-256 and a hash index of the UID."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)

_RowId = BigInteger().with_variant(Integer, "sqlite")
# On SQLite a column keeps what it is given, text of older versions or bytes.
_Attributes = LargeBinary().with_variant(Text(), "sqlite")
_Word = Text().with_variant(Text(collation="C"), "postgresql")


def _row() -> Column[int]:
    return Column("id", _RowId, primary_key=True, autoincrement=True)


def _hospital() -> Column[str]:
    return Column("hospital", _Word, nullable=False)


def _word(name: str) -> Column[str]:
    return Column(name, _Word, nullable=False)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _above(name: str, target: str) -> Column[int]:
    return Column(name, _RowId, ForeignKey(target), nullable=False)


patients = Table(
    "patients",
    metadata,
    _row(),
    _hospital(),
    _word("patient_id"),
    _word("issuer_of_patient_id"),
    # Instances without a Patient ID are no common patient: each such study is its own.
    _word("lone_study_uid"),
    _word("patient_name"),
    _word("patient_name_ideographic"),
    _word("patient_name_phonetic"),
    _word("patient_birth_date"),
    _word("patient_sex"),
    _count("studies"),
    _count("series"),
    _count("instances"),
    Column("attributes", _Attributes, nullable=False),
    UniqueConstraint("hospital", "patient_id", "issuer_of_patient_id", "lone_study_uid", name="uq_patients_identity"),
    Index("ix_patients_newest", "hospital", "id"),
    Index("ix_patients_name", "hospital", "patient_name"),
    Index("ix_patients_name_ideographic", "hospital", "patient_name_ideographic"),
    Index("ix_patients_name_phonetic", "hospital", "patient_name_phonetic"),
)

studies = Table(
    "studies",
    metadata,
    _row(),
    _hospital(),
    _word("study_instance_uid"),
    _above("patient_row", "patients.id"),
    # The patient as this study names it; `patients` holds what came first.
    _word("patient_id"),
    _word("issuer_of_patient_id"),
    _word("patient_name"),
    _word("patient_name_ideographic"),
    _word("patient_name_phonetic"),
    _word("patient_birth_date"),
    _word("patient_sex"),
    _word("study_date"),
    _word("study_time"),
    _word("accession_number"),
    _word("study_id"),
    _word("study_description"),
    # Backslash before, between and after: \CT\SR\
    Column("modalities_in_study", _Word, nullable=False),
    Column("sop_classes_in_study", _Word, nullable=False),
    _count("series"),
    _count("instances"),
    Column("patient_attributes", _Attributes, nullable=False),
    Column("attributes", _Attributes, nullable=False),
    UniqueConstraint("hospital", "study_instance_uid"),
    Index("ix_studies_newest", "hospital", "study_date", "study_time", "id"),
    Index("ix_studies_patient_id", "hospital", "patient_id"),
    Index("ix_studies_patient_row", "patient_row"),
    Index("ix_studies_accession_number", "hospital", "accession_number"),
    Index("ix_studies_patient_name", "hospital", "patient_name"),
    Index("ix_studies_patient_name_ideographic", "hospital", "patient_name_ideographic"),
    Index("ix_studies_patient_name_phonetic", "hospital", "patient_name_phonetic"),
)

# How many studies a day and a month have, counted on write: a far page of the list is found without walking to it.
study_days = Table(
    "study_days",
    metadata,
    Column("hospital", _Word, primary_key=True, nullable=False),
    Column("study_date", _Word, primary_key=True, nullable=False),
    _count("studies"),
)

study_months = Table(
    "study_months",
    metadata,
    Column("hospital", _Word, primary_key=True, nullable=False),
    # The first six digits of the date.
    Column("study_month", _Word, primary_key=True, nullable=False),
    _count("studies"),
)

# Where the studies with a modality stand in the list, see `pacs.index.study_modalities`.
study_modalities = Table(
    "study_modalities",
    metadata,
    Column("modality", BigInteger, primary_key=True, autoincrement=False, nullable=False),
    Column("place", BigInteger, primary_key=True, autoincrement=False, nullable=False),
    sqlite_with_rowid=False,
)

series = Table(
    "series",
    metadata,
    _row(),
    _hospital(),
    _above("study_row", "studies.id"),
    _word("series_instance_uid"),
    _word("modality"),
    _number("series_number"),
    _word("series_description"),
    _count("instances"),
    _count("stored_bytes"),
    _count("last_stored_at_us"),
    Column("is_settled", Boolean(create_constraint=False), nullable=False),
    Column("attributes", _Attributes, nullable=False),
    # A series belongs to one study; equipment that sends one UID under two studies gets two rows.
    UniqueConstraint("hospital", "series_instance_uid", "study_row"),
    Index("ix_series_in_study", "hospital", "study_row", "series_number", "id"),
    Index(
        "ix_series_unsettled",
        "last_stored_at_us",
        sqlite_where=text("NOT is_settled"),
        postgresql_where=text("NOT is_settled"),
    ),
)

segments = Table(
    "segments",
    metadata,
    _row(),
    _hospital(),
    _word("name"),
    _count("end_offset"),
    UniqueConstraint("hospital", "name"),
)

instances = Table(
    "instances",
    metadata,
    _row(),
    _hospital(),
    _above("series_row", "series.id"),
    _word("sop_instance_uid"),
    _word("sop_class_uid"),
    _word("transfer_syntax_uid"),
    _number("instance_number"),
    Column("digest", LargeBinary, nullable=False),
    _above("segment_row", "segments.id"),
    _count("offset"),
    _count("length"),
    _count("data_set_offset"),
    _count("header_length"),
    _count("number_of_frames"),
    _count("stored_at_us"),
    Column("frame_table", LargeBinary, nullable=False),
    Column("attributes", LargeBinary, nullable=False),
    UniqueConstraint("hospital", "sop_instance_uid"),
    Index("ix_instances_in_series", "hospital", "series_row", "instance_number", "id"),
)

# Of the few instances that have more than one version: all but the one in `instances`.
versions = Table(
    "versions",
    metadata,
    _row(),
    _hospital(),
    _word("sop_instance_uid"),
    Column("digest", LargeBinary, nullable=False),
    _word("transfer_syntax_uid"),
    # NULL: its bytes were not found when the index was rebuilt.
    Column("segment_row", _RowId, ForeignKey("segments.id"), nullable=True),
    _count("offset"),
    _count("length"),
    _count("data_set_offset"),
    _count("received_at_us"),
    _count("superseded_at_us"),
    _word("reason"),
    UniqueConstraint("hospital", "sop_instance_uid", "digest"),
)

commitments = Table(
    "commitments",
    metadata,
    _row(),
    _hospital(),
    _word("requester"),
    _word("transaction_uid"),
    _word("state"),
    # Who works on it, until `due_at_us`; empty: nobody.
    _word("claim"),
    # When it is to be worked on next; of a finished one, when it is forgotten.
    _count("due_at_us"),
    _count("requested_at_us"),
    _count("attempts"),
    # The association it was asked on is open, as far as is known.
    Column("is_association_open", Boolean(create_constraint=False), nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("references", LargeBinary, nullable=False),
    Column("failures", LargeBinary, nullable=False),
    UniqueConstraint("hospital", "requester", "transaction_uid", name="uq_commitments_key"),
    Index("ix_commitments_of_requester", "hospital", "requester", "state"),
    Index("ix_commitments_due", "state", "due_at_us"),
)

# What an operator made searchable beside the kept attributes.
searchable_attributes = Table(
    "searchable_attributes",
    metadata,
    _row(),
    # Of the sequences that it lies in, from the outermost: 00400275, joined by dots.
    _word("sequences"),
    # Of a private attribute, without the number of its block: (gggg,00ee).
    _count("tag"),
    _word("private_creator"),
    # With which keys are understood; empty: of a private attribute that was not seen yet.
    _word("vr"),
    _word("level"),
    # The last row of `instances` that was looked at.
    _count("done_until"),
    Column("is_removed", Boolean(create_constraint=False), nullable=False),
    UniqueConstraint("sequences", "tag", "private_creator", name="uq_searchable_attributes_path"),
)

attribute_values = Table(
    "attribute_values",
    metadata,
    Column("attribute", _RowId, primary_key=True, autoincrement=False, nullable=False),
    # Of the table of the attribute's level.
    Column("row", _RowId, primary_key=True, autoincrement=False, nullable=False),
    Column("value", _Word, primary_key=True, nullable=False),
    _hospital(),
    # The attribute as an answer shows it, in DICOM JSON.
    Column("shown", Text, nullable=False),
    Index("ix_attribute_values_value", "hospital", "attribute", "value", "row"),
)

# Unified Procedure Steps (PS3.4 Annex CC). One that was deleted leaves its UID, so that it is not used again.
workitems = Table(
    "workitems",
    metadata,
    _row(),
    _hospital(),
    _word("workitem_uid"),
    _word("state"),
    # Of who claimed it; never told to anybody.
    _word("transaction_uid"),
    _word("worklist_label"),
    _word("patient_id"),
    _count("changed_at_us"),
    Column("attributes", Text, nullable=False),
    UniqueConstraint("hospital", "workitem_uid"),
    Index("ix_workitems_state", "hospital", "state", "id"),
    Index("ix_workitems_patient_id", "hospital", "patient_id", "id"),
    Index("ix_workitems_in_order", "hospital", "id"),
    Index("ix_workitems_old", "state", "changed_at_us"),
)

# Who is to be subscribed to every new workitem, or to those that its keys match.
global_subscriptions = Table(
    "global_subscriptions",
    metadata,
    Column("hospital", _Word, primary_key=True, nullable=False),
    Column("subscriber", _Word, primary_key=True, nullable=False),
    Column("kind", _Word, primary_key=True, nullable=False),
    Column("is_locking", Boolean(create_constraint=False), nullable=False),
    Column("is_suspended", Boolean(create_constraint=False), nullable=False),
    Column("keys", Text, nullable=False),
)

workitem_subscriptions = Table(
    "workitem_subscriptions",
    metadata,
    Column("hospital", _Word, primary_key=True, nullable=False),
    Column("workitem_row", _RowId, ForeignKey("workitems.id"), primary_key=True, autoincrement=False, nullable=False),
    Column("subscriber", _Word, primary_key=True, nullable=False),
    # Which global subscription made it; empty: asked for by itself.
    _word("kind"),
    Column("is_locking", Boolean(create_constraint=False), nullable=False),
    Index("ix_workitem_subscriptions_subscriber", "hospital", "subscriber", "workitem_row"),
    Index("ix_workitem_subscriptions_workitem", "workitem_row"),
)

# What subscribers are still to be told. A number is never used again, so that a reader may remember the last one.
workitem_events = Table(
    "workitem_events",
    metadata,
    _row(),
    _hospital(),
    _word("subscriber"),
    _word("workitem_uid"),
    _count("event_type"),
    Column("attributes", Text, nullable=False),
    _count("made_at_us"),
    Index("ix_workitem_events_waiting", "hospital", "subscriber", "id"),
    sqlite_autoincrement=True,
)

# What was deleted and when it is erased; the notes beside the segments say the same.
deletions = Table(
    "deletions",
    metadata,
    _row(),
    _hospital(),
    _word("name"),
    _word("study_instance_uid"),
    # Empty: the whole study, the whole series.
    _word("series_instance_uid"),
    _word("sop_instance_uid"),
    Column("reason", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("source", Text, nullable=False),
    _count("deleted_at_us"),
    _count("erase_at_us"),
    _word("state"),
    _count("instances"),
    _count("stored_bytes"),
    # The lists of words that studies had, in their order: JSON by row.
    Column("words", Text, nullable=False),
    UniqueConstraint("hospital", "name"),
    Index("ix_deletions_of_study", "hospital", "study_instance_uid"),
    Index("ix_deletions_due", "state", "erase_at_us"),
)
