"""Data sets as equipment writes them, and the same with bytes damaged: read as pydicom reads them, or refused in words.

`PACS_SOAK=1` damages a hundred times as many. What is made of a header (frame table, kept attributes, JSON) is made of
every damaged one that can be scanned at all.
"""

from __future__ import annotations

import io
import os
import struct
import sys
import time
import warnings
import zlib
from collections import Counter
from random import Random

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from pacs.errors import PacsError
from pacs.part10.dicom_json import to_json
from pacs.part10.frame_table import frame_table
from pacs.part10.header import Header, scan
from pacs.part10.indexed_attributes import indexed_attributes

IMPLICIT, EXPLICIT, BIG, DEFLATED, JPEG = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.4.50",
)
SYNTAXES = (IMPLICIT, EXPLICIT, BIG, DEFLATED, JPEG)
DAMAGED = 30_000 if os.environ.get("PACS_SOAK") else 1_000
"""Of each transfer syntax."""
LIMIT = 1 << 22


def written(syntax: str) -> bytes:
    """A data set with text, numbers, nested sequences and pixels."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3.4"
    ds.StudyDate, ds.StudyTime, ds.AccessionNumber, ds.Modality = "20240229", "235959.5", "A1", "OT"
    ds.PatientName, ds.PatientID = "Kim^Minsu=金^敏秀=김^민수", "P 1"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", "1.2.3.1"
    ds.InstanceNumber, ds.NumberOfFrames = 7, 2
    inner = Dataset()
    inner.CodeValue, inner.CodingSchemeDesignator, inner.CodeMeaning = "T-1", "SRT", "뇌"
    outer = Dataset()
    outer.PurposeOfReferenceCodeSequence = Sequence([inner, Dataset()])
    outer.ReferencedSOPInstanceUID = "1.2.9"
    ds.ReferencedImageSequence = Sequence([outer, outer])
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.Rows, ds.Columns = 1, "MONOCHROME2", 4, 4
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelSpacing, ds.WindowCenter = ["0.5", "0.25"], "40"
    ds.add_new(0x00290010, "LO", "PRIVATE")
    ds.add_new(0x00291001, "UN", b"\1\2\3\4")
    ds.add_new(0x00291002, "OB", bytes(40))
    if syntax == JPEG:
        ds.PixelData = encapsulate([b"\xff\xd8one\xff\xd9", b"\xff\xd8two!\xff\xd9"])
        ds["PixelData"].is_undefined_length = True
    else:
        ds.PixelData = bytes(32)
    ds["PixelData"].VR = "OB" if syntax == JPEG else "OW"
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = syntax != BIG, syntax == IMPLICIT
    write_dataset(buffer, ds)
    content: bytes = buffer.getvalue()
    if syntax == DEFLATED:
        deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        content = deflater.compress(content) + deflater.flush()
    return content


def damaged(random: Random, content: bytes) -> bytes:
    """Bytes changed, lengths made to lie, parts lost, doubled or moved."""
    found = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 5))):
        at = random.randrange(len(found))
        match random.randrange(6):
            case 0:
                found[at] = random.randrange(256)
            case 1:
                found[at : at + 4] = struct.pack("<I", random.choice((0, 1, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)))
            case 2:
                found[at : at + 2] = random.choice((b"SQ", b"UN", b"OB", b"UT", b"\xfe\xff", b"\0\0"))
            case 3:
                del found[at : at + random.randrange(1, 30)]
            case 4:
                found[at:at] = found[at : at + random.randrange(1, 30)]
            case 5:
                found[at:at] = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
        if not found:
            return bytes(content[:1])
    return bytes(found)


def made_of(header: Header) -> None:
    """Everything that is made of a header when an instance is stored or shown."""
    frame_table(header)
    indexed_attributes(header)
    to_json(header)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_it_is_read_as_pydicom_reads_it(syntax: str) -> None:
    content = written(syntax)
    header = scan(memoryview(content), syntax)
    meta = b"".join(
        struct.pack("<HH2sH", 2, 0x10, b"UI", len(uid)) + uid for uid in [syntax.encode() + b"\0" * (len(syntax) % 2)]
    )
    ds = dcmread(io.BytesIO(bytes(128) + b"DICM" + meta + content))
    assert set(map(int, ds.keys())) == set(header.elements) | ({0x7FE00010} if header.pixel_data else set())
    for element in ds:
        if element.VR == "SQ" or element.tag == 0x7FE00010:
            continue
        found = header.elements[int(element.tag)]
        value = bytes(header.buffer[found.value_offset : found.end])
        raw = ds.get_item(element.tag)
        assert found.vr == element.VR or syntax == IMPLICIT, element
        if isinstance(element.value, str):
            assert value.decode().rstrip("\0 ") == element.value
        assert len(value) % 2 == 0, raw
    kept = indexed_attributes(header)
    assert kept.study["0020000D"]["Value"] == [ds.StudyInstanceUID]
    assert kept.patient["00100010"]["Value"] == [
        {"Alphabetic": "Kim^Minsu", "Ideographic": "金^敏秀", "Phonetic": "김^민수"}
    ]
    assert len(frame_table(header)) == 2
    nested = to_json(header)["00081140"]["Value"]
    assert [item["0040A170"]["Value"][0]["00080104"]["Value"] for item in nested] == [["뇌"], ["뇌"]]


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.timeout(7200 if os.environ.get("PACS_SOAK") else 120)
def test_a_damaged_one_is_read_or_refused(syntax: str) -> None:
    content = written(syntax)
    outcomes: Counter[str] = Counter()
    longest_ms = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(DAMAGED):
            bad = damaged(Random(f"{syntax}-{seed}"), content)
            started = time.process_time()
            try:
                made_of(scan(memoryview(bad), syntax, max_inflated_bytes=LIMIT))
                outcomes["read"] += 1
            except PacsError as refused:
                assert str(refused)
                outcomes[type(refused).__name__] += 1
            except Exception as problem:
                problem.add_note(f"seed {seed} of {syntax}: {bad.hex()}")
                raise
            longest_ms = max(longest_ms, 1000 * (time.process_time() - started))
    told = ", ".join(f"{count} {what}" for what, count in outcomes.most_common())
    sys.stderr.write(f"{DAMAGED:,} damaged, {syntax}: {told}; the longest took {longest_ms:.0f} ms\n")
    assert len(outcomes) > 1
    assert longest_ms < 2_000
