"""Pictures and thumbnails of every level."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import RLELossless, generate_uid

from pacs.dicomweb.resources import ResourceKey
from pacs.errors import Busy, StoredBytesDamaged
from pacs.part10.header import Header
from pacs.pixels.light import LightImage, light_image
from tests.dicomweb.served import DoorInMemory, OneDoorInMemory, archive_under, image


def picture(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.fixture(scope="module")
def slices(door: DoorInMemory) -> list[ResourceKey]:
    """Three slices of one grey each; the middle one is the second."""
    study, series = generate_uid(), generate_uid()
    return [
        door.keep(
            image(
                StudyInstanceUID=study,
                SeriesInstanceUID=series,
                InstanceNumber=number,
                PixelData=np.full(16 * 24, number * 100, "<u2").tobytes(),
            )
        )
        for number in (1, 2, 3)
    ]


@pytest.mark.parametrize("kind", ["rendered", "thumbnail"])
def test_every_level_has_a_picture(door: DoorInMemory, slices: list[ResourceKey], kind: str) -> None:
    instance = slices[0]
    study = f"/studies/{instance.study_instance_uid}"
    for path in (study, f"{study}/series/{instance.series_instance_uid}", instance.path, f"{instance.path}/frames/1"):
        answer = door.get(f"{path}/{kind}")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "image/jpeg"
        assert picture(answer.content).size == (24, 16)
        assert door.get(f"{path}/{kind}", if_none_match=answer.headers["etag"]).status_code == 304


def test_a_series_shows_its_middle_image(door: DoorInMemory, slices: list[ResourceKey]) -> None:
    series = f"/studies/{slices[0].study_instance_uid}/series/{slices[0].series_instance_uid}"
    for kind in ("rendered", "thumbnail"):
        of_series = door.get(f"{series}/{kind}", accept="image/png").content
        assert of_series == door.get(f"{slices[1].path}/{kind}", accept="image/png").content
        assert of_series != door.get(f"{slices[0].path}/{kind}", accept="image/png").content


def test_plain_samples_need_no_decoder(
    door: DoorInMemory, slices: list[ResourceKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away:
        def run(self, *_: object, **__: object) -> bytes:
            raise Busy("every decoder is busy", retry_after_s=1)

    monkeypatch.setattr(door.retrieve, "decoding", Away())
    url = f"{slices[0].path}/rendered"
    assert door.get(f"{url}?window=100,50").status_code == 200
    assert door.get(url, accept="image/gif").status_code == 503
    # No part of an answer that says why: with the answer's entity tag it would stay the client's for good.
    assert door.get(url, accept='multipart/related; type="image/gif"').status_code == 503
    squeezed = image()
    squeezed.compress(RLELossless, generate_instance_uid=False)
    assert door.get(f"{door.keep(squeezed).path}/rendered").status_code == 503


def test_a_change_of_the_study_is_seen_at_once(tmp_path: Path) -> None:
    with archive_under(tmp_path) as services:
        door = OneDoorInMemory(*services)
        study, series = generate_uid(), generate_uid()

        def kept(number: int) -> ResourceKey:
            pixels = np.full(16 * 24, number * 50, "<u2").tobytes()
            uids = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
            return door.keep(image(**uids, InstanceNumber=number, PixelData=pixels))

        kept(1)
        url = f"/studies/{study}/series/{series}/rendered"
        first = door.get(url)
        again = door.get(url, if_none_match=first.headers["etag"])
        assert (again.status_code, again.content) == (304, b"")
        middle = kept(2)
        kept(3)
        after = door.get(url, if_none_match=first.headers["etag"])
        assert after.status_code == 200
        assert after.content == door.get(f"{middle.path}/rendered").content
        assert after.content != first.content


def test_values_that_make_no_sense_are_no_fault_of_the_archive(
    door: DoorInMemory, slices: list[ResourceKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    def overflowing(*_: object) -> bytes:
        raise OverflowError("Python int too large to convert to C long")

    monkeypatch.setattr("pacs.dicomweb.rendered.LightImage.rendered", overflowing)
    answer = door.get(f"{slices[0].path}/rendered?window=7,7")
    assert answer.status_code == 406
    assert "C long" not in answer.text


def test_a_query_that_is_not_remembered_says_the_same(door: DoorInMemory, slices: list[ResourceKey]) -> None:
    url = f"{slices[0].path}/rendered"
    shown = door.get(f"{url}?window=100,50").content
    assert door.get(f"{url}?window=100,50&x={'y' * 400}").content == shown
    assert door.get(f"{url}?window=120,50").content != shown
    for _ in range(2):
        assert door.get(f"{url}?window=100,50").content == shown
        assert door.get(f"{url}?window=wide").status_code == 400


def test_an_image_is_asked_once_how_it_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before its bytes were found to be those that were stored: what damaged ones say is not remembered."""
    asked: list[LightImage | None] = []

    def counted(header: Header) -> LightImage | None:
        asked.append(light_image(header))
        return asked[-1]

    monkeypatch.setattr("pacs.dicomweb.rendered.light_image", counted)
    with archive_under(tmp_path) as (ingest, search, retrieve):
        door = OneDoorInMemory(ingest, search, retrieve)
        kept = door.keep(image())
        url, frames = f"{kept.path}/rendered", retrieve.frames

        def damaged(*_: object) -> None:
            raise StoredBytesDamaged("it is damaged where it is stored")

        monkeypatch.setattr(retrieve, "frames", damaged)
        assert door.get(url).status_code == 500
        monkeypatch.setattr(retrieve, "frames", frames)
        pictures = {door.get(f"{url}?window={center},400").content for center in (100, 200, 300)}
        assert len(asked) == 2
        assert len(pictures) == 3
        other = door.keep(image(RescaleSlope="1", RescaleIntercept="-50"))
        assert door.get(f"{other.path}/rendered?window=200,400").content not in pictures
        assert len(asked) == 3


