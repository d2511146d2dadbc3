"""Frames and instances in an asked transfer syntax, through the door: negotiation, archives, hostile headers."""

from __future__ import annotations

import io
import os
import zipfile

import imagecodecs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from pacs.dicomweb.resources import ResourceKey
from tests.dicomweb.served import DoorInMemory, OneDoorInMemory, data_set_bytes, image, parts_of, written

OCTETS = "application/octet-stream"
EXPLICIT = "1.2.840.10008.1.2.1"
FAMILY = "1.2.840.10008.1.2.4."
JPEG_LS, BASELINE, SV1, JPEG_2000, HTJ2K, RPCL, JPEG_XL = (
    FAMILY + last for last in ("80", "50", "70", "90", "201", "202", "110")
)
RLE = "1.2.840.10008.1.2.5"
PIXELS = np.random.default_rng(3).integers(0, 256, (3, 16, 24)).astype("u1")
BYTES = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}


@pytest.fixture(scope="module")
def native(door: DoorInMemory) -> ResourceKey:
    return door.keep(image(**BYTES, NumberOfFrames=3, PixelData=PIXELS.tobytes()))


@pytest.fixture(scope="module")
def jpeg_ls(door: DoorInMemory) -> ResourceKey:
    stored = image(
        **BYTES, NumberOfFrames=3, PixelData=encapsulate([imagecodecs.jpegls_encode(each) for each in PIXELS])
    )
    stored["PixelData"].is_undefined_length = True
    stored.file_meta.TransferSyntaxUID = UID(JPEG_LS)
    return door.keep(stored)


def decoded(frame: bytes, content_type: str) -> np.ndarray:
    media_type = content_type.partition(";")[0]
    if media_type == OCTETS:
        return np.frombuffer(frame, "u1").reshape(16, 24)
    codec = {
        "image/jls": imagecodecs.jpegls_decode,
        "image/jp2": imagecodecs.jpeg2k_decode,
        "image/jphc": imagecodecs.htj2k_decode,
        "image/jpeg": imagecodecs.jpeg8_decode,
        "image/jxl": imagecodecs.jpegxl_decode,
    }[media_type]
    return np.asarray(codec(frame))


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (f"{OCTETS}", f"{OCTETS}; transfer-syntax={EXPLICIT}"),
        ("image/jphc", f"image/jphc; transfer-syntax={HTJ2K}"),
        (f"image/jphc; transfer-syntax={RPCL}", f"image/jphc; transfer-syntax={RPCL}"),
        ("image/jphc; transfer-syntax=*", f"image/jphc; transfer-syntax={RPCL}"),
        ("image/jls", f"image/jls; transfer-syntax={JPEG_LS}"),
        ("image/x-jls", f"image/jls; transfer-syntax={JPEG_LS}"),
        ("image/jp2", f"image/jp2; transfer-syntax={JPEG_2000}"),
        ("image/jpeg", f"image/jpeg; transfer-syntax={SV1}"),
        ("image/jpeg; transfer-syntax=*", f"image/jpeg; transfer-syntax={SV1}"),
        ("image/jxl", f"image/jxl; transfer-syntax={JPEG_XL}"),
        (f'image/jphc; q=0.4; transfer-syntax="{RPCL}", image/jls; q=0.5', f"image/jls; transfer-syntax={JPEG_LS}"),
        (f"image/jls; q=0.1, {OCTETS}; q=0.2, image/jp2; q=0.15", f"{OCTETS}; transfer-syntax={EXPLICIT}"),
        (f"image/jls; q=0, image/jls; transfer-syntax={JPEG_LS}", f"image/jls; transfer-syntax={JPEG_LS}"),
        ("video/mp4, image/jpx, image/jls; q=0.01", f"image/jls; transfer-syntax={JPEG_LS}"),
    ],
)
@pytest.mark.parametrize("stored", ["native", "jpeg_ls"])
def test_the_client_says_what_it_likes(
    door: DoorInMemory, request: pytest.FixtureRequest, stored: str, accept: str, content_type: str
) -> None:
    key: ResourceKey = request.getfixturevalue(stored)
    answer = door.get(f"{key.path}/frames/2", accept=accept)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == content_type
    assert np.array_equal(decoded(answer.content, content_type), PIXELS[1])
    assert int(answer.headers["content-length"]) == len(answer.content)
    parts = ", ".join(f"multipart/related; type={each.strip()}" for each in accept.replace('"', "").split(","))
    several = parts_of(door.get(f"{key.path}/frames/3,1", accept=parts))
    assert [headers["content-type"] for headers, _ in several] == [content_type] * 2
    assert [int(headers["content-location"].rpartition("/")[2]) for headers, _ in several] == [3, 1]
    for number, (_, frame) in zip((2, 0), several, strict=True):
        assert np.array_equal(decoded(frame, content_type), PIXELS[number])


