"""Frames: every Accept form that viewers send, lists, decoding, and all numbers checked first."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRBigEndian, JPEGLSLossless

from pacs.dicomweb.resources import ResourceKey
from tests.dicomweb.served import DoorInMemory, OneDoorInMemory, image, parts_of

EXPLICIT = "1.2.840.10008.1.2.1"
OCTETS = "application/octet-stream"
PIXELS = np.arange(3 * 16 * 24, dtype="<u2").reshape(3, 16, 24)


@pytest.fixture(scope="module")
def native(door: DoorInMemory) -> ResourceKey:
    return door.keep(image(NumberOfFrames=3, PixelData=PIXELS.tobytes()))


@pytest.fixture(scope="module")
def coded() -> list[bytes]:
    return [imagecodecs.jpegls_encode(frame) for frame in PIXELS]


@pytest.fixture(scope="module")
def compressed(door: DoorInMemory, coded: list[bytes]) -> ResourceKey:
    original = image(NumberOfFrames=3, PixelData=encapsulate(coded))
    original["PixelData"].is_undefined_length = True
    original.file_meta.TransferSyntaxUID = JPEGLSLossless
    return door.keep(original)


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "*/*",
        'multipart/related; type="application/octet-stream"; transfer-syntax=*',
        "multipart/related; type=application/octet-stream; transfer-syntax=*",
        "multipart/related; type=application/octet-stream",
        'multipart/related; type="*/*"',
        f'multipart/related; type="application/octet-stream"; transfer-syntax={EXPLICIT}',
    ],
)
def test_native_frames(door: DoorInMemory, native: ResourceKey, accept: str | None) -> None:
    answer = door.get(f"{native.path}/frames/3,1", **({"accept": accept} if accept else {}))
    assert answer.status_code == 200, answer.text
    assert int(answer.headers["content-length"]) == len(answer.content)
    parts = parts_of(answer)
    assert [body for _, body in parts] == [PIXELS[2].tobytes(), PIXELS[0].tobytes()]
    assert [headers["content-type"] for headers, _ in parts] == [f"{OCTETS}; transfer-syntax={EXPLICIT}"] * 2
    assert parts[0][0]["content-location"] == f"{door.base}{native.path}/frames/3"


def test_a_percent_encoded_list(door: DoorInMemory, native: ResourceKey) -> None:
    assert len(parts_of(door.get(f"{native.path}/frames/1%2C2%2C3"))) == 3


def test_single_part(door: DoorInMemory, native: ResourceKey) -> None:
    answer = door.get(f"{native.path}/frames/2", accept=OCTETS)
    assert answer.content == PIXELS[1].tobytes()
    assert answer.headers["content-type"] == f"{OCTETS}; transfer-syntax={EXPLICIT}"
    assert door.get(f"{native.path}/frames/1,2", accept=OCTETS).status_code == 406


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "image/jls"),
        ('multipart/related; type="image/jls"', "image/jls"),
        ("multipart/related; type=image/x-jls", "image/jls"),
        (f'multipart/related; type="image/jls"; transfer-syntax={JPEGLSLossless}', "image/jls"),
        ('multipart/related; type="application/octet-stream"; transfer-syntax=*', OCTETS),
        (f"multipart/related; type=application/octet-stream; transfer-syntax={JPEGLSLossless}", OCTETS),
    ],
)
def test_compressed_frames_as_stored(
    door: DoorInMemory, compressed: ResourceKey, coded: list[bytes], accept: str, media_type: str
) -> None:
    parts = parts_of(door.get(f"{compressed.path}/frames/1,2,3", accept=accept))
    assert [body.rstrip(b"\0") for _, body in parts] == [frame.rstrip(b"\0") for frame in coded]
    assert {headers["content-type"] for headers, _ in parts} == {f"{media_type}; transfer-syntax={JPEGLSLossless}"}


@pytest.mark.parametrize("accept", ["image/jls", "image/*", "image/avif,image/webp,*/*;q=0.8,image/*"])
def test_compressed_single_part(door: DoorInMemory, compressed: ResourceKey, accept: str) -> None:
    answer = door.get(f"{compressed.path}/frames/1", accept=accept)
    assert np.array_equal(imagecodecs.jpegls_decode(answer.content), PIXELS[0])
    assert answer.headers["content-type"] == f"image/jls; transfer-syntax={JPEGLSLossless}"


@pytest.mark.parametrize("syntax", ["", f"; transfer-syntax={EXPLICIT}", f'; transfer-syntax="{EXPLICIT}"'])
def test_octet_stream_means_decoded(door: DoorInMemory, compressed: ResourceKey, syntax: str) -> None:
    single = door.get(f"{compressed.path}/frames/2", accept=OCTETS + syntax)
    assert single.content == PIXELS[1].tobytes()
    assert single.headers["content-type"] == f"{OCTETS}; transfer-syntax={EXPLICIT}"
    parts = parts_of(door.get(f"{compressed.path}/frames/1,3", accept=f'multipart/related; type="{OCTETS}"{syntax}'))
    assert [body for _, body in parts] == [PIXELS[0].tobytes(), PIXELS[2].tobytes()]


def test_big_endian_frames_come_as_little_endian(door: DoorInMemory) -> None:
    original = image(PixelData=PIXELS[0].astype(">u2").tobytes())
    original.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    kept = door.keep(original)
    assert parts_of(door.get(f"{kept.path}/frames/1"))[0][1] == PIXELS[0].tobytes()
    as_stored = door.get(f"{kept.path}/frames/1", accept=f"{OCTETS}; transfer-syntax={ExplicitVRBigEndian}")
    assert as_stored.content == PIXELS[0].astype(">u2").tobytes()


def test_what_cannot_be_made_says_what_can(door: DoorInMemory, compressed: ResourceKey) -> None:
    answer = door.get(f"{compressed.path}/frames/1", accept="image/gif, multipart/related; type=image/jpx")
    assert answer.status_code == 406
    assert "image/jls" in answer.json()["error"]
    assert "image/jphc; transfer-syntax=1.2.840.10008.1.2.4.201" in answer.json()["error"]


@pytest.mark.parametrize(
    ("frames", "status"), [("4", 404), ("1,4", 404), ("0", 400), ("x", 400), ("1,,2", 400), ("-1", 400)]
)
def test_all_numbers_are_checked_before_anything_is_sent(
    door: DoorInMemory, native: ResourceKey, frames: str, status: int
) -> None:
    answer = door.get(f"{native.path}/frames/{frames}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["error"]


def test_undecodable_frames_stay_retrievable(door: DoorInMemory) -> None:
    original = image(PixelData=encapsulate([b"this is no JPEG-LS"]))
    original["PixelData"].is_undefined_length = True
    original.file_meta.TransferSyntaxUID = JPEGLSLossless
    kept = door.keep(original)
    for accept in (OCTETS, f"multipart/related; type={OCTETS}"):
        assert door.get(f"{kept.path}/frames/1", accept=accept).status_code == 406
    assert door.get(f"{kept.path}/frames/1", accept="image/jls").content == b"this is no JPEG-LS"


def test_entity_tags(door: DoorInMemory, native: ResourceKey) -> None:
    url = f"{native.path}/frames/1"
    first = door.get(url)
    assert first.content == door.get(url).content
    assert "immutable" in first.headers["cache-control"]
    assert door.get(url, if_none_match=first.headers["etag"]).status_code == 304
    assert door.get(url, if_none_match='"other"').status_code == 200
    tags = {door.get(f"{native.path}/frames/{n}").headers["etag"] for n in ("1", "2", "1,2")}
    assert len(tags) == 3


def test_other_methods(door: DoorInMemory, native: ResourceKey) -> None:
    answer = door.request("DELETE", f"{native.path}/frames/1")
    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"]
    assert answer.json()["error"]


def test_a_range_of_a_frame_and_of_a_list(door: DoorInMemory, native: ResourceKey) -> None:
    whole = door.get(f"{native.path}/frames/2", accept=OCTETS)
    assert whole.headers["accept-ranges"] == "bytes"
    part = door.get(f"{native.path}/frames/2", accept=OCTETS, range="bytes=100-299")
    assert (part.status_code, part.content) == (206, whole.content[100:300])
    assert part.headers["content-range"] == f"bytes 100-299/{len(whole.content)}"
    assert (part.headers["content-length"], part.headers["etag"]) == ("200", whole.headers["etag"])
    together = door.get(f"{native.path}/frames/1,2,3")
    part = door.get(f"{native.path}/frames/1,2,3", range="bytes=-1000")
    assert (part.status_code, part.content) == (206, together.content[-1000:])


def test_conditions_and_limits_of_a_range(door: DoorInMemory, native: ResourceKey) -> None:
    path = f"{native.path}/frames/2"
    whole = door.get(path, accept=OCTETS)
    length, tag = len(whole.content), whole.headers["etag"]
    assert door.get(path, accept=OCTETS, range="bytes=0-9", **{"if-range": tag}).status_code == 206
    for condition in ('"another"', "W/" + tag, "Sun, 22 Nov 2026 00:00:00 GMT"):
        changed = door.get(path, accept=OCTETS, range="bytes=0-9", **{"if-range": condition})
        assert (changed.status_code, changed.content) == (200, whole.content)
    beyond = door.get(path, accept=OCTETS, range=f"bytes={length}-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{length}")
    assert door.get(path, accept=OCTETS, range="bytes=0-1,5-9").status_code == 200
    assert door.get(path, accept=OCTETS, range="bytes=0-9", **{"if-none-match": tag}).status_code == 304


def test_if_match(door: DoorInMemory, native: ResourceKey) -> None:
    other_path = native.path.partition("/series")[0]
    door = OneDoorInMemory(door.ingest, door.search, door.retrieve)
    for url in (f"{native.path}/frames/2", native.path, f"{native.path}/metadata", f"{other_path}/thumbnail"):
        whole = door.get(url)
        tag = whole.headers["etag"]
        for _ in range(2):  # also what is remembered
            for condition in (tag, f'"x", {tag}', "*"):
                assert door.get(url, if_match=condition).content == whole.content
            for condition in ('"x"', f"W/{tag}", ""):
                failed = door.get(url, if_match=condition)
                assert (failed.status_code, set(failed.json())) == (412, {"error", "hint"})
                assert door.get(url, if_match=condition, if_none_match=tag, range="bytes=0-3").status_code == 412
                assert door.request("HEAD", url, headers={"if-match": condition}).status_code == 412
        assert door.get(url, if_match=tag, if_none_match=tag).status_code == 304
    assert door.get(f"{native.path}/frames/9", if_match="*").status_code == 404
