from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pacs.errors import NotFound, StoredBytesDamaged
from pacs.storage import segment_reader
from pacs.storage.disk import Disk
from pacs.storage.segment_reader import SegmentReader
from pacs.storage.segments import SegmentStore


def test_a_reader_of_another_process_follows_a_growing_segment(tmp_path: Path, make_record) -> None:
    store, reader = SegmentStore(tmp_path), SegmentReader(tmp_path, Disk())
    views = []
    for number in range(20):
        (location,) = store.keep("default", [make_record(number)])
        views.append(reader.view(location))
    for number, view in enumerate(views):
        assert bytes(view).endswith(make_record(number).data_set)


def test_mappings_are_bounded_and_views_outlive_them(
    tmp_path: Path, make_record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_reader, "_MAX_MAPPINGS", 2)
    store, reader = SegmentStore(tmp_path, segment_bytes=1), SegmentReader(tmp_path, Disk())
    locations = [store.keep("default", [make_record(number)])[0] for number in range(6)]
    views = [reader.view(location) for location in locations]
    assert len(reader._mappings) == 2
    for number, view in enumerate(views):
        assert bytes(view).endswith(make_record(number).data_set)


def test_what_is_read_again_and_again_stays_mapped(
    tmp_path: Path, make_record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_reader, "_MAX_MAPPINGS", 2)
    store, reader = SegmentStore(tmp_path, segment_bytes=1), SegmentReader(tmp_path, Disk())
    popular, *others = [store.keep("default", [make_record(number)])[0] for number in range(5)]
    reader.view(popular)
    mapped = reader._mappings[popular.segment]
    for other in others:
        reader.view(other)
        reader.view(popular)
    assert reader._mappings[popular.segment] is mapped


def test_nonsense_is_an_error(tmp_path: Path, make_record) -> None:
    store, reader = SegmentStore(tmp_path), SegmentReader(tmp_path, Disk())
    (location,) = store.keep("default", [make_record(1)])
    for nonsense in (replace(location, offset=1 << 60), replace(location, data_set_offset=1 << 20)):
        with pytest.raises(StoredBytesDamaged):
            reader.view(nonsense)
    with pytest.raises(NotFound):
        reader.view(replace(location, segment="../../etc/passwd"))
