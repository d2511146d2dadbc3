"""Metadata of study, series and instance, and the bulk data it points to."""

from __future__ import annotations

import base64

import imagecodecs
import numpy as np
import pytest
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLSLossless, generate_uid

from pacs.part10.dicom_xml_reader import read_xml
from tests.dicomweb.served import DoorInMemory, image, parts_of


def test_each_level(door: DoorInMemory) -> None:
    study, series = generate_uid(), generate_uid()
    kept = [
        door.keep(image(StudyInstanceUID=study, SeriesInstanceUID=each, InstanceNumber=number))
        for number, each in enumerate((series, series, generate_uid()), start=1)
    ]
    for path, count in ((f"/studies/{study}", 3), (f"/studies/{study}/series/{series}", 2), (kept[0].path, 1)):
        answer = door.get(f"{path}/metadata")
        assert answer.headers["content-type"] == "application/dicom+json"
        assert len(answer.json()) == count
    numbers = [item["00200013"]["Value"] for item in door.get(f"/studies/{study}/series/{series}/metadata").json()]
    assert numbers == [[1], [2]]


def test_it_equals_what_pydicom_makes(door: DoorInMemory) -> None:
    original = image(PatientName="Kim^Su=金^秀=김^수", SpecificCharacterSet="ISO_IR 192")
    kept = door.keep(original)
    (made,) = door.get(f"{kept.path}/metadata").json()
    uri = made.pop("7FE00010")["BulkDataURI"]
    assert uri == f"{door.base}{kept.path}/bulkdata/7FE00010"
    expected = original.to_json_dict()
    del expected["7FE00010"]
    assert made.pop("00083002") == {"vr": "UI", "Value": [original.file_meta.TransferSyntaxUID]}
    assert made == expected


def test_each_instance_tells_its_transfer_syntax_in_order(door: DoorInMemory) -> None:
    native = image()
    native.AvailableTransferSyntaxUID = "1.2.3"
    compressed = image(StudyInstanceUID=native.StudyInstanceUID, SeriesInstanceUID=native.SeriesInstanceUID)
    compressed.PixelData = encapsulate([imagecodecs.jpegls_encode(native.pixel_array)])
    compressed["PixelData"].is_undefined_length = True
    compressed.file_meta.TransferSyntaxUID = JPEGLSLossless
    told = {}
    for kept in (door.keep(native), door.keep(compressed)):
        (made,) = door.get(f"{kept.path}/metadata").json()
        assert list(made) == sorted(made), "PS3.18 F.2.2"
        told[kept.path] = made["00083002"]["Value"]
    assert list(told.values()) == [["1.2.840.10008.1.2.1"], [JPEGLSLossless]]
    series = door.get(f"/studies/{native.StudyInstanceUID}/series/{native.SeriesInstanceUID}/metadata").json()
    assert sorted(item["00083002"]["Value"] for item in series) == sorted(told.values())


def test_bulk_data_uris_lead_to_the_bytes(door: DoorInMemory) -> None:
    block = Dataset()
    block.add_new(0x00091001, "OB", b"\1\2" * 2000)
    original = image(RequestAttributesSequence=[block])
    original.add_new(0x00091002, "OB", b"\3\4" * 3000)
    kept = door.keep(original)
    (made,) = door.get(f"{kept.path}/metadata").json()
    for uri, value in (
        (made["00091002"]["BulkDataURI"], b"\3\4" * 3000),
        (made["00400275"]["Value"][0]["00091001"]["BulkDataURI"], b"\1\2" * 2000),
        (made["7FE00010"]["BulkDataURI"], original.PixelData),
    ):
        assert door.get(uri, accept="application/octet-stream").content == value
        assert parts_of(door.get(uri))[0][1] == value
        assert parts_of(door.get(uri, accept='multipart/related; type="application/octet-stream"'))[0][1] == value
        assert door.get(uri, accept="image/png").status_code == 406
        tag = door.get(uri).headers["etag"]
        assert door.get(uri, if_none_match=tag).status_code == 304


