"""Brings the tables to this version's form."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Engine, text

from pacs.errors import IndexUnavailable
from pacs.index import gram_tables, page_marks, stale_values, study_modalities, workitem_values
from pacs.index.engine import writing
from pacs.index.sqlite_statistics import write_statistics

_LOCK = 0x70616373  # "pacs"


def migrate(engine: Engine) -> None:
    """Run the steps that are missing, in one transaction; processes that start together wait for the first.

    Raises:
        IndexUnavailable: the database cannot be reached or refuses, or is newer than this program; nothing was changed.
    """
    config = Config()
    config.set_main_option("script_location", "pacs.index:migrations")
    with writing(engine, "be brought to this version") as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise IndexUnavailable(
                "the index was written by a newer version of this program, which this one cannot read: start that"
                f" version, or restore the index from a copy that is older ({error})"
            ) from error
        gram_tables.ensure(connection)
        page_marks.ensure_table(connection)
        stale_values.ensure_table(connection)
        workitem_values.ensure(connection)
        if connection.dialect.name == "sqlite":
            write_statistics(connection)


def refill(engine: Engine) -> None:
    """Make what is derived from the rows of studies and patients anew: for rows that were not written by `Index.add`.

    Raises:
        IndexUnavailable: the database cannot be reached or refuses; nothing was changed.
    """
    with writing(engine, "be filled again") as connection:
        gram_tables.drop(connection)
        gram_tables.ensure(connection)
        study_modalities.fill(connection)
        connection.execute(text("DELETE FROM study_days"))
        connection.execute(text("DELETE FROM study_months"))
        connection.execute(
            text(
                "INSERT INTO study_days (hospital, study_date, studies)"
                " SELECT hospital, study_date, count(*) FROM studies GROUP BY hospital, study_date"
            )
        )
        connection.execute(
            text(
                "INSERT INTO study_months (hospital, study_month, studies)"
                " SELECT hospital, substr(study_date, 1, 6), sum(studies) FROM study_days GROUP BY 1, 2"
            )
        )
