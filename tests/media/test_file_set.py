from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from pacs.errors import NotDicom, TooLarge
from pacs.media.file_set import Candidate, candidates

_LIMIT = 1 << 30


def _found(*paths: Path) -> list[Candidate]:
    return list(candidates(list(paths), _LIMIT))


def _read(candidate: Candidate) -> bytes:
    with candidate.open() as buffer:
        return bytes(buffer)


def test_a_folder_is_walked_in_order_without_its_dicomdir(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("b/2", "a", "DICOMDIR", "b/1"):
        (tmp_path / name).write_text(name)
    assert [_read(one) for one in _found(tmp_path)] == [b"a", b"b/1", b"b/2"]


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "loop").symlink_to(tmp_path)
    (tmp_path / "in" / "file").write_text("x")
    assert [Path(one.name).name for one in _found(tmp_path / "in")] == ["file"]


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (one,) = _found(tmp_path / "nowhere")
    assert one.refusal == "there is no such file or folder"


def test_a_named_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (one,) = _found(tmp_path)
    with pytest.raises(NotDicom):
        _read(one)


def test_a_zip_gives_its_members_whatever_they_are_called(tmp_path: Path) -> None:
    path = tmp_path / "cd.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("DICOM/../../../etc/passwd", b"never a path")
        archive.writestr("DICOM/IM1", b"one" * 1000)
    assert [_read(one) for one in _found(path)] == [b"never a path", b"one" * 1000]


def test_a_zip_bomb_is_stopped_at_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(40 << 20))
    (one,) = candidates([path], 10 << 20)
    with pytest.raises(TooLarge, match=r"ingest\.max_instance_bytes"):
        _read(one)


def test_a_torn_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "torn.zip"
    path.write_bytes(b"PK\x03\x04 and nothing more")
    (one,) = _found(path)
    assert "the zip cannot be read" in one.refusal


def test_a_torn_member_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "torn.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("IM1", b"A" * 1000)
    path.write_bytes(path.read_bytes().replace(b"A" * 1000, b"A" * 999 + b"B"))
    (one,) = _found(path)
    with pytest.raises(NotDicom, match="the zip's member"):
        _read(one)


def _write_dicomdir(folder: Path, *file_ids: list[str] | str) -> Path:
    directory = Dataset()
    directory.DirectoryRecordSequence = []
    for file_id in file_ids:
        record = Dataset()
        record.DirectoryRecordType = "IMAGE"
        with pydicom.config.disable_value_validation():
            record.ReferencedFileID = file_id
        directory.DirectoryRecordSequence.append(record)
    directory.SOPClassUID = MediaStorageDirectoryStorage
    directory.SOPInstanceUID = "1.2.3"
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.save_as(folder / "DICOMDIR", enforce_file_format=True)
    return folder / "DICOMDIR"


def test_a_dicomdir_gives_the_files_it_names(tmp_path: Path) -> None:
    (tmp_path / "IMAGES").mkdir()
    for name in ("IM1", "IM2", "UNNAMED"):
        (tmp_path / "IMAGES" / name).write_text(name)
    found = _found(_write_dicomdir(tmp_path, ["IMAGES", "IM1"], ["IMAGES", "IM2"], ["IMAGES", "LOST"]))
    assert [_read(one) for one in found[:2]] == [b"IM1", b"IM2"]
    assert "the file is not there" in found[2].refusal


@pytest.mark.parametrize("file_id", [["..", "secret"], ["a", "..", "..", "secret"], ["/etc/passwd"], "../secret"])
def test_a_dicomdir_never_leads_out_of_its_folder(tmp_path: Path, file_id: list[str] | str) -> None:
    (tmp_path / "secret").write_text("x")
    folder = tmp_path / "cd"
    folder.mkdir()
    (one,) = _found(_write_dicomdir(folder, file_id))
    assert "leads out of its own folder" in one.refusal


def test_a_dicomdir_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "DICOMDIR").write_text("no directory")
    (one,) = _found(tmp_path / "DICOMDIR")
    assert "cannot be read" in one.refusal


def test_a_named_pipe_called_zip_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    (one,) = _found(tmp_path)
    assert "no regular file" in one.refusal


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_with_any_byte_changed_is_a_reason_never_a_defect(tmp_path: Path, method: int) -> None:
    path = tmp_path / "cd.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("IM1", os.urandom(300) + bytes(3000))
        archive.writestr("IM2", b"two" * 100)
    sound = path.read_bytes()
    refused = 0
    for position in range(0, len(sound), 7):
        path.write_bytes(sound[:position] + bytes([sound[position] ^ 0x55]) + sound[position + 1 :])
        for one in _found(path):
            try:
                refused += bool(one.refusal) or not _read(one)
            except (NotDicom, TooLarge, OSError):
                refused += 1
    assert refused > 10


def test_the_directory_of_a_zip_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cd.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(50):
            archive.writestr(f"IM{number}", b"x")
    found = _found(path)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    assert [_read(one) for one in found] == [b"x"] * 50


def test_a_dicomdir_nested_without_end_is_refused(tmp_path: Path) -> None:
    from pacs.part10.file_meta import write_file_meta

    nested = struct.pack("<HH2sHI", 4, 0x1220, b"SQ", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    meta = write_file_meta(
        sop_class_uid=MediaStorageDirectoryStorage, sop_instance_uid="1.2", transfer_syntax_uid=ExplicitVRLittleEndian
    )
    path = tmp_path / "DICOMDIR"
    path.write_bytes(meta + nested * 5000)
    (one,) = _found(path)
    assert "cannot be read" in one.refusal
