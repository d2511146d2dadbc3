"""Finds what may be DICOM files in folders, zips and DICOMDIRs (PS3.10 §8)."""

from __future__ import annotations

import lzma
import mmap
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom

from pacs.errors import NotDicom, NotFound, TooLarge

_SPOOL_BYTES = 32 << 20
"""A zip's member up to this size is inflated in memory, a larger one into a temporary file."""
_CHUNK_BYTES = 1 << 20
_MAX_DICOMDIR_BYTES = 64 << 20
"""A DICOMDIR of some 200,000 instances; read whole, it takes ten times as much memory."""
_UNREADABLE = (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)
"""What the library says of a damaged zip; RuntimeError, its word for an encrypted one, is caught beside it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One file that may be a DICOM instance."""

    name: str
    """For people: the path, and the member's name behind ``!`` inside a zip."""
    open: Callable[[], AbstractContextManager[memoryview]]
    """Gives the bytes for the length of a `with`; raises `pacs.errors.PacsError` or OSError."""
    refusal: str = ""
    """Set when the name alone already tells that nothing can be read."""


def candidates(paths: list[Path], max_instance_bytes: int) -> Iterator[Candidate]:
    """Walk `paths` in a stable order. Links to folders are not followed; a path that does not exist is a refusal."""
    for path in paths:
        if path.is_dir():
            for folder, folders, files in os.walk(path):
                folders.sort()
                for name in sorted(files):
                    file = Path(folder, name)
                    if name.upper() != "DICOMDIR":
                        yield from _file(file, max_instance_bytes)
        elif path.name.upper() == "DICOMDIR" and path.is_file():
            yield from _file_set(path, max_instance_bytes)
        elif path.exists():
            yield from _file(path, max_instance_bytes)
        else:
            yield Candidate(str(path), _nothing, refusal="there is no such file or folder")


def _file(path: Path, max_instance_bytes: int) -> Iterator[Candidate]:
    if path.suffix.lower() == ".zip":
        yield from _zip(path, max_instance_bytes)
    else:
        yield Candidate(str(path), lambda: _mapped(path))


def _file_set(dicomdir: Path, max_instance_bytes: int) -> Iterator[Candidate]:
    """The files a DICOMDIR names (PS3.3 F.3.2.2). An ID that leads out of its folder is refused."""
    root = dicomdir.resolve().parent
    try:
        if dicomdir.stat().st_size > _MAX_DICOMDIR_BYTES:
            raise ValueError(f"it is larger than {_MAX_DICOMDIR_BYTES} bytes")
        directory = pydicom.dcmread(dicomdir, specific_tags=["DirectoryRecordSequence"])
        file_ids = [_parts(record.get("ReferencedFileID")) for record in directory.DirectoryRecordSequence]
    except Exception as problem:  # noqa: BLE001 -- pydicom raises whatever a damaged data set runs into
        reason = str(problem)[:200] or type(problem).__name__
        yield Candidate(str(dicomdir), _nothing, refusal=f"the DICOMDIR cannot be read: {reason}")
        return
    for parts in filter(None, file_ids):
        path = root.joinpath(*parts)
        if not _is_inside(root, parts, path):
            yield Candidate("/".join(parts), _nothing, refusal="the DICOMDIR leads out of its own folder")
        elif not path.is_file():
            yield Candidate(str(path), _nothing, refusal="named by the DICOMDIR, but the file is not there")
        else:
            yield from _file(path, max_instance_bytes)


def _parts(file_id: Any) -> list[str]:
    if not file_id:
        return []
    return [str(file_id)] if isinstance(file_id, str) else [str(part) for part in file_id]


def _is_inside(root: Path, parts: list[str], path: Path) -> bool:
    if any(part in {"..", ""} or "/" in part or "\0" in part for part in parts):
        return False
    try:
        return path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a name too long, links in a circle
        return False


def _zip(path: Path, max_instance_bytes: int) -> Iterator[Candidate]:
    # A pipe would be waited for; a device has no end.
    try:
        if not path.is_file():
            raise ValueError("it is no regular file")
        archive = zipfile.ZipFile(path)
    except (*_UNREADABLE, OSError, ValueError) as problem:
        yield Candidate(str(path), _nothing, refusal=f"the zip cannot be read: {problem}")
        return
    # Opened once for all its members: its directory, which may be long, is read once. Closed with the last of them.
    for member in archive.infolist():
        if not member.is_dir() and member.filename.rpartition("/")[2].upper() != "DICOMDIR":
            yield Candidate(f"{path}!{member.filename}", _member(archive, member, max_instance_bytes))


def _member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, max_instance_bytes: int
) -> Callable[[], AbstractContextManager[memoryview]]:
    @contextmanager
    def read() -> Iterator[memoryview]:
        """Inflate with a limit: the size a zip declares is not believed."""
        with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as target:
            size = _inflate(archive, member, target, max_instance_bytes)
            if size <= _SPOOL_BYTES:
                yield memoryview(target.read())
            else:
                with _map(target.fileno()) as mapped:
                    yield mapped

    return read


def _inflate(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: tempfile.SpooledTemporaryFile[bytes], limit: int
) -> int:
    """Write the member to `target`, wind that back, and return its size. Raises `NotDicom`, `TooLarge`."""
    size = 0
    try:
        with archive.open(member) as source:
            while chunk := source.read(_CHUNK_BYTES):
                size += len(chunk)
                if size > limit:
                    raise TooLarge(f"inflates past {limit} bytes (ingest.max_instance_bytes)")
                target.write(chunk)
    except (*_UNREADABLE, RuntimeError, ValueError) as problem:
        raise NotDicom(f"the zip's member cannot be read: {problem}") from problem
    target.seek(0)
    return size


@contextmanager
def _mapped(path: Path) -> Iterator[memoryview]:
    if not path.is_file():
        raise NotDicom("this is no regular file")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size <= _CHUNK_BYTES:
            yield memoryview(file.read(_CHUNK_BYTES + 1))
        else:
            with _map(file.fileno()) as mapped:
                yield mapped


@contextmanager
def _map(descriptor: int) -> Iterator[memoryview]:
    mapped = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    try:
        yield memoryview(mapped)
    finally:
        # The traceback of a refusal may hold a view still; the mapping then ends with it.
        with suppress(BufferError):
            mapped.close()


@contextmanager
def _nothing() -> Iterator[memoryview]:
    raise NotFound("nothing to read")
    yield memoryview(b"")
