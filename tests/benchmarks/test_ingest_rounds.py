"""The comparison of receivers: images that are new to each, ratios round by round, receivers that really store."""

from __future__ import annotations

import io
from pathlib import Path

import pydicom
import pytest

from benchmarks import dimse_load, ingest_rounds
from benchmarks.ingest_rounds import WAYS, Series
from benchmarks.peers import pynetdicom
from benchmarks.synthetic_ct import make_series, part10


def test_renamed_images_are_others_with_the_same_pixels() -> None:
    images = make_series(2, seed=1)
    renamed = ingest_rounds._renamed(images)
    for old, new in zip(images, renamed, strict=True):
        ds = pydicom.dcmread(io.BytesIO(part10(new)))
        assert ds.SOPInstanceUID == new.sop_instance_uid != old.sop_instance_uid
        assert (ds.StudyInstanceUID, ds.SeriesInstanceUID) == (new.study_instance_uid, new.series_instance_uid)
        assert ds.SOPInstanceUID.is_valid and ds.PixelData == old.frame
        assert len(new.data_set) == len(old.data_set)
    assert len({one.study_instance_uid for one in renamed}) == 1
    assert renamed[0].study_instance_uid != images[0].study_instance_uid


def test_ratios_are_taken_round_by_round() -> None:
    ours, theirs = Series([100, 400, 900], [1, 2, 3]), Series([50, 100, 100], [], 2)
    found = {"ours": dict.fromkeys(WAYS, ours), "theirs": dict.fromkeys(WAYS, theirs)}
    assert ingest_rounds.ratios(found, WAYS[0]) == {"theirs": (4, 2, 9)}
    text = ingest_rounds.tables(found)
    assert "| 1 association | ours | 400 (100-900) | 2.0 | 3.0 | 3.0 | 0 |" in text
    assert "| theirs | 4.00 (2.00-9.00) | 4.00 (2.00-9.00) | 4.00 (2.00-9.00) |" in text


@pytest.mark.parametrize("form", ["dataset", "encoded_dataset"])
def test_pynetdicoms_loop_stores_what_is_sent(tmp_path: Path, form: str) -> None:
    (image,) = make_series(1, seed=1)
    with pynetdicom(form)(tmp_path) as peer:
        peer.pause()
        peer.go_on()
        found = dimse_load.store(*peer.address, peer.aet, [image], 1)
    assert found.failures == 0
    stored = (tmp_path / "received" / image.sop_instance_uid).read_bytes()
    assert image.frame in stored
