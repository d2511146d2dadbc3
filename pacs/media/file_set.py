"""Finds what may be DICOM files in folders, zips and DICOMDIRs (PS3.10 §8)."""

from __future__ import annotations

import mmap
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from pacs.errors import NotDicom, NotFound, TooLarge

_SPOOL_BYTES = 32 << 20
"""A zip's member up to this size is inflated in memory, a larger one into a temporary file."""
_CHUNK_BYTES = 1 << 20


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
        directory = pydicom.dcmread(dicomdir, specific_tags=["DirectoryRecordSequence"])
        records = directory.DirectoryRecordSequence
    except (InvalidDicomError, AttributeError, OSError, ValueError, EOFError) as problem:
        yield Candidate(str(dicomdir), _nothing, refusal=f"the DICOMDIR cannot be read: {problem}")
        return
    for record in records:
        file_id = record.get("ReferencedFileID")
        if not file_id:
            continue
        parts = [file_id] if isinstance(file_id, str) else list(file_id)
        path = root.joinpath(*(str(part) for part in parts))
        if any(part in {"..", ""} or "/" in part for part in parts) or not path.resolve().is_relative_to(root):
            yield Candidate("/".join(parts), _nothing, refusal="the DICOMDIR leads out of its own folder")
        elif not path.is_file():
            yield Candidate(str(path), _nothing, refusal="named by the DICOMDIR, but the file is not there")
        else:
            yield from _file(path, max_instance_bytes)


def _zip(path: Path, max_instance_bytes: int) -> Iterator[Candidate]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as problem:
        yield Candidate(str(path), _nothing, refusal=f"the zip cannot be read: {problem}")
        return
    for member in members:
        if member.filename.rpartition("/")[2].upper() != "DICOMDIR":
            yield Candidate(f"{path}!{member.filename}", _member(path, member, max_instance_bytes))


def _member(
    path: Path, member: zipfile.ZipInfo, max_instance_bytes: int
) -> Callable[[], AbstractContextManager[memoryview]]:
    @contextmanager
    def read() -> Iterator[memoryview]:
        """Inflate with a limit: the size a zip declares is not believed."""
        try:
            with (
                zipfile.ZipFile(path) as archive,
                archive.open(member) as source,
                tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as target,
            ):
                size = 0
                while chunk := source.read(_CHUNK_BYTES):
                    size += len(chunk)
                    if size > max_instance_bytes:
                        raise TooLarge(f"inflates past {max_instance_bytes} bytes (ingest.max_instance_bytes)")
                    target.write(chunk)
                target.seek(0)
                if size <= _SPOOL_BYTES:
                    yield memoryview(target.read())
                else:
                    with _map(target.fileno()) as mapped:
                        yield mapped
        except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, RuntimeError) as problem:
            raise NotDicom(f"the zip's member cannot be read: {problem}") from problem

    return read


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
