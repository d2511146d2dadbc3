from __future__ import annotations

import json
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs.index.packed import DICTIONARIES, packed, packed_above, unpacked, unpacked_above
from pacs.model import DicomJson
from tests.index.new_instances import CT, attributes


@given(st.dictionaries(st.sampled_from(["00080008", "00180050", "00700081"]), st.dictionaries(st.text(), st.text())))
def test_what_is_packed_comes_out(given_attributes: DicomJson) -> None:
    assert unpacked(packed(given_attributes, CT, "1.2"), CT, "1.2") == given_attributes


@pytest.mark.parametrize("uid", ["1.2", "1.3", None])
def test_uids_come_out_as_they_were(uid: str | None) -> None:
    image = attributes(SOPClassUID=CT, SOPInstanceUID=uid, Rows=512)
    assert unpacked(packed(image, CT, "1.2"), CT, "1.2") == image


def test_an_image_takes_few_bytes() -> None:
    image = attributes(
        SOPClassUID=CT,
        SOPInstanceUID="1.2.3",
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
        InstanceNumber=17,
        ImagePositionPatient=[-125.5, -120.25, 33.75],
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        Rows=512,
        Columns=512,
        BitsAllocated=16,
        BitsStored=12,
        HighBit=11,
        PhotometricInterpretation="MONOCHROME2",
    )
    assert len(packed(image, CT, "1.2.3")) < 150 < len(json.dumps(image))


def test_what_was_kept_before_there_was_a_dictionary_is_read() -> None:
    assert unpacked(b'{"00280010":{"vr":"US","Value":[512]}}', CT, "1") == attributes(Rows=512)


def test_a_lone_surrogate_is_kept() -> None:
    wrong = {"00204000": {"vr": "LT", "Value": ["a\udc80"]}}
    assert unpacked(packed(wrong, CT, "1"), CT, "1") == wrong


@given(st.text(st.characters(exclude_categories=())))
def test_attributes_above_come_back_whatever_they_hold(text: str) -> None:
    stored = {"00104000": {"vr": "LT", "Value": [text, 1.5, None]}}
    assert unpacked_above(packed_above(stored)) == stored


def test_a_series_takes_few_bytes() -> None:
    series = attributes(
        SeriesDate="20240131",
        SeriesTime="101530",
        Modality="CT",
        Manufacturer="SIEMENS",
        SeriesDescription="Chest 1.0",
        SeriesInstanceUID="1.2.3",
        SeriesNumber=2,
    )
    assert len(packed_above(series)) < 90 < 300 < len(json.dumps(series))
    without_uid = {tag: value for tag, value in series.items() if tag != "0020000E"}
    assert unpacked_above(packed_above(series)) == without_uid, "the UID is a column"


@pytest.mark.parametrize("form", [str, str.encode])
def test_rows_above_from_before_there_was_a_dictionary_are_read(form: Callable[[str], str | bytes]) -> None:
    """SQLite keeps them as text; on PostgreSQL they became bytes."""
    assert unpacked_above(form('{"00100010":{"vr":"PN","Value":[{"Ideographic":"金"}]}}')) == attributes(
        PatientName={"Ideographic": "金"}
    )


def test_dictionaries_never_change() -> None:
    """Rows were written with them."""
    first, second = 288271871, 2370628628
    known = {b"\x01": first, b"\x02": first, b"\x03": second}
    assert {begin: zlib.crc32(text) for begin, text in DICTIONARIES.items()} == known
