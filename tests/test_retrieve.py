from __future__ import annotations

import os
import struct
from itertools import count
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames

from pacs.errors import Conflict, InvalidIdentity, NotFound, PeerFault, StoredBytesDamaged
from pacs.ingest import description
from pacs.model import Principal, Source, Stored, StoredInstance
from pacs.part10.file_meta import read_file_meta
from pacs.retrieve import Retrieve
from pacs.storage.derived import DerivedStore

from .ingest.small_archive import Place, encoded, open_place

US = Principal("viewer")


@pytest.fixture
def archive(tmp_path: Path):
    place = open_place(tmp_path)
    yield place
    place.close()


@pytest.fixture
def retrieve(archive: Place, tmp_path: Path) -> Retrieve:
    return Retrieve(archive.store, archive.index, DerivedStore(tmp_path / "derived"))


def take(archive: Place, retrieve: Retrieve, path: Path) -> StoredInstance:
    stored = archive.ingest.store_file(Source(Principal("import"), "import", str(path)), path.read_bytes())
    return one(retrieve, stored)


def one(retrieve: Retrieve, stored: Stored) -> StoredInstance:
    key = stored.key
    return retrieve.instance(US, key.study_instance_uid, key.series_instance_uid, key.sop_instance_uid)


def test_what_went_in_comes_out(archive, retrieve) -> None:
    instance = one(retrieve, archive.send(encoded(1)))
    assert bytes(retrieve.data_set(instance)) == encoded(1)
    assert bytes(retrieve.file(instance)).endswith(encoded(1))
    assert retrieve.frames(instance, (1,)) == [(b"\1" * 512,)]
    assert retrieve.header(instance).uid(0x00080018) == "1.2.3.1"


