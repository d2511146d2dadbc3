"""Data sets as XML; the round trip is in `test_dicom_xml_reader`."""

from __future__ import annotations

from xml.etree import ElementTree

from pacs.part10.dicom_xml import NAMESPACE, to_xml


def test_names_numbers_and_escapes() -> None:
    found = to_xml(
        {
            "00080018": {"vr": "UI", "Value": ["1.2"]},
            "00090010": {"vr": "LO", "Value": ['A & "B"']},
            "00091001": {"vr": "OB", "InlineBinary": "YWI="},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A^B^C^D^E^F"}]},
            "00104000": {"vr": "LT", "Value": ["<\x00\r\n>"]},
            "00720074": {"vr": "FD", "Value": [1.5, None]},
        }
    )
    root = ElementTree.fromstring(found)
    assert root.tag == f"{{{NAMESPACE}}}NativeDicomModel"
    by_tag = {element.attrib["tag"]: element for element in root}
    assert by_tag["00080018"].attrib["keyword"] == "SOPInstanceUID"
    assert by_tag["00091001"].attrib["privateCreator"] == 'A & "B"'
    assert [value.text for value in by_tag["00720074"]] == ["1.5", "NaN"]
    assert by_tag["00104000"][0].text == "<\ufffd\r\n>"
    assert [part.text for part in by_tag["00100010"][0][0]] == ["A", "B", "C", "D", "E^F"]