def test_what_is_not_there_is_not_what_the_client_has(door: DoorInMemory, slices: list[ResourceKey]) -> None:
    for path in ("frames/2", "frames/2/rendered"):
        assert door.get(f"{slices[0].path}/{path}", if_none_match="*").status_code == 404
    for path in ("frames/1", "frames/1/rendered"):
        assert door.get(f"{slices[0].path}/{path}", if_none_match="*").status_code == 304


def test_head_tells_of_the_whole(door: DoorInMemory, slices: list[ResourceKey]) -> None:
    for path in ("frames/1", "rendered"):
        url = f"{slices[0].path}/{path}"
        told = door.request("HEAD", url, headers={"range": "bytes=2-3", "accept": "*/*"})
        assert told.status_code == 200
        assert told.headers["etag"] == door.get(url, accept="*/*").headers["etag"]
        assert "content-range" not in told.headers


def test_accept(door: DoorInMemory, slices: list[ResourceKey]) -> None:
    url = f"{slices[0].path}/rendered"
    assert picture(door.get(url, accept="image/png").content).format == "PNG"
    assert picture(door.get(f"{url}?accept=image/png").content).format == "PNG"
    for asked in ("video/x-none", "no%20type", "image/x-none,image/png;q=0"):
        beside = door.get(f"{url}?accept={asked}", accept="image/png")
        assert picture(beside.content).format == "PNG", "the header counts then (PS3.18 §8.7.8.1)"
    assert door.get(f"{url}?accept=video/x-none").status_code == 406
    assert door.get(f"{url}?accept=;;").status_code == 400
    assert door.get(f"{url}?accept=video/x-none", accept="text/html").status_code == 406
    assert picture(door.get(url, accept="image/avif,image/webp,image/*,*/*;q=0.8").content).format == "JPEG"
    assert picture(door.get(url, accept="image/gif;q=0.9,image/png;q=0.8").content).format == "GIF"
    assert picture(door.get(url, accept="image/jp2").content).format == "JPEG2000"
    assert door.get(url, accept="image/webp").status_code == 406
    assert door.get(url, accept="video/mp4").status_code == 406


def test_window_viewport_and_quality(door: DoorInMemory) -> None:
    kept = door.keep(image(PixelData=np.tile(np.arange(0, 240, 10, dtype="<u2"), 16).tobytes()))
    url = f"{kept.path}/rendered"

    def greys(parameters: str) -> np.ndarray:
        answer = door.get(f"{url}?{parameters}", accept="image/png")
        assert answer.status_code == 200, answer.text
        return np.asarray(picture(answer.content))

    narrow = greys("window=120,2,linear")
    assert set(narrow[0]) <= {0, 255} | set(narrow[0, 11:14])
    assert narrow[0, 0] == 0
    assert narrow[0, -1] == 255
    assert not np.array_equal(greys("window=120,240,sigmoid"), greys("window=120,240,linear-exact"))
    assert greys("viewport=12,8").shape == (8, 12)
    assert greys("viewport=24,16,12,0,12,8").shape == (16, 24)
    large, small = (len(door.get(f"{url}?quality={quality}").content) for quality in (100, 1))
    assert large > small
    assert picture(door.get(f"{kept.path}/thumbnail?viewport=10,10").content).size == (10, 7)


@pytest.mark.parametrize(
    "parameters", ["window=1", "window=a,b", "window=1,0", "viewport=0,0", "viewport=1", "quality=0", "quality=101"]
)
def test_bad_parameters(door: DoorInMemory, slices: list[ResourceKey], parameters: str) -> None:
    answer = door.get(f"{slices[0].path}/rendered?{parameters}")
    assert answer.status_code == 400
    assert parameters.partition("=")[0] in answer.json()["error"]


def test_what_is_no_image_says_so(door: DoorInMemory) -> None:
    kept = door.keep(image(PixelData=None, Modality="SR"))
    for path in (kept.path, f"/studies/{kept.study_instance_uid}"):
        answer = door.get(f"{path}/rendered")
        assert answer.status_code == 406
        assert "no image" in answer.json()["error"]


def test_frames_that_are_not_there(door: DoorInMemory, slices: list[ResourceKey]) -> None:
    assert door.get(f"{slices[0].path}/frames/2/rendered").status_code == 404
    assert door.get(f"{slices[0].path}/frames/1,2/rendered", accept="image/gif").status_code == 404
    assert door.get(f"{slices[0].path}/frames/1,1/thumbnail").status_code == 400
    assert door.get(f"/studies/{generate_uid()}/thumbnail").status_code == 404


def test_an_undecodable_middle_gives_way_to_its_neighbour(door: DoorInMemory) -> None:
    study, series = generate_uid(), generate_uid()
    for number in (1, 2, 3):
        broken = {"BitsAllocated": 12} if number == 2 else {}
        door.keep(image(StudyInstanceUID=study, SeriesInstanceUID=series, InstanceNumber=number, **broken))
    answer = door.get(f"/studies/{study}/series/{series}/thumbnail")
    assert answer.status_code == 200
