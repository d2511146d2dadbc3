"""Documents made quickly equal documents made at leisure, whatever was seen before."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pacs.part10.dicom_json import to_json
from pacs.part10.dicom_xml import to_xml
from pacs.part10.header import scan
from pacs.part10.xml_text import BOUNDARY, XmlTexts
from tests.part10.test_json_text import data_set, encode, item, outcome

_LIKE_A_URI = '<BulkData uri="\ufffd'


def slowly(data_set: bytes, syntax: str) -> bytes:
    made = to_json(scan(data_set, syntax), bulk_data_uri=lambda path: f"http://host/a/{path}")
    made["00083002"] = {"vr": "UI", "Value": [syntax]}
    return to_xml(made)


def quickly(texts: XmlTexts, data_set: bytes, syntax: str) -> bytes:
    return texts.text(scan(data_set, syntax), syntax, b' uri="http://host/a/')


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_what_surrounds_a_value_decides_with_it(syntax: str) -> None:
    """The same bytes mean another thing under another character set, and every private element names its creator."""
    texts = XmlTexts()
    latin, korean = data_set(PatientName="M\xfcller"), data_set(PatientName="\uae40^\uc218")
    latin.SpecificCharacterSet, korean.SpecificCharacterSet = "ISO_IR 100", "ISO 2022 IR 149"
    other, nameless = data_set(), data_set()
    other[0x00090010].value = "CREATOR B"
    del nameless[0x00090010]
    several = [
        data_set(),
        latin,
        korean,
        other,
        nameless,
        data_set(AvailableTransferSyntaxUID="1.2.3"),
        data_set(RequestAttributesSequence=[item("a"), item(_LIKE_A_URI)], SpecificCharacterSet="ISO_IR 192"),
        data_set(PatientComments=_LIKE_A_URI, RescaleSlope="1.50", SpecificCharacterSet="ISO_IR 192"),
    ]
    encoded = [encode(each, syntax) for each in several]
    for each in encoded * 3:
        assert quickly(texts, each, syntax) == slowly(each, syntax)
    assert b'privateCreator="CREATOR B"' in quickly(texts, encoded[3], syntax)
    assert b"privateCreator" not in quickly(texts, encoded[4], syntax)


def test_no_document_has_the_boundary() -> None:
    found = quickly(XmlTexts(), encode(data_set(PatientComments=f"a--{BOUNDARY}--b"), ImplicitVRLittleEndian), "1.2")
    assert BOUNDARY.encode() not in found
    assert f"a--{BOUNDARY}--b" in "".join(ElementTree.fromstring(found).itertext())


def test_a_creator_that_is_damaged_names_nobody_and_the_next_is_told() -> None:
    """Found by fuzzing: the text of a private element was remembered by its creator's name alone."""
    whole = encode(data_set(), ExplicitVRLittleEndian)
    damaged = whole.replace(b"\x09\0\x10\0LO", b"\x09\0\x10\0\0O")
    assert damaged != whole
    for first, second in ((damaged, whole), (whole, damaged)):
        texts = XmlTexts()
        for each in (first, second):
            assert quickly(texts, each, ExplicitVRLittleEndian) == slowly(each, ExplicitVRLittleEndian)


_ANY = encode(data_set(RequestAttributesSequence=[item("a"), item("b")]), ExplicitVRLittleEndian)
_SHARED = XmlTexts()


@given(st.lists(st.tuples(st.integers(0, len(_ANY) - 1), st.integers(0, 255)), max_size=4))
def test_damaged_data_sets_are_told_or_refused_in_the_same_way(damage: list[tuple[int, int]]) -> None:
    changed = bytearray(_ANY)
    for at, byte in damage:
        changed[at] = byte
    told = outcome(lambda: quickly(_SHARED, bytes(changed), ExplicitVRLittleEndian))
    assert told == outcome(lambda: slowly(bytes(changed), ExplicitVRLittleEndian))
    if isinstance(told, bytes):
        ElementTree.fromstring(told)
