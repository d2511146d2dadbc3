"""The JSON Model into bytes: pydicom reads what is written, and nothing wrong is written."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom import dcmread

from pacs.errors import MalformedDataSet
from pacs.part10.data_set_writer import BulkReference, encoded_data_set
from pacs.part10.dicom_json import to_json
from pacs.part10.elements import MAX_DEPTH
from pacs.part10.header import scan
from pacs.part10.value_writer import KNOWN_VRS
from tests.part10.encoding import EXPLICIT_LITTLE


def written(attributes: Any) -> bytes:
    pieces = encoded_data_set(attributes)
    assert all(isinstance(piece, bytes) for piece in pieces)
    return b"".join(piece for piece in pieces if isinstance(piece, bytes))


def test_every_kind_of_value_as_pydicom_reads_it() -> None:
    attributes = {
        "00080018": {"vr": "UI", "Value": ["1.2.3"]},
        "00081115": {"vr": "SQ", "Value": [{"00080104": {"vr": "LO", "Value": ["é", None, "b"]}}, None]},
        "00091010": {"vr": "OB", "InlineBinary": "YWJj"},
        "00091011": {"vr": "SV", "Value": ["-9007199254740993", 2]},
        "00091012": {"vr": "UN"},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A^B", "Phonetic": "C"}, {"Ideographic": "김"}]},
        "00180050": {"vr": "DS", "Value": [1.5, "2.50", 1 / 3, None]},
        "00200013": {"vr": "IS", "Value": [7]},
        "00204000": {"vr": "LT", "Value": ["a\\b"]},
        "00280009": {"vr": "AT", "Value": ["00181063"]},
        "00280010": {"vr": "US", "Value": [512]},
        "00720074": {"vr": "FD", "Value": [0.1, None, "-inf"]},
    }
    found = dcmread(io.BytesIO(written(attributes)), force=True)
    assert found.SpecificCharacterSet == "ISO_IR 192"
    assert [str(name) for name in found.PatientName] == ["A^B==C", "=김"]
    assert [item.get("CodeMeaning") for item in found.ReferencedSeriesSequence] == [["é", "", "b"], None]
    assert found[0x00091010].value == b"abc\0"
    assert found[0x00091011].value == [-9007199254740993, 2]
    assert [str(number) for number in found.SliceThickness[:3]] == ["1.5", "2.50", "0.33333333333333"]
    assert found.ImageComments == "a\\b"
    assert found.FrameIncrementPointer == 0x00181063
    assert found.Rows == 512
    first, second, third = found[0x00720074].value
    assert first == 0.1
    assert second != second
    assert third == float("-inf")


def test_order_case_and_what_is_not_of_the_data_set() -> None:
    attributes = {
        "0020000d": {"vr": "UI", "Value": ["1.2"]},
        "00080018": {"vr": "UI", "Value": ["1.3"]},
        "00080000": {"vr": "UL", "Value": [4]},
        "00020010": {"vr": "UI", "Value": ["1.2.840.10008.1.2"]},
        "00083002": {"vr": "UI", "Value": ["1.2.840.10008.1.2"]},
        "FFFCFFFC": {"vr": "OB"},
    }
    assert list(to_json(scan(written(attributes), EXPLICIT_LITTLE))) == ["00080018", "0020000D"]


def test_the_named_character_set_is_always_the_one_that_is_written() -> None:
    assert b"ISO_IR 192" in written({"00080005": {"vr": "CS", "Value": ["ISO_IR 100"]}})
    assert b"ISO_IR" not in written({"00080018": {"vr": "UI", "Value": ["1.2"]}})


def test_places_for_bulk_data() -> None:
    item = {"00420011": {"vr": "OB", "BulkDataURI": " b "}}
    pieces = encoded_data_set({"00081115": {"vr": "SQ", "Value": [item]}, "7FE00010": {"vr": "OW", "BulkDataURI": "a"}})
    references = [piece for piece in pieces if isinstance(piece, BulkReference)]
    assert references == [BulkReference(0x00420011, "OB", "b", True), BulkReference(0x7FE00010, "OW", "a", False)]
    assert [isinstance(piece, bytes) for piece in pieces] == [True, False, True, False]


def test_text_too_long_for_its_vr_goes_as_un() -> None:
    data = written({"00100020": {"vr": "LO", "Value": ["x" * 70_000]}})
    assert data[4:6] == b"UN"
    assert struct.unpack("<L", data[8:12]) == (70_000,)


def test_nesting_is_bounded() -> None:
    nested: Any = {}
    for _ in range(MAX_DEPTH):
        nested = {"00081115": {"vr": "SQ", "Value": [nested]}}
    written(nested)
    with pytest.raises(MalformedDataSet, match="nested"):
        written({"00081115": {"vr": "SQ", "Value": [nested]}})


def test_no_message_holds_a_value() -> None:
    with pytest.raises(MalformedDataSet) as problem:
        written({"00280010": {"vr": "US", "Value": ["SECRET^NAME"]}})
    assert "SECRET" not in str(problem.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
ATTRIBUTE = st.fixed_dictionaries(
    {"vr": st.sampled_from(sorted(KNOWN_VRS))},
    optional={
        "Value": st.lists(JSON, max_size=3),
        "InlineBinary": st.text("AB=+/ *", max_size=8),
        "BulkDataURI": st.text(max_size=4),
    },
)
TAG = st.sampled_from(["00080018", "00091010", "00280010", "00081115", "7FE00010", "00180050", "00100010"])


@example({"7FE00010": {"vr": "OB"}})
@given(JSON | st.dictionaries(TAG, ATTRIBUTE | JSON, max_size=4))
def test_anything_is_written_so_that_it_can_be_read_or_refused(attributes: Any) -> None:
    try:
        pieces = encoded_data_set(attributes)
    except MalformedDataSet:
        return
    data = b"".join(piece for piece in pieces if isinstance(piece, bytes))
    if data:
        header = scan(data, EXPLICIT_LITTLE)
        again = to_json(header)
        json.dumps(again, allow_nan=False)
        if not again:
            assert data.startswith(b"\xe0\x7f\x10\0"), "pixel data alone are told of by an address, and here is none"
            return
        assert written(again) == written(to_json(scan(written(again), EXPLICIT_LITTLE)))
