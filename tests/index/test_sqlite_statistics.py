from __future__ import annotations

from pathlib import Path

from sqlalchemy import inspect

from pacs.index import Index
from pacs.index.engine import open_engine
from pacs.index.sqlite_statistics import STATISTICS


def test_every_index_has_its_numbers(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'index.db'}"
    index = Index.open(url)
    index.migrate()
    index.migrate()
    index.close()
    engine = open_engine(url)
    with engine.connect() as connection:
        names = connection.exec_driver_sql("SELECT tbl_name, name FROM sqlite_master WHERE type = 'index'").all()
        told = connection.exec_driver_sql("SELECT tbl, idx, stat FROM sqlite_stat1").all()
        columns = {name: len(connection.exec_driver_sql(f"PRAGMA index_info({name})").all()) for _, name in names}
    engine.dispose()
    indexes = {(table, name) for table, name in names if table != "alembic_version"}
    assert indexes == STATISTICS.keys() == {(table, index) for table, index, _ in told}
    for (_, name), counts in STATISTICS.items():
        assert len(counts) == columns[name] + 1, name
    assert inspect(engine) is not None
