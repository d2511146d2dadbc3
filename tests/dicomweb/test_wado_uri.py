"""WADO-URI gives what WADO-RS gives, asked in other words."""

from __future__ import annotations

import io
from collections.abc import Iterator
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from pacs.dicomweb.resources import ResourceKey
from tests.dicomweb.served import DoorInMemory, OneDoorInMemory, archive_under, image, written

REAL = ("CT_small.dcm", "MR_small_RLE.dcm", "examples_palette.dcm", "JPEG2000.dcm", "SC_rgb_jpeg_dcmtk.dcm")


def uri(key: ResourceKey, **parameters: object) -> str:
    uids = {"studyUID": key.study_instance_uid, "seriesUID": key.series_instance_uid, "objectUID": key.sop_instance_uid}
    return "/wado?" + urlencode({"requestType": "WADO", **uids, **parameters})


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoorInMemory]:
    with archive_under(tmp_path_factory.mktemp("archive")) as services:
        yield OneDoorInMemory(*services)


@pytest.fixture(scope="module")
def one(door: DoorInMemory) -> ResourceKey:
    """One frame, 24 columns and 16 rows, every pixel another value."""
    return door.keep(image())


@pytest.fixture(scope="module")
def many(door: DoorInMemory) -> ResourceKey:
    """Three frames, each of one grey."""
    pixels = np.repeat(np.array([50, 150, 250], "<u2"), 16 * 24).tobytes()
    return door.keep(image(NumberOfFrames=3, PixelData=pixels, SOPClassUID="1.2.840.10008.5.1.4.1.1.7.3"))


def test_content_type_alone_decides_whatever_is_accepted_besides(door: DoorInMemory, one: ResourceKey) -> None:
    """A page's `img` accepts everything; a DICOM file, or a picture of another type, is not what was asked for."""
    for content_type in ("text/html", "video/mp4", "image/x-none"):
        for accept in ("*/*", "image/jpeg", "application/dicom"):
            assert door.get(uri(one, contentType=content_type), accept=accept).status_code == 406
    assert door.get(uri(one, contentType="image/png"), accept="text/html").headers["content-type"] == "image/png"
    assert door.get(uri(one), accept="image/png").headers["content-type"] == "image/png"


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


@pytest.mark.parametrize("name", REAL)
def test_a_picture_of_a_real_image_is_that_of_the_rendered_resource(door: DoorInMemory, name: str) -> None:
    data_set = dcmread(get_testdata_file(name))
    key = door.keep(data_set)
    for media_type in ("image/jpeg", "image/png"):
        answer = door.get(uri(key, contentType=media_type))
        rendered = door.get(f"{key.path}/rendered", accept=media_type)
        assert (answer.status_code, answer.headers["content-type"]) == (200, media_type), answer.text
        assert answer.content == rendered.content
        assert answer.headers["etag"] == rendered.headers["etag"]
        assert pixels(answer.content).shape[:2] == (data_set.Rows, data_set.Columns)


def test_a_window_and_a_size_are_those_of_the_rendered_resource(door: DoorInMemory, one: ResourceKey) -> None:
    asked = {"windowCenter": "120.5", "windowWidth": "33", "columns": 48, "rows": 40, "contentType": "image/png"}
    answer = door.get(uri(one, **asked))
    rendered = door.get(f"{one.path}/rendered?window=120.5,33,linear&viewport=48,40", accept="image/png")
    assert answer.content == rendered.content
    assert answer.content != door.get(f"{one.path}/rendered", accept="image/png").content
    assert pixels(answer.content).shape == (32, 48)


def test_one_side_gives_the_other_by_the_aspect_ratio(door: DoorInMemory, one: ResourceKey) -> None:
    assert pixels(door.get(uri(one, rows=32)).content).shape == (32, 48)
    assert pixels(door.get(uri(one, columns=12)).content).shape == (8, 12)


