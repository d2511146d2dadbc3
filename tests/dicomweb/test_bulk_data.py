"""Bulk data and pixel data: one value in every form that frames have, and all values of a study, series or instance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRBigEndian, generate_uid

from pacs.dicomweb.app import dicomweb_app
from pacs.dicomweb.resources import ResourceKey
from pacs.model import StoredInstance
from pacs.pixels.encode import EncodedFrame
from pacs.settings import TranscodingSettings
from pacs.transcoding import Transcoding
from tests.dicomweb.served import DoorInMemory, image, parts_of

OCTETS = "application/octet-stream"
EXPLICIT = "1.2.840.10008.1.2.1"
FAMILY = "1.2.840.10008.1.2.4."
JPEG_LS = FAMILY + "80"
PIXELS = np.random.default_rng(5).integers(0, 256, (3, 15, 25)).astype("u1")
BYTES = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "Rows": 15, "Columns": 25}
VALUE = PIXELS.tobytes() + b"\0"
"""Padded to an even length."""
DECODE = {
    "image/jphc": imagecodecs.htj2k_decode,
    "image/jls": imagecodecs.jpegls_decode,
    "image/jpeg": imagecodecs.jpeg8_decode,
}


def native(**attributes: Any) -> FileDataset:
    return image(**BYTES, NumberOfFrames=3, **{"PixelData": VALUE, **attributes})


def compressed(**attributes: Any) -> FileDataset:
    stored = native(PixelData=encapsulate([imagecodecs.jpegls_encode(each) for each in PIXELS]), **attributes)
    stored["PixelData"].is_undefined_length = True
    stored.file_meta.TransferSyntaxUID = UID(JPEG_LS)
    return stored


def report(**attributes: Any) -> FileDataset:
    return image(PixelData=None, Rows=None, Columns=None, **attributes)


@pytest.fixture(scope="module", params=[native, compressed])
def kept(request: pytest.FixtureRequest, door: DoorInMemory) -> ResourceKey:
    return door.keep(request.param())


@pytest.fixture(scope="module")
def in_fragments(door: DoorInMemory) -> ResourceKey:
    return door.keep(compressed())


@pytest.mark.parametrize("resource", ["bulkdata/7FE00010", "pixeldata"])
@pytest.mark.parametrize("media_type", DECODE)
def test_pixel_data_in_frames_however_it_is_stored(
    door: DoorInMemory, kept: ResourceKey, resource: str, media_type: str
) -> None:
    answer = door.get(f"{kept.path}/{resource}", accept=f'multipart/related; type="{media_type}"')
    assert answer.status_code == 200, answer.text
    parts = parts_of(answer)
    assert {fields["content-location"] for fields, _ in parts} == {f"{door.base}{kept.path}/bulkdata/7FE00010"}
    for (fields, frame), right in zip(parts, PIXELS, strict=True):
        assert fields["content-type"].startswith(media_type)
        assert np.array_equal(DECODE[media_type](frame), right)
    tag = answer.headers["etag"]
    assert (
        door.get(
            f"{kept.path}/{resource}", accept=f'multipart/related; type="{media_type}"', if_none_match=tag
        ).status_code
        == 304
    )
    assert door.get(f"{kept.path}/{resource}", accept=media_type).status_code == 406, "three frames are no one image"


@pytest.mark.parametrize("resource", ["bulkdata/7FE00010", "pixeldata"])
@pytest.mark.parametrize("syntax", ["", f"; transfer-syntax={EXPLICIT}"])
def test_pixel_data_in_one_part_is_the_native_value(
    door: DoorInMemory, kept: ResourceKey, resource: str, syntax: str
) -> None:
    answer = door.get(f"{kept.path}/{resource}", accept=OCTETS + syntax)
    assert answer.status_code == 200, answer.text
    assert answer.content == VALUE
    assert answer.headers["content-type"] == f"{OCTETS}; transfer-syntax={EXPLICIT}"
    head = door.request("HEAD", f"{kept.path}/{resource}", headers={"accept": OCTETS + syntax})
    assert (head.status_code, head.headers["etag"]) == (200, answer.headers["etag"])
    assert door.get(f"{kept.path}/{resource}", accept=f"{OCTETS}; transfer-syntax=1.2.3").status_code == 406


RANGES = [(0, 1), (0, len(VALUE)), (5, 6), (len(VALUE) // 3 - 1, len(VALUE) // 3 + 1), (len(VALUE) // 3, len(VALUE)),
          (10, 2 * len(VALUE) // 3 + 4), (len(VALUE) - 1, len(VALUE)), (len(VALUE) - 2, len(VALUE))]  # fmt: skip


@pytest.mark.parametrize(("start", "end"), RANGES)
def test_a_range_of_the_native_value_decodes_its_frames_only(
    door: DoorInMemory, in_fragments: ResourceKey, monkeypatch: pytest.MonkeyPatch, start: int, end: int
) -> None:
    decoded: list[int] = []
    one = Transcoding.frame_of_many

    def counted(self: Transcoding, instance: StoredInstance, number: int, uid: str) -> EncodedFrame:
        decoded.append(number)
        return one(self, instance, number, uid)

    monkeypatch.setattr(Transcoding, "frame_of_many", counted)
    url = f"{in_fragments.path}/bulkdata/7FE00010"
    whole = door.get(url, accept=OCTETS)
    assert whole.headers["content-length"] == str(len(VALUE)) and whole.headers["accept-ranges"] == "bytes"
    assert decoded == [1, 2, 3]
    decoded.clear()
    part = door.get(url, accept=OCTETS, range=f"bytes={start}-{end - 1}")
    assert (part.status_code, part.content) == (206, VALUE[start:end]), part.text
    assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{len(VALUE)}"
    assert part.headers["etag"] == whole.headers["etag"]
    assert decoded == [number for number in (1, 2, 3) if start < 375 * number and end > 375 * (number - 1)]
    stale = door.get(url, accept=OCTETS, range=f"bytes={start}-{end - 1}", if_range='"another"')
    assert (stale.status_code, stale.content) == (200, VALUE)
    assert door.get(url, accept=OCTETS, range=f"bytes={len(VALUE)}-").status_code == 416


def test_bits_that_follow_each_other_in_one_part(door: DoorInMemory) -> None:
    bits = np.random.default_rng(6).integers(0, 2, (3, 3, 5)).astype("u1")
    packed = np.packbits(bits.ravel(), bitorder="little").tobytes()
    frames = [np.packbits(each.ravel(), bitorder="little").tobytes() for each in bits]
    shape = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0, "Rows": 3, "Columns": 5, "NumberOfFrames": 3}
    stored = image(**shape, PixelData=encapsulate(frames))
    stored["PixelData"].is_undefined_length = True
    stored.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1.98")
    answer = door.get(f"{door.keep(stored).path}/pixeldata", accept=OCTETS)
    assert answer.status_code == 200, answer.text
    assert answer.content == packed
    part = door.get(answer.url.path.removeprefix("/dicomweb"), accept=OCTETS, range="bytes=1-2")
    assert (part.status_code, part.content) == (200, packed), "only making it tells its length"


def test_big_endian_pixel_data_comes_as_little_endian(door: DoorInMemory) -> None:
    words = np.arange(16 * 24, dtype="<u2")
    stored = image(PixelData=words.astype(">u2").tobytes())
    stored.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    url = f"{door.keep(stored).path}/pixeldata"
    assert door.get(url, accept=OCTETS).content == words.tobytes()
    assert door.get(url, accept=f"{OCTETS}; transfer-syntax={ExplicitVRBigEndian}").status_code == 406


def with_values(**attributes: Any) -> FileDataset:
    block = Dataset()
    block.add_new(0x00091001, "OB", b"\1\2" * 2000)
    made = native(RequestAttributesSequence=[block], **attributes)
    made.add_new(0x00091002, "OB", b"\3\4" * 3000)
    return made


def uris(attributes: dict[str, Any]) -> Iterator[str]:
    for element in attributes.values():
        if "BulkDataURI" in element:
            yield element["BulkDataURI"]
        for item in element.get("Value", ()) if element["vr"] == "SQ" else ():
            yield from uris(item)


@pytest.fixture(scope="module")
def study(door: DoorInMemory) -> list[ResourceKey]:
    """Two series: native with more values, compressed, and a report; then native again."""
    uid, series = generate_uid(), generate_uid()
    same = {"StudyInstanceUID": uid, "SeriesInstanceUID": series}
    made = [
        with_values(**same, InstanceNumber=1),
        compressed(**same, InstanceNumber=2),
        report(**same, InstanceNumber=3),
        native(StudyInstanceUID=uid, SeriesNumber=2),
    ]
    return [door.keep(each) for each in made]


def at(key: ResourceKey, level: str) -> str:
    return "/".join(key.path.split("/")[: {"study": 3, "series": 5, "instance": 7}[level]])


@pytest.mark.parametrize("level", ["study", "series", "instance"])
@pytest.mark.parametrize("accept", ["*/*", f"multipart/related; type={OCTETS}"])
def test_all_bulk_data(door: DoorInMemory, study: list[ResourceKey], level: str, accept: str) -> None:
    url = at(study[0], level)
    answer = door.get(f"{url}/bulkdata", accept=accept)
    assert answer.status_code == 200, answer.text
    told = [uri for each in door.get(f"{url}/metadata").json() for uri in uris(each)]
    expected = []
    for uri in told:
        alone = parts_of(door.get(uri, accept=accept.replace("*/*", "multipart/related")))
        expected += [(uri, body) for _, body in alone]
    assert [(fields["content-location"], body) for fields, body in parts_of(answer)] == expected
    assert len(expected) == {"study": 3 + 3 + 1, "series": 3 + 3, "instance": 3}[level]
    tag = answer.headers["etag"]
    assert door.get(f"{url}/bulkdata", accept=accept, if_none_match=tag).status_code == 304
    assert door.get(f"{url}/bulkdata", accept="text/html").status_code == 406


@pytest.mark.parametrize("level", ["study", "series"])
def test_all_pixel_data(door: DoorInMemory, study: list[ResourceKey], level: str) -> None:
    url = f"{at(study[0], level)}/pixeldata"
    stored = parts_of(door.get(url))
    kinds = [fields["content-type"] for fields, _ in stored]
    in_series = [f"{OCTETS}; transfer-syntax={EXPLICIT}", *[f"image/jls; transfer-syntax={JPEG_LS}"] * 3]
    assert kinds == in_series + in_series[:1] * (level == "study")
    made = parts_of(door.get(url, accept="multipart/related; type=image/jphc"))
    assert len(made) == (9 if level == "study" else 6)
    for (_, frame), right in zip(made, [*PIXELS] * 3, strict=False):
        assert np.array_equal(imagecodecs.htj2k_decode(frame), right)
    decoded = parts_of(door.get(url, accept=f"multipart/related; type={OCTETS}"))
    assert b"".join(body for _, body in decoded[:4]) == VALUE + PIXELS.tobytes()


class Keeping(DoorInMemory):
    """With made frames under `folder`."""

    folder: Path

    def application(self) -> Any:
        made = Transcoding(self.retrieve, self.folder, TranscodingSettings())
        return dicomweb_app(self.ingest, self.search, self.retrieve, transcoding=made)


@pytest.mark.parametrize("level", ["study", "series"])
def test_all_pixel_data_does_not_push_out_what_viewers_look_at(
    door: DoorInMemory, study: list[ResourceKey], tmp_path: Path, level: str
) -> None:
    keeping = Keeping(door.ingest, door.search, door.retrieve)
    keeping.folder = tmp_path
    accept = "multipart/related; type=image/jphc"
    assert len(parts_of(keeping.get(f"{at(study[0], level)}/pixeldata", accept=accept))) >= 6
    assert not [*tmp_path.glob("*/??/*")]
    # Of one that is looked at they are.
    assert keeping.get(f"{at(study[1], 'instance')}/frames/1", accept=accept).status_code == 200
    assert len([*tmp_path.glob("*/??/*")]) == 1


def test_what_cannot_be_had_so_says_why_in_its_place(door: DoorInMemory, study: list[ResourceKey]) -> None:
    answer = door.get(f"{at(study[0], 'instance')}/bulkdata", accept="multipart/related; type=image/jls")
    assert answer.status_code == 200
    kinds = [fields["content-type"].partition(";")[0] for fields, _ in parts_of(answer)]
    assert kinds == ["application/json"] * 2 + ["image/jls"] * 3
    bits = door.keep(image(BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=bytes(48)))
    for method in ("GET", "HEAD"):
        refused = door.request(
            method, f"{at(bits, 'study')}/pixeldata", headers={"accept": "multipart/related; type=image/jls"}
        )
        assert refused.status_code == 406


@pytest.mark.parametrize("level", ["study", "series", "instance"])
@pytest.mark.parametrize("resource", ["bulkdata", "pixeldata"])
def test_nothing_of_this_kind(door: DoorInMemory, level: str, resource: str) -> None:
    empty = door.keep(report())
    for method, condition in (("GET", {}), ("HEAD", {})):
        answer = door.request(method, f"{at(empty, level)}/{resource}", headers=condition)
        assert answer.status_code == 404
    unknown = ResourceKey(generate_uid(), generate_uid(), generate_uid())
    assert door.get(f"{at(unknown, level)}/{resource}").status_code == 404
    assert door.request("POST", f"{at(empty, level)}/{resource}").status_code == 405
    assert door.request("OPTIONS", f"{at(empty, level)}/{resource}").headers["allow"] == "GET, HEAD, OPTIONS"
    assert door.get(f"{at(empty, level)}/{resource}", accept="x").status_code == 400


def test_any_tag_is_no_reason_for_304_of_what_is_not_there(door: DoorInMemory) -> None:
    kept = door.keep(image())
    assert door.get(f"{kept.path}/bulkdata/00091002", if_none_match="*").status_code == 404


def test_pixel_data_without_a_shape_is_had_as_it_is(door: DoorInMemory) -> None:
    shapeless = door.keep(image(Rows=None, Columns=None, PixelData=b"\1\2\3\4"))
    url = f"{shapeless.path}/bulkdata/7FE00010"
    for syntax in ("", "; transfer-syntax=*", f"; transfer-syntax={EXPLICIT}"):
        assert door.get(url, accept=OCTETS + syntax).content == b"\1\2\3\4"
        assert parts_of(door.get(url, accept=f'multipart/related; type="{OCTETS}"{syntax}'))[0][1] == b"\1\2\3\4"
    assert door.get(url, accept=f"{OCTETS}; transfer-syntax={FAMILY}90").status_code == 406
