"""What SQLite's planner is told about the tables, so that its plans never depend on when somebody ran ANALYZE.

Without statistics it takes every index's first column, the hospital, for one that leads to ten rows, and reads a whole
hospital where a UID leads to one row. SQLite lets an application write `sqlite_stat1` itself
(https://www.sqlite.org/fileformat2.html#stat1tab): these are the numbers of one grown hospital.
"""

from __future__ import annotations

from sqlalchemy import Connection

_PATIENTS, _STUDIES, _SERIES, _INSTANCES = 500_000, 1_000_000, 3_000_000, 30_000_000
STATISTICS: dict[tuple[str, str], tuple[int, ...]] = {
    # (table, index): rows, then rows per value of the first column, of the first two together, and so on
    ("patients", "sqlite_autoindex_patients_1"): (_PATIENTS, _PATIENTS, 1, 1, 1),
    ("patients", "ix_patients_newest"): (_PATIENTS, _PATIENTS, 1),
    ("patients", "ix_patients_name"): (_PATIENTS, _PATIENTS, 2),
    ("patients", "ix_patients_name_ideographic"): (_PATIENTS, _PATIENTS, 2),
    ("patients", "ix_patients_name_phonetic"): (_PATIENTS, _PATIENTS, 2),
    ("studies", "sqlite_autoindex_studies_1"): (_STUDIES, _STUDIES, 1),
    ("studies", "ix_studies_newest"): (_STUDIES, _STUDIES, 300, 1, 1),
    ("studies", "ix_studies_patient_id"): (_STUDIES, _STUDIES, 2),
    ("studies", "ix_studies_patient_row"): (_STUDIES, 2),
    ("studies", "ix_studies_accession_number"): (_STUDIES, _STUDIES, 1),
    ("studies", "ix_studies_patient_name"): (_STUDIES, _STUDIES, 4),
    ("studies", "ix_studies_patient_name_ideographic"): (_STUDIES, _STUDIES, 4),
    ("studies", "ix_studies_patient_name_phonetic"): (_STUDIES, _STUDIES, 4),
    ("study_days", "sqlite_autoindex_study_days_1"): (10_000, 5_000, 1),
    ("study_months", "sqlite_autoindex_study_months_1"): (400, 200, 1),
    ("series", "sqlite_autoindex_series_1"): (_SERIES, _SERIES, 1, 1),
    ("series", "ix_series_in_study"): (_SERIES, _SERIES, 3, 1, 1),
    ("series", "ix_series_unsettled"): (100, 1),
    ("segments", "sqlite_autoindex_segments_1"): (10_000, 10_000, 1),
    ("instances", "sqlite_autoindex_instances_1"): (_INSTANCES, _INSTANCES, 1),
    ("instances", "ix_instances_in_series"): (_INSTANCES, _INSTANCES, 10, 1, 1),
    ("searchable_attributes", "sqlite_autoindex_searchable_attributes_1"): (10, 10, 1, 1),
    ("attribute_values", "sqlite_autoindex_attribute_values_1"): (_SERIES, _SERIES, 1, 1),
    ("attribute_values", "ix_attribute_values_value"): (_SERIES, _SERIES, _SERIES, 1000, 1),
    ("stale_values", "sqlite_autoindex_stale_values_1"): (100, 20, 1),
    ("versions", "sqlite_autoindex_versions_1"): (10_000, 10_000, 1, 1),
    ("commitments", "sqlite_autoindex_commitments_1"): (20_000, 20_000, 1_000, 1),
    ("commitments", "ix_commitments_of_requester"): (20_000, 20_000, 1_000, 10),
    ("commitments", "ix_commitments_due"): (20_000, 5_000, 1),
    ("workitems", "sqlite_autoindex_workitems_1"): (100_000, 100_000, 1),
    ("workitems", "ix_workitems_state"): (100_000, 100_000, 25_000, 1),
    ("workitems", "ix_workitems_patient_id"): (100_000, 100_000, 2, 1),
    ("workitems", "ix_workitems_in_order"): (100_000, 100_000, 1),
    ("workitems", "ix_workitems_old"): (100_000, 25_000, 1),
    ("workitem_values", "ix_workitem_values_row"): (3_000_000, 30),
    ("global_subscriptions", "sqlite_autoindex_global_subscriptions_1"): (100, 100, 2, 1),
    ("workitem_subscriptions", "sqlite_autoindex_workitem_subscriptions_1"): (100_000, 100_000, 2, 1),
    ("workitem_subscriptions", "ix_workitem_subscriptions_subscriber"): (100_000, 100_000, 1_000, 1),
    ("workitem_subscriptions", "ix_workitem_subscriptions_workitem"): (100_000, 2),
    ("workitem_events", "ix_workitem_events_waiting"): (10_000, 10_000, 100, 1),
    ("deletions", "sqlite_autoindex_deletions_1"): (10_000, 10_000, 1),
    ("deletions", "ix_deletions_of_study"): (10_000, 10_000, 2),
    ("deletions", "ix_deletions_due"): (10_000, 5_000, 1),
}


def write_statistics(connection: Connection) -> None:
    """Put `STATISTICS` in place of what is there; new connections plan by them."""
    if not connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'").first():
        connection.exec_driver_sql("PRAGMA analysis_limit = 1")  # the next statement only makes the table
        connection.exec_driver_sql("ANALYZE")
    connection.exec_driver_sql("DELETE FROM sqlite_stat1")
    connection.exec_driver_sql(
        "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)",
        [(table, index, " ".join(map(str, counts))) for (table, index), counts in STATISTICS.items()],
    )
    connection.exec_driver_sql("ANALYZE sqlite_master")