@pytest.mark.parametrize(
    ("region", "cut"),
    [
        ("0,0,1,1", np.s_[0:16, 0:24]),
        ("0.5,0,1,0.5", np.s_[0:8, 12:24]),
        ("0.25,0.25,0.5,1.0", np.s_[4:16, 6:12]),
        ("0.999,0.999,1,1", np.s_[15:16, 23:24]),
        ("0,0,1e-9,1e-9", np.s_[0:1, 0:1]),
    ],
)
def test_a_region_is_cut_out_of_the_whole_picture(
    door: DoorInMemory, one: ResourceKey, region: str, cut: tuple[slice, slice]
) -> None:
    whole = pixels(door.get(uri(one, contentType="image/png")).content)
    answer = door.get(uri(one, contentType="image/png", region=region))
    assert np.array_equal(pixels(answer.content), whole[cut])
    assert pixels(door.get(uri(one, region=region, columns=40, rows=40)).content).max(initial=0) >= 0


def test_quality_makes_a_smaller_picture(door: DoorInMemory, one: ResourceKey) -> None:
    small, large = (len(door.get(uri(one, imageQuality=quality)).content) for quality in (1, 100))
    assert small < large


def test_annotations_and_presentation_states_are_those_of_the_rendered_resource(
    door: DoorInMemory, one: ResourceKey
) -> None:
    plain = door.get(uri(one, contentType="image/png"))
    for name in ("annotation", "imageAnnotation"):
        answer = door.get(uri(one, contentType="image/png", **{name: "patient"}))
        assert answer.content == door.get(f"{one.path}/rendered?annotation=patient", accept="image/png").content
        assert answer.content != plain.content
        unknown = door.get(uri(one, contentType="image/png", **{name: "patient,spin"}))
        assert unknown.content == answer.content
        assert unknown.headers["warning"] == '299 pacs "The following annotation values are not supported: spin"'
    answer = door.get(uri(one, presentationUID="1.2.3", presentationSeriesUID="1.2.4"))
    rendered = door.get(f"{one.path}/rendered?presentationinstance=1.2.3&presentationseries=1.2.4")
    assert (answer.status_code, answer.json()) == (404, rendered.json())


def test_a_frame_by_its_number(door: DoorInMemory, many: ResourceKey) -> None:
    for frame in (1, 2, 3):
        answer = door.get(uri(many, frameNumber=frame, contentType="image/png"))
        assert answer.content == door.get(f"{many.path}/frames/{frame}/rendered", accept="image/png").content
    assert len({door.get(uri(many, frameNumber=frame)).content for frame in (1, 2, 3)}) == 3
    assert door.get(uri(many, frameNumber=4)).status_code == 404


def test_without_a_media_type_one_frame_is_a_picture_and_all_else_a_file(
    door: DoorInMemory, one: ResourceKey, many: ResourceKey
) -> None:
    report = door.keep(image(PixelData=None, Modality="SR"))
    for accept in ({}, {"accept": "*/*"}):
        assert door.get(uri(one), **accept).headers["content-type"] == "image/jpeg"
        for key in (many, report):
            assert door.get(uri(key), **accept).headers["content-type"].startswith("application/dicom")
    assert door.get(uri(many, rows=8)).headers["content-type"] == "image/jpeg"
    assert door.get(uri(many), accept="image/webp,image/*,*/*;q=0.8").headers["content-type"] == "image/jpeg"
    assert door.get(uri(report, contentType="image/jpeg")).status_code == 406


