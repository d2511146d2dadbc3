from __future__ import annotations

from pacs.ingest.description import describe
from pacs.model import Location
from pacs.part10.frame_table import FrameTable

from .small_archive import CT, EXPLICIT, encoded


def test_a_data_set_is_described_without_holding_its_memory() -> None:
    content = bytearray(encoded(1))
    found = describe(
        memoryview(content), hospital="a", transfer_syntax_uid=EXPLICIT, digest="00", max_inflated_bytes=1 << 20
    )
    new = found.at(Location("a/x", 1024, len(content), 0))
    assert (new.key.hospital, new.sop_class_uid, new.number_of_frames) == ("a", CT, 1)
    assert FrameTable.decode(new.frame_table).fragments(1) == ((len(content) - 512, 512),)
    assert new.patient["00100020"]["Value"] == ["P1"]
    # Would raise BufferError while anything still looked at the bytes.
    content.clear()
