"""PNG and GIF pictures beside metadata are stored as the pixels they hold (PS3.18 §10.5.2)."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pacs.dicomweb import store_pictures
from tests.dicomweb.metadata_requests import Bulk
from tests.dicomweb.served import DoorInMemory, OneDoorInMemory, archive_under
from tests.dicomweb.test_store_bulk_data import described, send, stored, us
from tests.dicomweb.test_store_description import COLOUR, DEEP, GREY, WITHOUT

PNG, GIF = "image/png", "image/gif"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoorInMemory]:
    with archive_under(tmp_path_factory.mktemp("archive")) as services:
        yield OneDoorInMemory(*services)


def picture(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    written = io.BytesIO()
    image.save(written, kind, **options)
    return written.getvalue()


RGBA = Image.fromarray(np.dstack([COLOUR, GREY]))
PALETTE = Image.fromarray(COLOUR).quantize(16)
FILM = [Image.fromarray(np.roll(COLOUR // 64 * 64, shift, axis=0)).quantize(64) for shift in (0, 3, 6)]
PICTURES = [
    (PNG, picture(Image.fromarray(GREY)), "MONOCHROME2", 8, GREY),
    (PNG, picture(Image.fromarray(DEEP)), "MONOCHROME2", 16, DEEP),
    (PNG, picture(Image.fromarray(GREY > 99)), "MONOCHROME2", 8, (GREY > 99).astype("u1") * 255),
    (PNG, picture(Image.fromarray(COLOUR)), "RGB", 8, COLOUR),
    (PNG, picture(RGBA), "RGB", 8, COLOUR),
    (PNG, picture(PALETTE), "RGB", 8, np.asarray(PALETTE.convert("RGB"))),
    (GIF, picture(FILM[0], "GIF"), "RGB", 8, np.asarray(FILM[0].convert("RGB"))),
    (
        GIF,
        picture(FILM[0], "GIF", save_all=True, append_images=FILM[1:], disposal=2),
        "RGB",
        8,
        np.stack([np.asarray(each.convert("RGB")) for each in FILM]),
    ),
]


@pytest.mark.parametrize(
    ("media_type", "data", "colours", "bits", "pixels"),
    PICTURES,
    ids=["grey", "deep", "single bits", "colour", "transparent", "palette", "gif", "film"],
)
def test_a_picture_is_stored_as_its_pixels(
    door: DoorInMemory, media_type: str, data: bytes, colours: str, bits: int, pixels: Any
) -> None:
    uid, instance = described(**WITHOUT)
    assert send(door, instance, Bulk("u", data, media_type)) == (200, "")
    found = stored(door, uid)
    assert found is not None
    assert (found.Rows, found.Columns, found.PhotometricInterpretation) == (12, 20, colours)
    assert (found.BitsAllocated, found.BitsStored, found.HighBit, found.PixelRepresentation) == (
        bits,
        bits,
        bits - 1,
        0,
    )
    assert found.get("NumberOfFrames") == (3 if pixels.ndim == 4 else None)
    assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert found.PixelData == pixels.tobytes()
    assert [element.tag for element in found] == sorted(element.tag for element in found)
    assert door.get(f"/studies/1.2.3/series/1.2.3.4/instances/{uid}/rendered").status_code == 200


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), ()])
def test_frames_that_are_a_picture_each(door: DoorInMemory, order: tuple[int, ...]) -> None:
    pixels = [np.roll(GREY, shift, axis=0) for shift in (0, 4, 8)]
    uid, instance = described(3, **{name: None for name in WITHOUT if name != "t00280008"})
    if order:
        bulk = [Bulk(f"u/frames/{number}", picture(Image.fromarray(pixels[number - 1])), PNG) for number in order]
    else:
        bulk = [Bulk("u", picture(Image.fromarray(each)), PNG) for each in pixels]
    assert send(door, instance, *bulk) == (200, "")
    found = stored(door, uid)
    assert found is not None
    assert (found.NumberOfFrames, found.Rows) == (3, 12)
    assert found.PixelData == b"".join(each.tobytes() for each in pixels)


def test_grey_in_a_palette_is_grey_where_it_is_asked(door: DoorInMemory) -> None:
    few = GREY // 32 * 32
    for kind, media_type in (("GIF", GIF), ("PNG", PNG)):
        data = picture(Image.fromarray(np.stack([few] * 3, axis=-1)).quantize(16), kind)
        uid, instance = described(
            **{**WITHOUT, "t00280002": us(1), "t00280004": {"vr": "CS", "Value": ["MONOCHROME1"]}}
        )
        assert send(door, instance, Bulk("u", data, media_type)) == (200, "")
        found = stored(door, uid)
        assert found is not None
        assert (found.PhotometricInterpretation, found.PixelData) == ("MONOCHROME1", few.tobytes())


def bomb(columns: int, rows: int) -> bytes:
    data = bytearray(picture(Image.fromarray(GREY)))
    data[16:24] = columns.to_bytes(4, "big") + rows.to_bytes(4, "big")
    return bytes(data)


DATA = picture(Image.fromarray(GREY))


@pytest.mark.parametrize(
    ("attributes", "bulk", "reason"),
    [
        ({}, Bulk("u", DATA[:60], PNG), "no whole image/png"),
        ({}, Bulk("u", DATA, GIF), "begins as no image/gif"),
        ({}, Bulk("u", b"", PNG), "begins as no image/png"),
        ({}, Bulk("u", picture(FILM[0], "GIF")[:40], GIF), "no whole image/gif"),
        ({}, Bulk("u", bomb(60_000, 60_000), PNG), "at most"),
        ({}, Bulk("u", bomb(0, 60_000), PNG), "at most"),
        ({}, Bulk("u", bomb(8_000, 8_000), PNG), "no whole image/png"),
        ({}, Bulk("u", DATA[:24] + b"\x10\x02" + DATA[26:], PNG), "16 bits for each colour"),
        ({"t00280010": us(13)}, Bulk("u", DATA, PNG), "13 in the metadata"),
        ({"t00280002": us(3)}, Bulk("u", DATA, PNG), "3 in the metadata"),
        ({"t00280100": us(16)}, Bulk("u", DATA, PNG), "(0028,0100) must be 8"),
        ({"t00280103": us(1)}, Bulk("u", DATA, PNG), "(0028,0103) must be 0"),
        ({"t00280004": {"vr": "CS", "Value": ["PALETTE COLOR"]}}, Bulk("u", DATA, PNG), "(0028,0004) must be"),
        ({"t00280006": us(1)}, Bulk("u", picture(RGBA), PNG), "(0028,0006) must be 0"),
        ({"t00280008": {"vr": "IS", "Value": [2]}}, Bulk("u", picture(FILM[0], "GIF"), GIF), "2 in the metadata"),
    ],
)
def test_what_cannot_be_stored_so(door: DoorInMemory, attributes: dict[str, Any], bulk: Bulk, reason: str) -> None:
    uid, instance = described(**{**WITHOUT, **attributes})
    status, why = send(door, instance, bulk)
    assert (status, reason in why) == (400, True), why
    assert stored(door, uid) is None


def test_an_icon_cannot_be_a_picture(door: DoorInMemory) -> None:
    icon = {"vr": "SQ", "Value": [{"7FE00010": {"vr": "OB", "BulkDataURI": "i"}}]}
    _, instance = described(t00880200=icon, t7FE00010=None)
    assert send(door, instance, Bulk("i", DATA, PNG))[0] == 415


def test_waiting_for_a_turn_has_an_end(door: DoorInMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_pictures, "_waiting", threading.BoundedSemaphore(1))
    uid, instance = described(**WITHOUT)
    with store_pictures._waiting:
        status, why = send(door, instance, Bulk("u", DATA, PNG))
    assert (status, "too many pictures" in why) == (503, True), why
    assert stored(door, uid) is None
    assert send(door, instance, Bulk("u", DATA, PNG)) == (200, "")