@pytest.mark.parametrize("accept", ["*/*", f"multipart/related; type={OCTETS}; transfer-syntax=*", "multipart/related"])
def test_wild_cards_prefer_what_is_stored(door: DoorInMemory, jpeg_ls: ResourceKey, accept: str) -> None:
    ((headers, frame),) = parts_of(door.get(f"{jpeg_ls.path}/frames/1", accept=accept))
    assert headers["content-type"].endswith(f"transfer-syntax={JPEG_LS}")
    assert frame.rstrip(b"\0") == imagecodecs.jpegls_encode(PIXELS[0]).rstrip(b"\0")


def test_losses_are_for_who_names_them(door: DoorInMemory, native: ResourceKey) -> None:
    for accept in ("image/jpeg", "image/*", "*/*", "image/jpeg; transfer-syntax=*", "*/*; transfer-syntax=*"):
        assert BASELINE not in str(door.get(f"{native.path}/frames/1", accept=accept).headers)
    answer = door.get(f"{native.path}/frames/1", accept=f"image/jpeg; transfer-syntax={BASELINE}")
    assert answer.headers["content-type"] == f"image/jpeg; transfer-syntax={BASELINE}"
    assert 0 < np.abs(imagecodecs.jpeg8_decode(answer.content).astype(int) - PIXELS[0]).mean() < 12
    refused = door.get(native.path, accept=f"application/dicom; transfer-syntax={BASELINE}")
    assert refused.status_code == 406


def test_what_has_no_place_falls_to_the_next_or_tells_what_there_is(door: DoorInMemory) -> None:
    bits = door.keep(image(BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=bytes(range(48))))
    answer = door.get(f"{bits.path}/frames/1", accept=f"image/jls, image/jphc, {OCTETS}; q=0.1")
    assert answer.headers["content-type"] == f"{OCTETS}; transfer-syntax={EXPLICIT}"
    refused = door.get(f"{bits.path}/frames/1", accept="image/jls, image/jphc")
    assert refused.status_code == 406
    assert "1-bit" in refused.json()["error"]
    assert f"{OCTETS}; transfer-syntax={EXPLICIT}" in refused.json()["error"]
    assert "image/" not in refused.json()["error"].partition("it can be had as")[2]


def test_video_is_passed_through_and_nothing_else(door: DoorInMemory) -> None:
    video = image(**BYTES, NumberOfFrames=3, PixelData=encapsulate([b"\0\0\0\1video"]))
    video["PixelData"].is_undefined_length = True
    video.file_meta.TransferSyntaxUID = UID(FAMILY + "102")
    kept = door.keep(video)
    answer = door.get(f"{kept.path}/frames/1", accept="video/mp4")
    assert answer.content.startswith(b"\0\0\0\1video")
    assert answer.headers["content-type"] == f"video/mp4; transfer-syntax={FAMILY}102"
    for accept in (OCTETS, "image/jpeg", "image/jphc"):
        refused = door.get(f"{kept.path}/frames/1", accept=accept)
        assert refused.status_code == 406
        assert "video/mp4" in refused.json()["error"]


def test_made_frames_have_tags_and_ranges(door: DoorInMemory, native: ResourceKey) -> None:
    url, accept = f"{native.path}/frames/1", f"image/jphc; transfer-syntax={RPCL}"
    whole = door.get(url, accept=accept)
    assert door.get(url, accept=accept, if_none_match=whole.headers["etag"]).status_code == 304
    assert door.get(url, accept="image/jls").headers["etag"] != whole.headers["etag"]
    part = door.get(url, accept=accept, range="bytes=0-99", if_range=whole.headers["etag"])
    assert (part.status_code, part.content) == (206, whole.content[:100])


def test_several_made_frames_that_are_kept_have_a_length_and_ranges(door: DoorInMemory) -> None:
    key = door.keep(image(**BYTES, NumberOfFrames=3, PixelData=PIXELS.tobytes()))
    url, accept = f"{key.path}/frames/1,2,3", "multipart/related; type=image/jls"
    door = OneDoorInMemory(door.ingest, door.search, door.retrieve)
    made = door.get(url, accept=accept)
    kept = door.get(url, accept=accept)
    assert (kept.content, kept.headers["etag"]) == (made.content, made.headers["etag"])
    assert int(kept.headers["content-length"]) == len(kept.content)
    part = door.get(url, accept=accept, range="bytes=10-99", if_range=kept.headers["etag"])
    assert (part.status_code, part.content) == (206, kept.content[10:100])


