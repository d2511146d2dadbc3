"""Where views lie in their files, and how long those stay open."""

from __future__ import annotations

import errno
import gc
import os
from pathlib import Path

import pytest

from pacs.storage.mapped_file import FilePiece, MappedFile, piece_of_file

CONTENT = bytes(range(256)) * 100


def mapped(folder: Path) -> MappedFile:
    (folder / "file").write_bytes(CONTENT)
    return MappedFile.of(os.open(folder / "file", os.O_RDONLY))


@pytest.mark.parametrize(("start", "end"), [(0, 25600), (1, 2), (5000, 25600), (25599, 25600)])
def test_a_piece_is_found_in_its_file(tmp_path: Path, start: int, end: int) -> None:
    view = memoryview(mapped(tmp_path))[start:end]
    piece = piece_of_file(view[:])
    assert piece is not None
    assert os.pread(piece.handle, len(piece.view), piece.offset) == CONTENT[start:end]


def test_a_slice_of_a_slice(tmp_path: Path) -> None:
    view = memoryview(mapped(tmp_path))[1000:9000][10:][5:20]
    assert piece_of_file(view) == FilePiece(view.obj.handle, 1015, view)  # type: ignore[attr-defined]


def test_what_lies_in_no_file_is_none(tmp_path: Path) -> None:
    assert piece_of_file(memoryview(CONTENT)) is None
    assert piece_of_file(memoryview(mapped(tmp_path))[::2]) is None


def test_the_file_is_open_as_long_as_a_view(tmp_path: Path) -> None:
    view = memoryview(mapped(tmp_path))[10:20]
    piece = piece_of_file(view)
    assert piece is not None
    handle = piece.handle
    assert os.fstat(handle).st_size == len(CONTENT)
    del view, piece
    gc.collect()
    with pytest.raises(OSError, match="Bad file") as refused:
        os.fstat(handle)
    assert refused.value.errno == errno.EBADF