def test_what_was_taken_with_file_meta_at_its_head_comes_out_too(
    archive, retrieve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(description, "_require_no_file_meta", lambda _header: None)  # as it was once
    data_set = struct.pack("<HH2sH", 2, 0x10, b"UI", 20) + b"1.2.840.10008.1.2.1\0" + encoded(1)
    instance = one(retrieve, archive.send(data_set))
    assert bytes(retrieve.file(instance)).endswith(data_set)


def test_instances_by_every_level(archive, retrieve) -> None:
    for number in (3, 1, 2):
        archive.send(encoded(number))
    for choice in (
        {"study_instance_uid": "1.2.1"},
        {"series_instance_uid": "1.2.2"},
        {"sop_instance_uid": ("1.2.3.1", "1.2.3.2", "1.2.3.3")},
        {"patient_id": "P1"},
    ):
        found = retrieve.instances(US, **choice)
        assert [instance.key.sop_instance_uid for instance in found] == ["1.2.3.1", "1.2.3.2", "1.2.3.3"]
    with pytest.raises(NotFound):
        retrieve.instances(US, study_instance_uid="9.9")


def test_another_hospital_sees_nothing(archive, retrieve) -> None:
    archive.send(encoded(1))
    one(retrieve, archive.send(encoded(1)))
    stranger = Principal("viewer", "elsewhere")
    with pytest.raises(NotFound):
        retrieve.instances(stranger, study_instance_uid="1.2.1")
    with pytest.raises(NotFound):
        retrieve.instance(stranger, "1.2.1", "1.2.2", "1.2.3.1")


def test_an_instance_is_only_found_in_its_own_series(archive, retrieve) -> None:
    archive.send(encoded(1))
    with pytest.raises(NotFound):
        retrieve.instance(US, "1.2.1", "9.9", "1.2.3.1")


def test_all_frame_numbers_are_checked_before_anything_is_read(archive, retrieve) -> None:
    instance = one(retrieve, archive.send(encoded(1)))
    for numbers in ((0,), (2,), (1, 2), (-1,)):
        with pytest.raises(NotFound):
            retrieve.frames(instance, numbers)


def test_metadata_and_bulk_data_belong_together(archive, retrieve) -> None:
    instance = one(retrieve, archive.send(encoded(1)))
    metadata = retrieve.metadata(instance, "http://host/bulkdata")
    assert metadata["00100020"]["Value"] == ["P1"]
    assert metadata["7FE00010"]["BulkDataURI"] == "http://host/bulkdata/7FE00010"
    assert bytes(retrieve.bulk_data(instance, "7FE00010")) == b"\1" * 512
    with pytest.raises(NotFound):
        retrieve.bulk_data(instance, "../../etc/passwd")


def test_a_thumbnail_is_made_once(archive, retrieve, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = one(retrieve, archive.send(encoded(1)))
    made = retrieve.thumbnail(instance, 1)
    assert made.startswith(b"\xff\xd8")
    monkeypatch.setattr("pacs.thumbnails.sketch", None)
    assert retrieve.thumbnail(instance, 1) == made


def test_bytes_that_are_gone_are_our_fault_not_a_wrong_name(archive, retrieve, tmp_path: Path) -> None:
    instance = one(retrieve, archive.send(encoded(1)))
    (segment,) = tmp_path.glob("objects/*/*.tar")
    segment.rename(tmp_path / "elsewhere")
    with pytest.raises(StoredBytesDamaged):
        retrieve.data_set(instance)
    (tmp_path / "elsewhere").rename(segment)
    os.truncate(segment, 1000)
    with pytest.raises(StoredBytesDamaged):
        retrieve.frames(instance, (1,))


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "image_dfl.dcm",
        "liver_1frame.dcm",
        "SC_rgb_rle_2frame.dcm",
        "JPEG2000.dcm",
        "JPEG-lossy.dcm",
    ],
)
def test_frames_equal_what_pydicom_finds(archive, retrieve, name: str) -> None:
    path = Path(get_testdata_file(name) or "")
    expected = pydicom.dcmread(path)
    instance = take(archive, retrieve, path)
    frames = int(expected.get("NumberOfFrames", 1))
    found = [b"".join(parts) for parts in retrieve.frames(instance, range(1, frames + 1))]
    if expected.file_meta.TransferSyntaxUID.is_encapsulated:
        assert found == list(generate_frames(expected.PixelData, number_of_frames=frames))
    elif expected.BitsAllocated == 1:
        bits = expected.Rows * expected.Columns
        packed = int.from_bytes(expected.PixelData, "little")
        assert found == [
            (packed >> bits * number & (1 << bits) - 1).to_bytes(-(-bits // 8), "little") for number in range(frames)
        ]
    else:
        assert b"".join(found) == expected.PixelData[: sum(map(len, found))]
        assert len(b"".join(found)) in (len(expected.PixelData), len(expected.PixelData) - 1)


_REFUSED = {
    "JLSL_08_07_0_1F.dcm": InvalidIdentity,
    "JLSL_16_15_1_1F.dcm": InvalidIdentity,
    "JLSL_RGB_ILV0.dcm": InvalidIdentity,
    "JLSL_RGB_ILV1.dcm": InvalidIdentity,
    "JLSL_RGB_ILV2.dcm": InvalidIdentity,
    "JLSN_RGB_ILV0.dcm": InvalidIdentity,
    "HTJ2KLossless_08_RGB.dcm": InvalidIdentity,
    "HTJ2K_08_RGB.dcm": InvalidIdentity,
    "bad_sequence.dcm": InvalidIdentity,
}
"""Files without a Study Instance UID that is one, and one that ends in its pixel data."""


@pytest.mark.corpus
def test_every_real_file_comes_back_byte_for_byte_or_is_refused_with_a_reason(archive, retrieve, corpus: Path) -> None:
    refused: dict[str, type] = {}
    for path in sorted(corpus.rglob("*")):
        if not path.is_file() or path.suffix in {".tsv", ".md"}:
            continue
        content = path.read_bytes()
        try:
            instance = take_in_first_hospital_without(archive, retrieve, path)
        except PeerFault as problem:
            refused[path.name] = type(problem)
            continue
        assert bytes(retrieve.data_set(instance)) == content[read_file_meta(content).data_set_offset :], path
        retrieve.frames(instance, range(1, instance.number_of_frames + 1))
    assert refused == _REFUSED


def take_in_first_hospital_without(archive: Place, retrieve: Retrieve, path: Path) -> StoredInstance:
    """Some files are one instance in several forms; each form goes to a hospital that has none of it yet."""
    for number in count():
        us = Principal("import", f"hospital{number}")
        try:
            key = archive.ingest.store_file(Source(us, "import", str(path)), path.read_bytes()).key
        except Conflict:
            continue
        return retrieve.instance(us, key.study_instance_uid, key.series_instance_uid, key.sop_instance_uid)
    raise AssertionError("unreachable")
