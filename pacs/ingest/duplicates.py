"""Other bytes under a SOP Instance UID that is kept already: refused, or a new version (``ingest.duplicates``)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pacs import log
from pacs.errors import Conflict, StorageError
from pacs.index import Index
from pacs.index.add import Existing
from pacs.ingest.description import Description
from pacs.ingest.reception import Reception
from pacs.model import Outcome, StoredInstance, Succession
from pacs.settings import IngestSettings

_MAX_ATTEMPTS = 5
_EPOCH = datetime.fromtimestamp(0, UTC)
_MILLISECOND_US = 1000

Commit = Callable[[Reception, Description], Existing | None]
"""Makes a description durable and indexed; gives the row that another had first, None when it is ours."""


class Duplicates:
    """Thread-safe. The caller holds the claim on the instance."""

    def __init__(self, index: Index, settings: IngestSettings) -> None:
        self._index = index
        self._keeps_both = settings.duplicates == "keep-both"

    def keep(self, reception: Reception, description: Description, existing: Existing, commit: Commit) -> Outcome:
        """Deal with an instance whose SOP Instance UID has the row `existing`.

        Bytes that are kept already, as the served version or as an earlier one, are success and change nothing.

        Raises:
            Conflict: other bytes, and the setting refuses them; or they name another study, series or SOP class, which
                no version may: an image would vanish from where it was seen.
            StorageError: as `commit`; or others store versions of the same instance faster than this one can.
        """
        for _ in range(_MAX_ATTEMPTS):
            if self._is_kept(description, existing):
                return Outcome.ALREADY_THERE
            row = self._row(existing)
            self._require_successor(reception, description, existing, row)
            if reception.large is not None and reception.large.is_kept:
                break
            successor = _successor(description, existing, row)
            found = commit(reception, successor)
            if found is None:
                self._tell("instance kept as a new version", reception, description, existing)
                return Outcome.NEW_VERSION
            existing = found
        raise StorageError("other versions of this instance are being stored at this moment; send it again")

    def _is_kept(self, description: Description, existing: Existing) -> bool:
        if (existing.digest, existing.transfer_syntax_uid) == (description.digest, description.transfer_syntax_uid):
            return True
        return any(
            (each.digest, each.transfer_syntax_uid) == (description.digest, description.transfer_syntax_uid)
            and each.location is not None
            for each in self._index.versions(existing.key.hospital, existing.key.sop_instance_uid)
        )

    def _row(self, existing: Existing) -> StoredInstance:
        key = existing.key
        row = self._index.instance(key.hospital, key.study_instance_uid, key.series_instance_uid, key.sop_instance_uid)
        if row is None:
            raise StorageError("the index changed while this instance was stored; send it again")
        return row

    def _require_successor(
        self, reception: Reception, description: Description, existing: Existing, row: StoredInstance
    ) -> None:
        if not self._keeps_both:
            problem = "the first ones stay (setting ingest.duplicates)"
        elif existing.key != description.key or row.sop_class_uid != description.sop_class_uid:
            problem = "they are of another study, series or SOP class, which no version changes"
        elif existing.digest == description.digest:
            problem = "they are the same under another transfer syntax, and one of the two is wrong"
        else:
            return
        self._tell("duplicate refused", reception, description, existing)
        raise Conflict(f"other bytes are kept under SOP Instance UID {description.key.sop_instance_uid}; {problem}")

    def _tell(self, event: str, reception: Reception, description: Description, existing: Existing) -> None:
        """One event for the audit: who, which instance, which bytes; nothing of the patient."""
        log.warning(
            event,
            route=reception.source.route,
            principal=reception.source.principal.name,
            hospital=description.key.hospital,
            study_instance_uid=description.key.study_instance_uid,
            series_instance_uid=description.key.series_instance_uid,
            sop_instance_uid=description.key.sop_instance_uid,
            kept_study_instance_uid=existing.key.study_instance_uid,
            kept_series_instance_uid=existing.key.series_instance_uid,
            kept_digest=existing.digest,
            digest=description.digest,
        )


def _successor(description: Description, existing: Existing, row: StoredInstance) -> Description:
    """Received after what it replaces, whatever the clock says."""
    row_us = (row.stored_at - _EPOCH) // timedelta(microseconds=1)
    at_least_us = max(time.time_ns() // 1000, row_us + _MILLISECOND_US)
    received_at_us = -(-at_least_us // _MILLISECOND_US) * _MILLISECOND_US
    return replace(description, succession=Succession((existing.digest,)), received_at_us=received_at_us)
