"""Text made quickly equals text made at leisure, whatever was seen before."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pacs.errors import PacsError
from pacs.part10.dicom_json import to_json
from pacs.part10.file_meta import read_file_meta
from pacs.part10.header import scan
from pacs.part10.json_text import JsonTexts

BULK = '"http://host/a'


def slowly(data_set: bytes, syntax: str) -> bytes:
    made = to_json(scan(data_set, syntax), bulk_data_uri=lambda path: f"http://host/a/{path}")
    made["00083002"] = {"vr": "UI", "Value": [syntax]}
    text = json.dumps(dict(sorted(made.items())), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace")


def quickly(texts: JsonTexts, data_set: bytes, syntax: str) -> bytes:
    return texts.text(scan(data_set, syntax), syntax, f"{BULK}/".encode())


def encode(data_set: Dataset, syntax: str) -> bytes:
    stream = io.BytesIO()
    is_implicit, is_little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    dcmwrite(stream, data_set, implicit_vr=is_implicit, little_endian=is_little)
    return stream.getvalue()


def data_set(**values: object) -> Dataset:
    made = Dataset()
    made.SOPInstanceUID = "1.2.3"
    made.PatientName = "KIM^SU"
    made.add_new(0x00090010, "LO", "CREATOR A")
    made.add_new(0x00091001, "OB", b"\1\2" * 700)
    made.add_new(0x00091002, "UN", b"abcd")
    made.PixelRepresentation = 0
    made.add_new(0x00280106, "US", 40000)
    made.add_new(0x7FE00010, "OW", b"\0\1" * 8)
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def item(text: str) -> Dataset:
    inner = Dataset()
    inner.RequestedProcedureDescription = text
    inner.add_new(0x00091003, "OB", b"\3" * 2000)
    return inner


def outcome(made: Callable[[], bytes]) -> bytes | type[PacsError]:
    """What comes of it: bytes, or the class of the refusal."""
    try:
        return made()
    except PacsError as problem:
        return type(problem)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_what_surrounds_a_value_decides_with_it(syntax: str) -> None:
    """The same bytes mean another thing under another character set, sign or private creator."""
    texts = JsonTexts()
    latin, korean = data_set(PatientName="M\xfcller"), data_set(PatientName="\uae40^\uc218")
    latin.SpecificCharacterSet, korean.SpecificCharacterSet = "ISO_IR 100", "ISO 2022 IR 149"
    cyrillic = data_set()
    cyrillic.SpecificCharacterSet = "ISO_IR 144"
    other = data_set()
    other[0x00090010].value = "CREATOR B"
    several = [
        data_set(),
        latin,
        korean,
        cyrillic,
        other,
        data_set(AvailableTransferSyntaxUID="1.2.3"),
        data_set(RequestAttributesSequence=[item("a"), item('"BulkDataURI":"\\u0000')]),
        data_set(PatientComments='\\u0000 "BulkDataURI":"\\u0000', RescaleSlope="1.50"),
    ]
    encoded = [encode(each, syntax) for each in several] * 4
    signed = encode(data_set(), syntax)
    order = "big" if syntax == ExplicitVRBigEndian else "little"
    at = signed.index((0x0028).to_bytes(2, order) + (0x0103).to_bytes(2, order))
    width = signed.index((0x0028).to_bytes(2, order) + (0x0106).to_bytes(2, order)) - at
    signed = signed[: at + width - 2] + (1).to_bytes(2, order) + signed[at + width :]
    for each in [*encoded, signed, *encoded, signed]:
        assert quickly(texts, each, syntax) == slowly(each, syntax)


def test_what_is_remembered_stays_small() -> None:
    texts = JsonTexts(max_bytes=20_000)
    for number in range(300):
        encoded = encode(data_set(SOPInstanceUID=f"1.2.{number}", PatientComments="N" * number), ExplicitVRLittleEndian)
        assert quickly(texts, encoded, ExplicitVRLittleEndian) == slowly(encoded, ExplicitVRLittleEndian)
        assert texts._held < 25_000


_ANY = encode(data_set(RequestAttributesSequence=[item("a"), item("b")]), ExplicitVRLittleEndian)
_SHARED = JsonTexts()


@given(st.lists(st.tuples(st.integers(0, len(_ANY) - 1), st.integers(0, 255)), max_size=4))
def test_damaged_data_sets_are_told_or_refused_in_the_same_way(damage: list[tuple[int, int]]) -> None:
    changed = bytearray(_ANY)
    for at, byte in damage:
        changed[at] = byte
    told = outcome(lambda: quickly(_SHARED, bytes(changed), ExplicitVRLittleEndian))
    assert told == outcome(lambda: slowly(bytes(changed), ExplicitVRLittleEndian))


@pytest.mark.corpus
def test_real_images(corpus: Path) -> None:
    texts = JsonTexts()
    compared = 0
    with (corpus / "INDEX.tsv").open(newline="") as table:
        places = [corpus / row["path"] for row in csv.DictReader(table, delimiter="\t")]
    for place in places:
        files = [place] if place.is_file() else sorted(place.rglob("*.dcm"))[:3]
        for file in files:
            content = file.read_bytes() if file.stat().st_size < 1 << 20 else b""
            try:
                meta = read_file_meta(content)
                syntax, found = meta.transfer_syntax_uid, content[meta.data_set_offset :]
                expected = slowly(found, syntax)
            except PacsError:
                continue
            assert quickly(texts, found, syntax) == expected, file
            compared += 1
    assert compared > 100
