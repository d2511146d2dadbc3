"""Writing instances: one transaction per batch, few statements, first one wins.

Rows are written hospital by hospital; of each segments first, then patients, studies, series, instances, earlier
versions, counters, each sorted by key, so that two transactions never wait for each other in a circle.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import bindparam, select

from pacs.index import row_values
from pacs.index.counters import Counters
from pacs.index.driver import Driver
from pacs.index.rows_above import ensure_series, series_key
from pacs.index.tables import instances, series, studies
from pacs.model import InstanceKey, NewInstance


class Existing(NamedTuple):
    """The row that holds a SOP Instance UID already."""

    key: InstanceKey
    digest: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class AddResult:
    """What became of one instance given to `Index.add`."""

    added: bool
    existing: Existing | None = None
    """The row that was there first; None when this one was added."""


def existing(driver: Driver, hospital: str, sop_instance_uids: Iterable[str]) -> dict[str, Existing]:
    """Rows of these SOP Instance UIDs, by UID."""
    found = driver.rows(_EXISTING, {"hospital": hospital, "uids": sorted(sop_instance_uids)})
    return {
        sop_uid: Existing(InstanceKey(hospital, study_uid, series_uid, sop_uid), bytes(digest).hex(), syntax)
        for sop_uid, digest, syntax, series_uid, study_uid in found
    }


def insert(
    driver: Driver, hospital: str, fresh: Sequence[NewInstance], segment_rows: Mapping[str, int], counters: Counters
) -> None:
    """Write instances of one hospital that have no row yet, in the order of their UIDs, and note them in `counters`,
    which is to be written after it.

    Raises:
        The driver's error for a unique key: another process was first with one of them, between our look and our
            insert; roll back and do it again.
        RowsGone: so, too.
    """
    now_us = time.time_ns() // 1000
    above = ensure_series(driver, hospital, fresh)
    rows = []
    for new in fresh:
        above_new, segment_row = above[series_key(new)], segment_rows[new.location.segment]
        row = row_values.instance_columns(new, now_us)
        row["series_row"] = above_new.series_row
        row["segment_row"] = segment_row
        rows.append(row)
        counters.note(new, above_new, segment_row)
    driver.run(_INSERT, rows)


_INSERT = instances.insert().inline()
_EXISTING = (
    select(
        instances.c.sop_instance_uid,
        instances.c.digest,
        instances.c.transfer_syntax_uid,
        series.c.series_instance_uid,
        studies.c.study_instance_uid,
    )
    .join(series, series.c.id == instances.c.series_row)
    .join(studies, studies.c.id == series.c.study_row)
    .where(
        instances.c.hospital == bindparam("hospital"),
        instances.c.sop_instance_uid.in_(bindparam("uids", expanding=True)),
    )
)
