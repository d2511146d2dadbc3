from __future__ import annotations

import io
import subprocess
import zipfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacs.dicomweb.zip_archive import ZipEntry, ZipWriter, zip_length

MOMENT = datetime(2026, 11, 22, 10, 11, 12, tzinfo=UTC)


def entry(name: str, content: bytes) -> ZipEntry:
    return ZipEntry(name, len(content), zlib.crc32(content), MOMENT)


def archive(files: dict[str, bytes]) -> bytes:
    writer = ZipWriter()
    pieces: list[bytes | memoryview] = []
    for name, content in files.items():
        pieces += writer.entry(entry(name, content), (content[:3], memoryview(content)[3:]))
    return b"".join([*pieces, *writer.end()])


@settings(max_examples=30)
@given(st.dictionaries(st.from_regex(r"[0-9.]{1,30}(/[0-9.]{1,30})?\.dcm", fullmatch=True), st.binary(), max_size=20))
def test_another_reader_finds_every_file(files: dict[str, bytes]) -> None:
    content = archive(files)
    assert len(content) == zip_length(entry(name, each) for name, each in files.items())
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        assert opened.testzip() is None
        assert {name: opened.read(name) for name in opened.namelist()} == files
        assert all(info.date_time == (2026, 11, 22, 10, 11, 12) for info in opened.infolist())


def test_more_entries_than_16_bits_count() -> None:
    content = archive({f"{number}": b"" for number in range(65_536)})
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        assert len(opened.namelist()) == 65_536
        assert opened.read("65535") == b""


class _Hollow:
    """A file of the archive's real bytes at its ends and zeros between, so that 9 GB need no disk."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def write(self, piece: bytes | memoryview) -> None:
        if len(piece) == 1 << 20:
            self._file.seek(1 << 20, io.SEEK_CUR)
        else:
            self._file.write(piece)

    def close(self) -> None:
        self._file.truncate()
        self._file.close()


def test_files_and_offsets_beyond_four_gigabytes(tmp_path: Path) -> None:
    large = (4 << 30) + 12_345
    entries = [ZipEntry("1.dcm", large, 0, MOMENT), entry("2.dcm", b"behind"), entry("3.dcm", b"last")]
    writer, file = ZipWriter(), _Hollow(tmp_path / "large.zip")

    def zeros() -> Iterator[bytes]:
        for _ in range(large >> 20):
            yield bytes(1 << 20)
        yield bytes(large & (1 << 20) - 1)

    for each, pieces in zip(entries, (zeros(), (b"behind",), (b"last",)), strict=True):
        for piece in writer.entry(each, pieces):
            file.write(piece)
    for piece in writer.end():
        file.write(piece)
    file.close()
    assert (tmp_path / "large.zip").stat().st_size == zip_length(entries)
    with zipfile.ZipFile(tmp_path / "large.zip") as opened:
        assert [info.file_size for info in opened.infolist()] == [large, 6, 4]
        assert opened.read("2.dcm") + opened.read("3.dcm") == b"behindlast"
        with opened.open("1.dcm") as inside:
            assert inside.read(100) == bytes(100)


def test_a_reader_of_streams_can_unpack_it(tmp_path: Path) -> None:
    """Sizes stand in front of each file, so nothing needs to look at the end first."""
    content = archive({"1.2/3.dcm": b"x" * 1000, "1.2/4.dcm": b"y" * 1000})
    (tmp_path / "a.zip").write_bytes(content)
    try:
        found = subprocess.run(["unzip", "-t", tmp_path / "a.zip"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("unzip is not installed")
    assert found.returncode == 0, found.stdout
