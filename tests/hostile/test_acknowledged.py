"""Whatever is acknowledged can be had again: byte for byte alone and within its study, its metadata told or refused.

Data sets are changed at any place in any way, and come over STOW-RS, or as C-STORE hands them to the archive: there
the file meta information is the archive's own, and what the data set begins with is the sender's.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid

from pacs.dicomweb.multipart import MultipartReader, PartBegins, PartData
from pacs.errors import PacsError, PeerFault
from pacs.model import Principal, Source
from tests.dicomweb.served import DoorInMemory, archive_under, data_set_bytes, image, mounted

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT, IMPLICIT, BIG_ENDIAN, RLE = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.5",
)
_numbers = itertools.count(1)


class QuickDoor(DoorInMemory):
    """One application, loop and client for all requests."""

    @contextlib.contextmanager
    def open(self) -> Iterator[QuickDoor]:
        with asyncio.Runner() as self.runner:
            transport = httpx.ASGITransport(mounted(self.application()), raise_app_exceptions=False)
            self.client = httpx.AsyncClient(transport=transport, base_url=self.base, headers={"accept": "*/*"})
            yield self
            self.runner.run(self.client.aclose())

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.runner.run(self.client.request(method, path, **options))


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuickDoor]:
    with archive_under(tmp_path_factory.mktemp("archive")) as services, QuickDoor(*services).open() as quick:
        yield quick


@dataclass(frozen=True)
class Seed:
    """A data set to be changed; its UIDs end in a number that every example has for itself."""

    transfer_syntax_uid: str
    data_set: bytes


_NUMBER = "0000000000"
_GROUP_2 = b"\2\0"


def _seed(transfer_syntax_uid: str, **attributes: Any) -> Seed:
    data_set = Dataset()
    data_set.update(image(**attributes))
    data_set.SOPInstanceUID = f"{generate_uid()[:40]}.1{_NUMBER}"
    data_set.StudyInstanceUID = f"{generate_uid()[:40]}.1{_NUMBER}"
    private = data_set.private_block(0x0009, "ACME", create=True)
    private.add_new(0x01, "UN", b"\1\2\3\4")
    private.add_new(0x02, "SQ", Sequence([Dataset(), Dataset()]))
    stream = DicomBytesIO()
    stream.is_little_endian = transfer_syntax_uid != BIG_ENDIAN
    stream.is_implicit_VR = transfer_syntax_uid == IMPLICIT
    write_dataset(stream, data_set)
    return Seed(transfer_syntax_uid, stream.getvalue())


def _nested() -> Sequence:
    deep = Dataset()
    deep.CodeValue, deep.CodeMeaning = "T1", "Thorax"
    middle = Dataset()
    middle.ConceptNameCodeSequence, middle.TextValue = Sequence([deep]), "text"
    return Sequence([middle, middle])


_FRAME = struct.pack("<16I", 2, 64, 66, *[0] * 13) + b"\xe9\1\xe9\1"
SEEDS = [
    _seed(EXPLICIT, ContentSequence=_nested(), SpecificCharacterSet=["", "ISO 2022 IR 149"]),
    _seed(IMPLICIT, ContentSequence=_nested()),
    _seed(BIG_ENDIAN, ContentSequence=_nested()),
    _seed(EXPLICIT, PixelData=None, PatientComments="x" * 300, ImageType=["ORIGINAL", "PRIMARY"]),
]
_encapsulated = image(NumberOfFrames=2, PixelData=encapsulate([_FRAME, _FRAME]))
_encapsulated["PixelData"].VR, _encapsulated["PixelData"].is_undefined_length = "OB", True
SEEDS.append(_seed(RLE, **{each.keyword: each.value for each in _encapsulated if each.keyword != "PixelData"}))

_PIECES = [
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\xfe\xff\0\xe0",
    b"\xfe\xff\x0d\xe0",
    b"\xfe\xff\xdd\xe0",
    b"\xe0\x7f\x10\0",
    b"\2\0\x10\0UI\x12\x001.2.840.10008.1.2\0",
    b"\2\0\0\0UL\4\0\x10\0\0\0",
    b"\2\0\x10\0\2\0\0\x001\0",
    b"\x08\0\5\0CS\x0a\0ISO_IR 192",
    b"\x08\0\0\0UL\4\0\xff\0\0\0",
    b"\x08\0\x18\0UI\0\0",
    *(vr.encode() for vr in ("SQ", "UN", "OB", "US", "IS", "DS", "PN", "DA", "FD", "AT", "UI", "??")),
]
_TEXT = re.compile(rb"[0-9A-Za-z^.\\ ]{3,}")
_change = st.tuples(
    st.sampled_from(["flip", "text", "flip", "text", "set", "insert", "delete", "copy", "head"]),
    st.integers(0, 1 << 16),
    st.sampled_from(_PIECES) | st.binary(min_size=1, max_size=8),
    st.integers(1, 60),
)


def changed(data_set: bytes, changes: list[tuple[str, int, bytes, int]]) -> bytes:
    found = bytearray(data_set)
    for how, where, piece, size in changes:
        position = where * 40503 % max(1, len(found))  # numbers come small most often, and are wanted everywhere
        if how == "flip":
            found[position : position + 1] = bytes([found[position] ^ 1 << size % 8]) if found else b""
        elif how == "text":
            runs = [match.span() for match in _TEXT.finditer(found)]
            if runs:
                start, end = runs[where % len(runs)]
                found[start:end] = (piece * (end - start))[: end - start]
        elif how == "set":
            found[position : position + len(piece)] = piece
        elif how == "insert":
            found[position:position] = piece
        elif how == "delete":
            del found[position : position + size]
        elif how == "copy":
            found[position:position] = found[position // 2 : position // 2 + size]
        else:
            found[:0] = piece
    return bytes(found)


def part_10(seed: Seed, data_set: bytes) -> bytes:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CT, "1.2.3"
    meta.TransferSyntaxUID, meta.ImplementationClassUID = seed.transfer_syntax_uid, "1.2"
    stream = io.BytesIO()
    stream.write(bytes(128) + b"DICM")
    write_file_meta_info(stream, meta, enforce_standard=False)
    return stream.getvalue() + data_set


def sent_over_stow(door: QuickDoor, seed: Seed, data_set: bytes) -> str | None:
    """The path of the instance when it was acknowledged."""
    answer = door.post("/studies", part_10(seed, data_set))
    assert answer.status_code in (200, 202, 400, 403, 409, 413), answer.text
    if answer.status_code not in (200, 202):
        assert answer.text
        return None
    (item,) = answer.json()["00081199"]["Value"]
    return urlsplit(item["00081190"]["Value"][0]).path.removeprefix("/dicomweb")


def sent_as_c_store_does(door: QuickDoor, seed: Seed, data_set: bytes) -> str | None:
    reception = door.ingest.begin(Source(Principal("test"), "C-STORE"), seed.transfer_syntax_uid)
    try:
        reception.write(data_set)
        key = reception.commit().key
    except PacsError as problem:
        reception.abort()
        assert isinstance(problem, PeerFault), problem
        return None
    return f"/studies/{key.study_instance_uid}/series/{key.series_instance_uid}/instances/{key.sop_instance_uid}"


def files_of(answer: httpx.Response) -> list[bytes]:
    found: list[bytes] = []
    boundary = answer.headers["content-type"].partition("boundary=")[2].strip('"')
    for event in MultipartReader(boundary).feed(answer.content):
        if isinstance(event, PartBegins):
            found.append(b"")
        elif isinstance(event, PartData):
            found[-1] += event.data
    return found


def check(door: QuickDoor, path: str, data_set: bytes) -> None:
    """That `data_set`, and what is said of it, can be had at `path`."""
    alone = door.get(path, accept="application/dicom; transfer-syntax=*")
    assert alone.status_code == 200, alone.text
    assert data_set_bytes(alone.content) == data_set
    study = path.partition("/series/")[0]
    together = door.get(study, accept='multipart/related; type="application/dicom"; transfer-syntax=*')
    assert together.status_code == 200, together.text
    assert data_set in map(data_set_bytes, files_of(together))
    for accept in ("application/dicom+json", 'multipart/related; type="application/dicom+xml"'):
        metadata = door.get(f"{path}/metadata", accept=accept)
        assert metadata.status_code == 200 or 400 <= metadata.status_code < 500, metadata.text
        if metadata.status_code != 200:
            assert metadata.json()["error"]
    transcoded = door.get(path, accept=f"application/dicom; transfer-syntax={EXPLICIT}")
    assert transcoded.status_code in (200, 400, 406), transcoded.text


@settings(
    max_examples=2 * settings.default.max_examples,  # most changes are refused
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.sampled_from(range(len(SEEDS))),
    st.lists(_change, max_size=4),
    st.sampled_from([sent_over_stow, sent_as_c_store_does]),
)
def test_what_is_acknowledged_can_be_had_again(
    door: QuickDoor, seed_number: int, changes: list[tuple[str, int, bytes, int]], send: Any
) -> None:
    seed = SEEDS[seed_number]
    number = f"{next(_numbers):010d}".encode()
    data_set = changed(seed.data_set.replace(_NUMBER.encode(), number), changes)
    path = send(door, seed, data_set)
    assert changes or path is not None, "what is unchanged is acknowledged"
    if path is not None:
        if send is sent_over_stow and data_set.startswith(_GROUP_2):
            # In a file, group 0002 is file meta information as long as it goes on.
            data_set = data_set_bytes(part_10(seed, data_set))
            assert not data_set.startswith(_GROUP_2)
        check(door, path, data_set)


def test_most_changes_are_acknowledged_or_the_test_shows_nothing(door: QuickDoor) -> None:
    seed = SEEDS[0]
    kept = 0
    for where in range(0, len(seed.data_set), 97):
        data_set = changed(
            seed.data_set.replace(_NUMBER.encode(), f"9{next(_numbers):09d}".encode()), [("set", where, b"\1", 1)]
        )
        path = sent_over_stow(door, seed, data_set)
        if path is not None:
            kept += 1
            check(door, path, data_set)
    assert kept >= 5


def test_a_lost_byte_would_be_seen(door: QuickDoor) -> None:
    """The control: what differs in one byte is not taken for what was sent."""
    seed = SEEDS[0]
    data_set = seed.data_set.replace(_NUMBER.encode(), f"8{next(_numbers):09d}".encode())
    path = sent_over_stow(door, seed, data_set)
    assert path is not None
    with pytest.raises(AssertionError):
        check(door, path, data_set[:-1] + bytes([data_set[-1] ^ 1]))