def test_compressed_pixel_data_comes_as_its_frames(door: DoorInMemory) -> None:
    pixels = np.arange(2 * 16 * 24, dtype="<u2").reshape(2, 16, 24)
    original = image(NumberOfFrames=2, PixelData=encapsulate([imagecodecs.jpegls_encode(frame) for frame in pixels]))
    original["PixelData"].is_undefined_length = True
    original.file_meta.TransferSyntaxUID = JPEGLSLossless
    kept = door.keep(original)
    parts = parts_of(door.get(f"{kept.path}/bulkdata/7FE00010"))
    assert [
        np.array_equal(imagecodecs.jpegls_decode(body), frame) for (_, body), frame in zip(parts, pixels, strict=True)
    ]


@pytest.mark.parametrize(
    ("path", "status"),
    [("00091003", 404), ("7FE0001", 400), ("00400275/9/00091001", 404), ("../x", 400), ("a%00b", 400)],
)
def test_bulk_data_that_is_not_there(door: DoorInMemory, path: str, status: int) -> None:
    kept = door.keep(image())
    answer = door.get(f"{kept.path}/bulkdata/{path}")
    assert answer.status_code in (status, 404)
    assert answer.json()["error"]


def test_compression_and_entity_tags(door: DoorInMemory) -> None:
    kept = door.keep(image())
    url = f"/studies/{kept.study_instance_uid}/metadata"
    plain, packed = door.get(url), door.get(url, accept_encoding="gzip, br")
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json() == plain.json()
    assert plain.headers["etag"] != packed.headers["etag"]
    assert "Accept-Encoding" in plain.headers["vary"]
    assert door.get(url, if_none_match=f'W/"x", {plain.headers["etag"]}').status_code == 304
    door.keep(image(StudyInstanceUID=kept.study_instance_uid))
    assert len(door.get(url, if_none_match=plain.headers["etag"]).json()) == 2


def test_refusals(door: DoorInMemory) -> None:
    kept = door.keep(image())
    assert door.get(f"{kept.path}/metadata", accept="application/dicom").status_code == 406
    assert door.get(f"/studies/{generate_uid()}/metadata").status_code == 404
    assert door.get("/studies/1.2.a/metadata").status_code == 400
    inline = image()
    inline.add_new(0x00091001, "OB", b"\0\1")
    (made,) = door.get(f"{door.keep(inline).path}/metadata").json()
    assert base64.b64decode(made["00091001"]["InlineBinary"]) == b"\0\1"


def test_metadata_in_xml(door: DoorInMemory) -> None:
    first = image(
        SpecificCharacterSet="ISO_IR 192",
        PatientName="KIM^SU^^Dr=김^수",
        PatientComments="a < b & \x01c",
        RescaleSlope="1.50",
    )
    kept = door.keep(first)
    answer = door.get(f"{kept.path}/metadata", accept="application/dicom+xml")
    assert answer.headers["content-type"] == "application/dicom+xml"
    assert "Accept" in answer.headers["vary"]
    found = read_xml(answer.content)
    assert found["00100010"]["Value"] == [{"Alphabetic": "KIM^SU^^Dr", "Ideographic": "김^수"}]
    assert found["00104000"]["Value"] == ["a < b & \ufffdc"]
    assert found["7FE00010"]["BulkDataURI"] == f"{door.base}{kept.path}/bulkdata/7FE00010"
    door.keep(image(StudyInstanceUID=kept.study_instance_uid))
    study = f"/studies/{kept.study_instance_uid}/metadata"
    parts = parts_of(door.get(study, accept='multipart/related; type="application/dicom+xml"'))
    assert [fields["content-type"] for fields, _ in parts] == ["application/dicom+xml"] * 2
    assert all(read_xml(document)["00080060"]["Value"] == ["CT"] for _, document in parts)
    assert door.get(study, accept="application/dicom+xml").status_code == 406
    assert door.get(study).headers["content-type"] == "application/dicom+json"