@pytest.mark.parametrize("uid", [EXPLICIT, HTJ2K, RPCL, JPEG_LS, SV1, JPEG_2000, RLE])
def test_instances_in_an_asked_syntax(door: DoorInMemory, native: ResourceKey, jpeg_ls: ResourceKey, uid: str) -> None:
    for key in (native, jpeg_ls):
        single = door.get(key.path, accept=f"application/dicom; transfer-syntax={uid}")
        ((headers, part),) = parts_of(
            door.get(key.path, accept=f'multipart/related; type="application/dicom"; transfer-syntax={uid}')
        )
        assert headers["content-type"] == f"application/dicom; transfer-syntax={uid}"
        assert single.content == part
        made = dcmread(io.BytesIO(part))
        assert (made.file_meta.TransferSyntaxUID, made.SOPInstanceUID) == (uid, key.sop_instance_uid)
        assert np.array_equal(made.pixel_array, PIXELS)


def mixed_study() -> list[FileDataset]:
    """An image, packed bits, a report and a damaged image."""
    study = generate_uid()
    damaged = image(StudyInstanceUID=study, PixelData=encapsulate([b"no JPEG-LS"]), SeriesNumber=4)
    damaged["PixelData"].is_undefined_length = True
    damaged.file_meta.TransferSyntaxUID = UID(JPEG_LS)
    return [
        image(StudyInstanceUID=study, SeriesNumber=1),
        image(StudyInstanceUID=study, SeriesNumber=2, BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=bytes(48)),
        image(StudyInstanceUID=study, SeriesNumber=3, PixelData=None, Rows=None, Columns=None),
        damaged,
    ]


def test_of_a_study_everything_comes_in_the_nearest_form(door: DoorInMemory) -> None:
    study = mixed_study()
    for each in study:
        door.keep(each)
    url = f"/studies/{study[0].StudyInstanceUID}"
    answer = door.get(url, accept=f'multipart/related; type="application/dicom"; transfer-syntax={RPCL}')
    syntaxes = {
        dcmread(io.BytesIO(file)).SOPInstanceUID: headers["content-type"].rpartition("=")[2]
        for headers, file in parts_of(answer)
    }
    wanted = (RPCL, EXPLICIT, EXPLICIT, JPEG_LS)
    assert syntaxes == {each.SOPInstanceUID: uid for each, uid in zip(study, wanted, strict=True)}


@pytest.mark.parametrize("last", ["50", "81", "91"])
def test_a_lossy_syntax_that_some_of_a_study_are_stored_in(door: DoorInMemory, last: str) -> None:
    study, asked = generate_uid(), FAMILY + last
    coded = {
        "50": imagecodecs.jpeg8_encode(PIXELS[0], level=80),
        "81": imagecodecs.jpegls_encode(PIXELS[0], level=3),
        "91": imagecodecs.jpeg2k_encode(PIXELS[0], level=30, codecformat="j2k"),
    }[last]
    stored = image(**BYTES, StudyInstanceUID=study, PixelData=encapsulate([coded]))
    stored["PixelData"].is_undefined_length = True
    stored.file_meta.TransferSyntaxUID = UID(asked)
    native = image(**BYTES, StudyInstanceUID=study, PixelData=PIXELS[0].tobytes())
    report = image(StudyInstanceUID=study, PixelData=None, Rows=None, Columns=None)
    right = {stored.SOPInstanceUID: asked, native.SOPInstanceUID: EXPLICIT, report.SOPInstanceUID: EXPLICIT}
    for each in (stored, native, report):
        door.keep(each)
    accept = f'multipart/related; type="application/dicom"; transfer-syntax={asked}'
    answer = door.get(f"/studies/{study}", accept=accept)
    assert answer.status_code == 200, answer.text
    told = {
        dcmread(io.BytesIO(file)).SOPInstanceUID: (headers["content-type"].rpartition("=")[2], file)
        for headers, file in parts_of(answer)
    }
    assert {uid: syntax for uid, (syntax, _) in told.items()} == right
    assert data_set_bytes(told[stored.SOPInstanceUID][1]) == data_set_bytes(written(stored))
    # Nothing is made with loss: a study of which nothing is stored so cannot be had so.
    alone = door.keep(image(**BYTES, PixelData=PIXELS[0].tobytes()))
    assert door.get(f"/studies/{alone.study_instance_uid}", accept=accept).status_code == 406
    # And nobody gets it for a wild card.
    anything = door.get(f"/studies/{study}", accept='multipart/related; type="application/dicom"; transfer-syntax=*')
    assert "transfer-syntax" not in anything.headers["content-type"]


