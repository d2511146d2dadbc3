from __future__ import annotations

import struct
from typing import Any

import pytest

from pacs.errors import MalformedDataSet
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


def test_the_transfer_syntax_is_the_one_the_data_set_is_in_unless_it_was_taken_before() -> None:
    asked: dict[str, Any] = {
        "hospital": "a",
        "transfer_syntax_uid": "1.2.840.10008.1.2.4.50",
        "digest": "00",
        "max_inflated_bytes": 1 << 20,
    }
    assert describe(memoryview(encoded(1)), **asked).transfer_syntax_uid == EXPLICIT
    # A record's head and file meta information are written, and must go on to say the same as its row.
    assert describe(memoryview(encoded(1)), is_kept=True, **asked).transfer_syntax_uid == "1.2.840.10008.1.2.4.50"


def test_file_meta_at_the_head_of_a_data_set_is_refused_unless_it_was_taken_before() -> None:
    # Group 0002 of a data set would run into that of the file: other readers would not find the data set's start.
    named = struct.pack("<HH2sH", 2, 0x10, b"UI", 20) + b"1.2.840.10008.1.2.1\0"
    asked: dict[str, Any] = {
        "hospital": "a",
        "transfer_syntax_uid": EXPLICIT,
        "digest": "00",
        "max_inflated_bytes": 1 << 20,
    }
    with pytest.raises(MalformedDataSet, match=r"\(0002,0010\)"):
        describe(memoryview(named + encoded(1)), **asked)
    assert describe(memoryview(named + encoded(1)), is_kept=True, **asked).sop_class_uid == CT
