"""Reports and encapsulated files at /rendered: what is shown, and that nothing in it can run."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid

from pacs.dicomweb.documents import CONTENT_SECURITY_POLICY
from tests.dicomweb.presentation_states import items, made
from tests.dicomweb.served import DoorInMemory, image

SCRIPT = "<script>alert('x')</script>"
PIXEL_ATTRIBUTES = ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
                    "SamplesPerPixel", "PhotometricInterpretation", "WindowCenter", "WindowWidth")  # fmt: skip
PDF, CDA, STL = (f"1.2.840.10008.5.1.4.1.1.104.{number}" for number in (1, 2, 3))


def document(sop_class: str, **attributes: Any) -> FileDataset:
    return image(
        **{
            **dict.fromkeys(PIXEL_ATTRIBUTES),
            "SOPClassUID": sop_class,
            "SpecificCharacterSet": "ISO_IR 192",
            **attributes,
        }
    )


def coded(meaning: str) -> list[Any]:
    return items(made(CodeValue="1", CodingSchemeDesignator="99T", CodeMeaning=meaning))


def content(kind: str, name: str, **values: Any) -> Any:
    return made(RelationshipType="CONTAINS", ValueType=kind, ConceptNameCodeSequence=coded(name), **values)


def report(**attributes: Any) -> FileDataset:
    size = made(NumericValue="12.5", MeasurementUnitsCodeSequence=items(made(CodeValue="mm", CodeMeaning="millimeter")))
    findings = content(
        "CONTAINER",
        "Findings",
        ContentSequence=items(
            content("TEXT", "Finding", TextValue="결절이 있음 & klein\nzweite Zeile"),
            content("NUM", "Diameter", MeasuredValueSequence=items(size)),
            content("CODE", "Site", ConceptCodeSequence=coded("Left lung")),
            content("DATE", "Seen on", Date="20240102"),
            content("PNAME", "Reader", PersonName="DOE^JANE"),
            content(
                "IMAGE",
                "Key image",
                ReferencedSOPSequence=items(
                    made(ReferencedSOPClassUID="1.2", ReferencedSOPInstanceUID="1.2.3", ReferencedFrameNumber=7)
                ),
            ),
        ),
    )
    values = {
        "Modality": "SR",
        "ValueType": "CONTAINER",
        "ConceptNameCodeSequence": coded("Chest report"),
        "CompletionFlag": "COMPLETE",
        "VerificationFlag": "UNVERIFIED",
        "ContentSequence": items(findings),
    }
    return document("1.2.840.10008.5.1.4.1.1.88.22", **{**values, **attributes})


def test_a_report_is_a_page_for_people(door: DoorInMemory) -> None:
    answer = door.get(f"{door.keep(report()).path}/rendered", accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for words in (
        "Chest report", "KIM SU", "<b>Finding</b>: 결절이 있음 &amp; klein\nzweite Zeile", "<b>Diameter</b>: 12.5 mm",
        "<b>Site</b>: Left lung", "2024-01-02", "DOE JANE", "image 1.2.3, frames 7", "UNVERIFIED",
    ):  # fmt: skip
        assert words in answer.text, words


def test_a_report_is_text_for_who_wants_text(door: DoorInMemory) -> None:
    kept = door.keep(report())
    answer = door.get(f"{kept.path}/rendered", accept="text/plain")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "\nFindings\n  Finding: 결절이 있음 & klein\n" in answer.text
    assert "<b>" not in answer.text
    assert (
        door.get(f"{kept.path}/rendered", accept="text/plain", if_none_match=answer.headers["etag"]).status_code == 304
    )
    assert door.get(f"{kept.path}/rendered", accept="image/png").status_code == 406


def test_script_in_a_report_is_text(door: DoorInMemory) -> None:
    bad = content(
        "TEXT", f'"><img src=x onerror=alert(1)>{SCRIPT}', TextValue=f"{SCRIPT}\x00\x1b]0;x\x07 javascript:alert(1)"
    )
    kept = door.keep(
        report(
            PatientName=f"{SCRIPT}^A",
            PatientID=SCRIPT[:60],
            ConceptNameCodeSequence=coded(SCRIPT),
            ContentSequence=items(bad),
        )
    )
    answer = door.get(f"{kept.path}/rendered")
    assert set(re.findall(r"<\s*([a-zA-Z!/]+)", answer.text)) <= {
        "!DOCTYPE", "html", "head", "meta", "title", "style", "body", "h", "table", "tr", "th", "td", "div", "b",
        "/html", "/head", "/title", "/style", "/body", "/h", "/table", "/tr", "/th", "/td", "/div", "/b",
    }  # fmt: skip
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;" in answer.text
    assert "\x1b" not in answer.text
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "sandbox" in CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_report_without_end_is_refused(door: DoorInMemory) -> None:
    nested = content("TEXT", "last", TextValue="x")
    for _ in range(70):
        nested = content("CONTAINER", "level", ContentSequence=items(nested))
    answer = door.get(f"{door.keep(report(ContentSequence=items(nested))).path}/rendered")
    assert answer.status_code == 406
    assert "application/dicom" in answer.json()["error"]


@pytest.mark.parametrize(
    ("sop_class", "file", "media_type"),
    [
        (PDF, b"%PDF-1.4\nodd", "application/pdf"),
        (CDA, b"<?xml version='1.0'?><ClinicalDocument/>", "text/xml"),
        (STL, b"\x00" * 80 + b"\x00\x00\x00\x00", "model/stl"),
    ],
)
def test_an_encapsulated_file_comes_out_as_it_went_in(
    door: DoorInMemory, sop_class: str, file: bytes, media_type: str
) -> None:
    kept = door.keep(
        document(
            sop_class, Modality="DOC", MIMETypeOfEncapsulatedDocument="text/html", EncapsulatedDocumentLength=len(file),
            EncapsulatedDocument=file + b"\0" * (len(file) % 2),
        )
    )  # fmt: skip
    answer = door.get(f"{kept.path}/rendered")
    assert answer.content == file
    # The media type that it gives itself is not believed.
    assert answer.headers["content-type"] == media_type
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert f'filename="{kept.sop_instance_uid}.' in answer.headers["content-disposition"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert door.get(f"{kept.path}/rendered", accept="image/jpeg").status_code == 406
    # Viewers ask for what its BulkDataURI names by its media type, too.
    for path in ("bulkdata/00420011", "bulkdata/00420011?accept=application/octet-stream"):
        assert file in door.get(f"{kept.path}/{path}").content
    value = door.get(f"{kept.path}/bulkdata/00420011?accept={media_type}")
    assert (value.status_code, value.content) == (200, file), value.text
    for name in ("content-type", "content-disposition", "content-security-policy"):
        assert value.headers[name] == answer.headers[name]
    assert door.get(f"{kept.path}/bulkdata/00420011", accept="text/html").status_code == 406


@pytest.mark.parametrize(
    ("sop_class", "file"), [(PDF, b"<html><script>alert(1)</script></html>"), (PDF, b""), (CDA, b"MZ\x90\x00 program")]
)
def test_another_file_than_it_says_is_not_sent(door: DoorInMemory, sop_class: str, file: bytes) -> None:
    kept = door.keep(document(sop_class, Modality="DOC", EncapsulatedDocument=file))
    answer = door.get(f"{kept.path}/rendered")
    assert answer.status_code == 406
    assert answer.headers["content-type"] == "application/json"


def test_a_length_that_lies_reads_nothing_beyond(door: DoorInMemory) -> None:
    kept = door.keep(document(PDF, EncapsulatedDocument=b"%PDF-1", EncapsulatedDocumentLength=1 << 31))
    assert door.get(f"{kept.path}/rendered").content == b"%PDF-1"


@pytest.mark.parametrize("level", ["study", "series"])
def test_of_nothing_but_documents_the_middle_one_is_shown(door: DoorInMemory, level: str) -> None:
    study, series = generate_uid(), generate_uid()
    same = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
    files = [b"%PDF-1.4 " + bytes([65 + number]) * 3 for number in range(3)]
    kept = [
        door.keep(
            document(PDF, **same, InstanceNumber=number, EncapsulatedDocument=file, EncapsulatedDocumentLength=12)
        )
        for number, file in enumerate(files, start=1)
    ]
    url = f"/studies/{study}" + (f"/series/{series}" if level == "series" else "")
    answer = door.get(f"{url}/rendered")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pdf")
    assert answer.content == files[1] == door.get(f"{kept[1].path}/rendered").content
    assert answer.headers["cache-control"] == "private, no-cache", "another may come"
    assert door.get(f"{url}/rendered", if_none_match=answer.headers["etag"]).status_code == 304
    assert door.get(f"{url}/rendered", accept="image/jpeg").status_code == 406
    door.keep(image(**same, InstanceNumber=4))
    assert door.get(f"{url}/rendered").headers["content-type"] == "image/jpeg"
