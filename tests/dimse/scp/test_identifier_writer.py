"""Answers as any DICOM reader must be able to read them, in the requester's words."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pacs.dimse.scp.identifier import decode_identifier
from pacs.dimse.scp.identifier_writer import encode_identifier
from pacs.model import DicomJson
from tests.dimse.scp.fake_exchange import EXPLICIT, IMPLICIT, decoded

NAME = 0x00100010
KOREAN = {"Alphabetic": "Hong^Gildong", "Ideographic": "洪^吉洞", "Phonetic": "홍^길동"}


def attributes(name: dict[str, str]) -> DicomJson:
    return {
        "00080020": {"vr": "DA", "Value": ["20260102"]},
        "00080052": {"vr": "CS", "Value": ["STUDY"]},
        "00080061": {"vr": "CS", "Value": ["CT", "SR"]},
        "00100010": {"vr": "PN", "Value": [name]},
        "00100030": {"vr": "DA"},
        "00180050": {"vr": "DS", "Value": [2.5]},
        "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
        "00201208": {"vr": "IS", "Value": [240]},
        "00280010": {"vr": "US", "Value": [512]},
        "00400275": {"vr": "SQ", "Value": [{"00400009": {"vr": "SH", "Value": ["SPS1"]}}, {}]},
    }


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_pydicom_reads_it(syntax: str) -> None:
    found = decoded(encode_identifier(attributes({"Alphabetic": "Doe^Jane"}), syntax), syntax)
    assert "SpecificCharacterSet" not in found
    assert found.PatientName == "Doe^Jane"
    assert found.ModalitiesInStudy == ["CT", "SR"]
    assert found["PatientBirthDate"].value == ""
    assert found.SliceThickness == 2.5
    assert found.StudyInstanceUID == "1.2.3"
    assert found.NumberOfStudyRelatedInstances == 240
    assert found.Rows == 512
    assert [item.get("ScheduledProcedureStepID") for item in found.RequestAttributesSequence] == ["SPS1", None]


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"])
@pytest.mark.parametrize(
    ("asked", "name", "answered"),
    [
        ((), {"Alphabetic": "Doe"}, ()),
        (("ISO_IR 100",), {"Alphabetic": "Müller"}, ("ISO_IR 100",)),
        (("ISO_IR 100",), KOREAN, ("ISO_IR 192",)),
        ((), KOREAN, ("ISO_IR 192",)),
        (("", "ISO 2022 IR 149"), KOREAN, ("", "ISO 2022 IR 149")),
        (("ISO 2022 IR 149",), KOREAN, ("ISO 2022 IR 149",)),
        (("", "ISO 2022 IR 149"), {"Alphabetic": "Müller"}, ("ISO_IR 192",)),
        (("ISO 2022 IR 100", "ISO 2022 IR 149"), {"Alphabetic": "Müller", "Phonetic": "뮐러"}, None),
        (("", "ISO 2022 IR 87"), {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}, ("", "ISO 2022 IR 87")),
        (("ISO_IR 13", "ISO 2022 IR 87"), {"Alphabetic": "ﾔﾏﾀﾞ", "Ideographic": "山田^太郎"}, None),
        (("GB18030",), {"Alphabetic": "Wang", "Ideographic": "王^小东"}, ("GB18030",)),
        (("ISO_IR 999",), {"Alphabetic": "Müller"}, ("ISO_IR 192",)),
        (("ISO_IR 999",), {"Alphabetic": "Doe"}, ()),
        (("", "NONSENSE"), {"Alphabetic": "Doe"}, ()),
        (("ISO_IR 6",), {"Alphabetic": "Doe"}, ("ISO_IR 6",)),
    ],
)
def test_the_requested_character_set_when_it_can_write_the_answer(
    syntax: str, asked: tuple[str, ...], name: dict[str, str], answered: tuple[str, ...] | None
) -> None:
    answer = {tag: value for tag, value in attributes(name).items() if value["vr"] != "SQ"}
    found = decode_identifier(encode_identifier(answer, syntax, asked), syntax)
    groups = [name.get(group, "") for group in ("Alphabetic", "Ideographic", "Phonetic")]
    assert found.values(NAME) == ("=".join(groups).rstrip("="),)
    assert found.values(0x00080061) == ("CT", "SR")
    if answered is not None:
        assert found.character_set == answered


def test_pydicom_reads_korean_with_escapes() -> None:
    found = decoded(encode_identifier(attributes(KOREAN), IMPLICIT, ("", "ISO 2022 IR 149")))
    assert str(found.PatientName) == "Hong^Gildong=洪^吉洞=홍^길동"


@pytest.mark.parametrize("asked", ["ISO_IR 144", "ISO_IR 192", "ISO_IR 100"])
def test_items_are_in_the_character_set_of_the_answer(asked: str) -> None:
    """An item that came with a Specific Character Set of its own would be read in that (PS3.5 §7.5.3)."""
    item = {"00080005": {"vr": "CS", "Value": ["ISO_IR 192"]}, "00080104": {"vr": "LO", "Value": ["Иван"]}}
    inner = {"00081032": {"vr": "SQ", "Value": [{**item, "00400008": {"vr": "SQ", "Value": [item]}}]}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = decoded(encode_identifier(inner, EXPLICIT, (asked,)), EXPLICIT)
        (code,) = found.ProcedureCodeSequence
        assert code.CodeMeaning == code.ScheduledProtocolCodeSequence[0].CodeMeaning == "Иван"


@pytest.mark.parametrize(
    ("vr", "value"),
    [("US", 70000), ("US", "x"), ("FL", 1e300), ("AT", "nonsense"), ("SL", None), ("DS", float("inf"))],
)
def test_a_value_that_fits_no_vr_is_sent_empty(vr: str, value: object) -> None:
    found = decode_identifier(encode_identifier({"00280010": {"vr": vr, "Value": [value]}}, EXPLICIT), EXPLICIT)
    assert all(len(text) <= 16 for text in found.values(0x00280010))


def test_long_decimals_fit_in_sixteen_bytes() -> None:
    found = encode_identifier({"00180050": {"vr": "DS", "Value": [0.12345678901234567890, -1 / 3]}}, EXPLICIT)
    assert [len(text) <= 16 for text in decode_identifier(found, EXPLICIT).values(0x00180050)] == [True, True]


@example("\u00a5", ("ISO_IR 13",))
@example("\u203e\uff71", ("ISO 2022 IR 13", "ISO 2022 IR 87"))
@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\\^=\x1b\0 ", exclude_categories=["Cc"]), max_size=20),
    st.sampled_from(
        [
            (),
            ("ISO_IR 100",),
            ("", "ISO 2022 IR 149"),
            ("", "ISO 2022 IR 87"),
            ("ISO_IR 13",),
            ("GB18030",),
            ("ISO_IR 166",),
        ]
    ),
)
def test_any_text_survives_in_any_requested_set(text: str, asked: tuple[str, ...]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = encode_identifier({"00081030": {"vr": "LO", "Value": [text]}}, IMPLICIT, asked)
    assert decode_identifier(found, IMPLICIT).value(0x00081030) == ("" if text == "*" else text)