@pytest.mark.parametrize("accept", ["application/zip", f"application/zip; transfer-syntax={RPCL}"])
def test_a_study_as_zip(door: DoorInMemory, accept: str) -> None:
    study = mixed_study()
    for each in study:
        door.keep(each)
    answer = door.get(f"/studies/{study[0].StudyInstanceUID}", accept=accept)
    assert answer.headers["content-type"].startswith("application/zip")
    assert f'filename="{study[0].StudyInstanceUID}.zip"' in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as opened:
        assert opened.testzip() is None
        found = {name: opened.read(name) for name in opened.namelist()}
    names = {f"{each.StudyInstanceUID}/{each.SeriesInstanceUID}/{each.SOPInstanceUID}.dcm": each for each in study}
    assert found.keys() == names.keys()
    if "transfer-syntax" not in accept:
        assert int(answer.headers["content-length"]) == len(answer.content)
        for name, each in names.items():
            assert data_set_bytes(found[name]) == data_set_bytes(written(each))
    else:
        first = dcmread(io.BytesIO(found[next(iter(names))]))
        assert first.file_meta.TransferSyntaxUID == RPCL
        assert first.PixelData


def test_series_and_instances_as_zip(door: DoorInMemory, native: ResourceKey) -> None:
    for path in (native.path, native.path.partition("/instances")[0]):
        answer = door.get(path, accept="application/zip")
        with zipfile.ZipFile(io.BytesIO(answer.content)) as opened:
            assert len(opened.namelist()) == 1
    assert door.get(native.path, accept="*/*").headers["content-type"].startswith("multipart/related")


_TYPES = st.sampled_from(
    [
        *("*/*", "image/*", "image/jphc", "image/jls", "image/jpeg", "image/jp2", "image/jxl", "image/dicom-rle"),
        *("application/octet-stream", "application/dicom", "application/zip", "multipart/related", "video/mp4"),
        *("multipart/related; type=image/jls", 'multipart/related; type="application/octet-stream"', "image/gif", "*"),
    ]
)
_PARAMETERS = st.lists(
    st.one_of(
        st.sampled_from(
            ["q=1", "q=0", "q=0.5", "q=2", "q=x", "transfer-syntax=*", 'transfer-syntax="', "charset=x", "="]
        ),
        st.sampled_from([EXPLICIT, HTJ2K, RPCL, JPEG_LS, BASELINE, RLE, "1.2.3", "x"]).map("transfer-syntax={}".format),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
    ),
    max_size=3,
)
_ACCEPT = st.one_of(
    st.lists(st.builds(lambda kind, more: "; ".join([kind, *more]), _TYPES, _PARAMETERS), max_size=5).map(", ".join),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=80),
)


@settings(
    max_examples=4000 if os.environ.get("PACS_SOAK") else 40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(accept=_ACCEPT, is_frame=st.booleans())
def test_no_accept_header_is_a_fault_of_ours(
    door: DoorInMemory, native: ResourceKey, accept: str, is_frame: bool
) -> None:
    path = f"{native.path}/frames/1" if is_frame else native.path
    answer = door.request("GET", path, headers={"accept": accept.encode("latin-1")})
    assert answer.status_code in (200, 400, 406), (accept, answer.text)
    if answer.status_code != 200:
        assert answer.json()["error"]


def test_elements_change_their_encoding_where_nothing_is_told_of_the_pixels(door: DoorInMemory) -> None:
    """Pixel Data without an Image Pixel Module: nothing has to be decoded for Explicit VR Little Endian."""
    bare = image(**dict.fromkeys(("Rows", "Columns", "BitsAllocated", "SamplesPerPixel")), PixelData=b"\x01\x02")
    bare.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    key = door.keep(bare)
    answer = door.get(key.path, accept="application/dicom; transfer-syntax=1.2.840.10008.1.2.1")
    assert answer.status_code == 200, answer.text
    made = dcmread(io.BytesIO(answer.content))
    assert made.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert made.PixelData == b"\x01\x02"
    assert door.get(f"{key.path}/rendered", accept="image/png").status_code == 406
