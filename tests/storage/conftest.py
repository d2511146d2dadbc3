from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from pacs.model import InstanceKey
from pacs.part10.file_meta import write_file_meta
from pacs.storage.segment_writer import NewRecord
from pacs.storage.tar_record import RecordHead

MakeRecord = Callable[..., NewRecord]


@pytest.fixture
def make_record() -> MakeRecord:
    def make(number: int = 1, data_set: bytes | None = None, hospital: str = "default") -> NewRecord:
        content = data_set if data_set is not None else f"data set {number} ".encode() * 50
        meta = write_file_meta(
            sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
            sop_instance_uid=f"1.2.3.{number}",
            transfer_syntax_uid="1.2.840.10008.1.2.1",
        )
        head = RecordHead(
            key=InstanceKey(hospital, "1.2.1", "1.2.2", f"1.2.3.{number}"),
            sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            digest=hashlib.sha256(content).hexdigest(),
            data_set_offset=len(meta),
            source="C-STORE CT_1 127.0.0.1",
            received_at="2026-01-01T00:00:00.000+00:00",
        )
        return NewRecord(head, meta, content)

    return make
