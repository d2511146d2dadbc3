"""Native DICOM Model documents: what they say, and everything that is not read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs.errors import MalformedDataSet, PeerFault
from pacs.part10 import dicom_xml_reader
from pacs.part10.dicom_xml import to_xml
from pacs.part10.dicom_xml_reader import read_xml


def document(content: str) -> bytes:
    return f"<NativeDicomModel>{content}</NativeDicomModel>".encode()


def test_the_example_of_the_standard() -> None:
    """As PS3.19 A.1 shows it: namespace, names in components, values counted."""
    found = read_xml(
        b"""<?xml version="1.0" encoding="UTF-8" ?>
        <n:NativeDicomModel xmlns:n="http://dicom.nema.org/PS3.19/models/NativeDICOM">
          <n:DicomAttribute tag="00080008" vr="CS" keyword="ImageType">
            <n:Value number="1">ORIGINAL</n:Value><n:Value number="3">AXIAL</n:Value>
          </n:DicomAttribute>
          <n:DicomAttribute tag="00100010" vr="PN"><n:PersonName number="1">
            <n:Alphabetic><n:FamilyName>Yamada</n:FamilyName><n:NamePrefix>Dr</n:NamePrefix></n:Alphabetic>
          </n:PersonName></n:DicomAttribute>
          <n:DicomAttribute tag="00081115" vr="SQ"><n:Item number="1">
            <n:DicomAttribute tag="00420011" vr="OB"><n:BulkData uri="pdf"/></n:DicomAttribute>
          </n:Item><n:Item number="2"/></n:DicomAttribute>
          <n:DicomAttribute tag="00091010" vr="OB"><n:InlineBinary>YW
          I=</n:InlineBinary></n:DicomAttribute>
        </n:NativeDicomModel>"""
    )
    assert found["00080008"] == {"vr": "CS", "Value": ["ORIGINAL", None, "AXIAL"]}
    assert found["00100010"]["Value"] == [{"Alphabetic": "Yamada^^^Dr"}]
    assert found["00081115"]["Value"] == [{"00420011": {"vr": "OB", "BulkDataURI": "pdf"}}, {}]
    assert "".join(found["00091010"]["InlineBinary"].split()) == "YWI="


def test_private_attributes_without_a_block_get_one() -> None:
    attribute = '<DicomAttribute tag="{}" vr="LO" privateCreator="{}"><Value number="1">x</Value></DicomAttribute>'
    found = read_xml(document(attribute.format("00090002", "A") + attribute.format("00091103", "B")))
    assert found["00090010"] == {"vr": "LO", "Value": ["A"]}
    assert found["00091002"]["Value"] == ["x"]
    assert found["00090011"] == {"vr": "LO", "Value": ["B"]}
    found = read_xml(document("".join(attribute.format("00090002", name) for name in "ABA"[:2])))
    assert sorted(found) == ["00090010", "00090011", "00091002", "00091102"]


@pytest.mark.parametrize(
    "content",
    [
        "<Value>1</Value>",
        "<DicomAttribute vr='LO'/>",
        "<DicomAttribute tag='0010002' vr='LO'/>",
        "<DicomAttribute tag='00100020' vr='LO'/><DicomAttribute tag='00100020' vr='LO'/>",
        "<DicomAttribute tag='00100020' vr='LO'><Value number='0'/></DicomAttribute>",
        "<DicomAttribute tag='00100020' vr='LO'><Value number='-1'/></DicomAttribute>",
        "<DicomAttribute tag='00100020' vr='LO'><Value number='2'/><Value number='1'/></DicomAttribute>",
        "<DicomAttribute tag='00100020' vr='LO'>text</DicomAttribute>",
        "<DicomAttribute tag='00100020' vr='LO'><script/></DicomAttribute>",
        "<DicomAttribute tag='00100020' vr='LO'><Value><Value/></Value></DicomAttribute>",
        "<DicomAttribute tag='00081115' vr='SQ'><Item>" * 100,
        "&amp",
        "\x00",
    ],
)
def test_what_is_no_native_dicom_model(content: str) -> None:
    with pytest.raises(MalformedDataSet):
        read_xml(document(content))


@pytest.mark.parametrize("start", ["<!DOCTYPE NativeDicomModel>", "<!DOCTYPE a [<!ENTITY b 'c'>]>"])
def test_no_document_type_is_read(start: str) -> None:
    with pytest.raises(MalformedDataSet, match="document type"):
        read_xml(start.encode() + document(""))


def test_elements_and_empty_places_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_xml_reader, "MAX_XML_ELEMENTS", 20)
    with pytest.raises(PeerFault, match="more than 20"):
        read_xml(document("<DicomAttribute tag='00100020' vr='LO'><Value number='19'/></DicomAttribute>"))


def test_a_document_of_another_encoding() -> None:
    text = '<?xml version="1.0" encoding="UTF-16"?><NativeDicomModel/>'
    assert read_xml(text.encode("utf-16")) == {}


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Co"]), min_size=1, max_size=12)
LEAF = st.one_of(
    st.fixed_dictionaries({"vr": st.just("LO"), "Value": st.lists(TEXT, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"vr": st.just("OB"), "InlineBinary": st.just("YWI=")}),
    st.fixed_dictionaries({"vr": st.just("UN"), "BulkDataURI": TEXT}),
    st.fixed_dictionaries(
        {
            "vr": st.just("PN"),
            "Value": st.lists(
                st.dictionaries(
                    st.sampled_from(["Alphabetic", "Ideographic", "Phonetic"]),
                    st.sampled_from(["A^B", "^^C", "A^B^C^D^E^F", "김^수"]),
                    min_size=1,
                ),
                min_size=1,
                max_size=2,
            ),
        }
    ),
    st.just({"vr": "DS"}),
)
TAGS = st.sampled_from(["00080018", "00081115", "00100010", "0020000D", "00280010"])
DATA_SET: Any = st.recursive(
    st.dictionaries(TAGS, LEAF, max_size=4),
    lambda inner: st.dictionaries(
        TAGS, LEAF | st.fixed_dictionaries({"vr": st.just("SQ"), "Value": st.lists(inner, min_size=1, max_size=2)})
    ),
    max_leaves=6,
)


@given(DATA_SET)
def test_what_is_written_is_read(attributes: Any) -> None:
    assert read_xml(to_xml(attributes)) == attributes


@given(st.binary(max_size=200) | st.text('<>/&;!"= DicomAttributeNvMl[]', max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(noise: bytes) -> None:
    for data in (noise, document("")[:18] + noise + b"</NativeDicomModel>"):
        try:
            found = read_xml(data)
        except PeerFault:
            continue
        assert read_xml(to_xml(found)) == found