def test_a_structured_report_is_html_unless_asked_for_as_a_file(door: DoorInMemory) -> None:
    report = door.keep(image(PixelData=None, Modality="SR", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11"))
    for accept in ({}, {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}):
        answer = door.get(uri(report), **accept)
        assert answer.headers["content-type"].startswith("text/html"), answer.text
        assert answer.content == door.get(f"{report.path}/rendered", accept="text/html").content
    assert door.get(uri(report, contentType="application/dicom")).content[128:132] == b"DICM"


def test_a_file_is_the_stored_one(door: DoorInMemory) -> None:
    data_set = image()
    key = door.keep(data_set)
    answer = door.get(uri(key, contentType="application/dicom"))
    assert answer.headers["content-type"] == f"application/dicom; transfer-syntax={ExplicitVRLittleEndian}"
    assert answer.content == door.get(key.path, accept="application/dicom").content
    assert answer.content[132:].endswith(written(data_set)[-768:])
    assert door.get(uri(key), accept="application/dicom").content == answer.content
    part = door.get(uri(key, contentType="application/dicom"), range="bytes=128-131")
    assert (part.status_code, part.content) == (206, b"DICM")
    head = door.request("HEAD", uri(key, contentType="application/dicom"))
    assert head.headers["content-length"] == str(len(answer.content))


def test_a_file_in_another_transfer_syntax(door: DoorInMemory) -> None:
    key = door.keep(dcmread(get_testdata_file("MR_small_RLE.dcm")))
    for content_type in ({}, {"contentType": "application/dicom"}):
        answer = door.get(uri(key, transferSyntax=ExplicitVRLittleEndian, **content_type))
        data_set = dcmread(io.BytesIO(answer.content))
        assert data_set.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert np.array_equal(data_set.pixel_array, dcmread(get_testdata_file("MR_small.dcm")).pixel_array)
    assert door.get(uri(key, transferSyntax="1.2.3")).status_code == 406


def test_any_transfer_syntax_is_the_stored_one(door: DoorInMemory) -> None:
    """PS3.18 knows no such UID, but dicomweb-client for JavaScript always sends it, with whatever media type."""
    key = door.keep(dcmread(get_testdata_file("MR_small_RLE.dcm")))
    stored = door.get(uri(key, contentType="application/dicom"))
    for content_type in (
        {},
        {"contentType": "application/dicom"},
        {"contentType": "application/dicom,image/jpeg;q=0.1"},
    ):
        answer = door.get(uri(key, transferSyntax="*", **content_type))
        assert (answer.status_code, answer.content) == (200, stored.content)
        assert answer.headers["content-type"] == stored.headers["content-type"]
    picture = door.get(uri(key, transferSyntax="*", contentType="image/jpeg", rows="10"))
    assert picture.content == door.get(uri(key, contentType="image/jpeg", rows="10")).content
    assert door.get(uri(key, transferSyntax="**", contentType="application/dicom")).status_code == 400


def test_not_there_or_not_to_be_had(door: DoorInMemory, one: ResourceKey) -> None:
    other = ResourceKey(one.study_instance_uid, one.series_instance_uid, generate_uid())
    moved = ResourceKey(generate_uid(), one.series_instance_uid, one.sop_instance_uid)
    for key in (other, moved):
        for asked in ({}, {"contentType": "image/png"}, {"contentType": "application/dicom"}, {"region": "0,0,1,1"}):
            assert door.get(uri(key, **asked)).status_code == 404
    for content_type in ("application/dicom+json", "text/html", "audio/basic"):
        answer = door.get(uri(one, contentType=content_type))
        assert (answer.status_code, set(answer.json())) == (406, {"error", "hint"}), content_type


def test_what_cannot_be_understood_is_named(door: DoorInMemory, one: ResourceKey) -> None:
    for parameter, value in {"rows": "0", "contentType": "image", "anonymize": "yes", "studyUID": "1.2/../3"}.items():
        answer = door.get(uri(one, **{parameter: value}))
        assert (answer.status_code, set(answer.json())) == (400, {"error", "hint"})
        assert parameter in answer.json()["error"]


def test_pictures_and_files_have_parameters_of_their_own(door: DoorInMemory, one: ResourceKey) -> None:
    for parameter in ("frameNumber", "rows", "imageQuality"):
        answer = door.get(uri(one, contentType="application/dicom", **{parameter: 1}))
        assert answer.status_code == 400
        assert parameter in answer.json()["error"]
    syntax = {"transferSyntax": ExplicitVRLittleEndian}
    for other in ({"contentType": "image/jpeg"}, {"rows": 4}):
        answer = door.get(uri(one, **syntax, **other))
        assert answer.status_code == 400
        assert "transferSyntax" in answer.json()["error"]


def test_other_methods(door: DoorInMemory, one: ResourceKey) -> None:
    answer = door.request("POST", uri(one))
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
