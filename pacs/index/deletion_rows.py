"""A deletion and its row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pacs.index.row_values import moment
from pacs.model import Deletion, DeletionState

_EPOCH = datetime.fromtimestamp(0, UTC)


def microseconds(at: datetime) -> int:
    """Since 1970, as the columns have it."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def columns_of(deletion: Deletion) -> dict[str, Any]:
    """All columns but the number and the words."""
    return {
        "hospital": deletion.hospital,
        "name": deletion.name,
        "study_instance_uid": deletion.study_instance_uid,
        "series_instance_uid": deletion.series_instance_uid or "",
        "sop_instance_uid": deletion.sop_instance_uid or "",
        "reason": deletion.reason,
        "principal": deletion.principal,
        "source": deletion.source,
        "deleted_at_us": microseconds(deletion.deleted_at),
        "erase_at_us": microseconds(deletion.erase_at),
        "state": deletion.state.value,
        "instances": deletion.instances,
        "stored_bytes": deletion.stored_bytes,
    }


def deletion_of(row: Any) -> Deletion:
    """What the row says."""
    return Deletion(
        name=row.name,
        hospital=row.hospital,
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid or None,
        sop_instance_uid=row.sop_instance_uid or None,
        reason=row.reason,
        principal=row.principal,
        source=row.source,
        deleted_at=moment(row.deleted_at_us),
        erase_at=moment(row.erase_at_us),
        state=DeletionState(row.state),
        instances=int(row.instances),
        stored_bytes=int(row.stored_bytes),
    )
