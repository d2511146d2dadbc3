"""Store requests in gzip: stored as what they hold, cut off or grown too large they are refused, in bounded memory."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import generate_uid

from pacs.dicomweb import store_inflating
from pacs.dicomweb.multipart import MultipartReader, PartBegins, PartData, PartEnds
from pacs.dicomweb.resources import ResourceKey
from pacs.dicomweb.store_inflating import MOST_TIMES, PIECE_BYTES, InflatingReader
from pacs.errors import ProtocolViolation
from tests.dicomweb.metadata_requests import JSON, Bulk, json_body, metadata
from tests.dicomweb.served import (
    DoorInMemory,
    OneDoorInMemory,
    archive_under,
    data_set_bytes,
    image,
    multipart_body,
    written,
)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoorInMemory]:
    with archive_under(tmp_path_factory.mktemp("archive")) as services:
        yield OneDoorInMemory(*services)


def post(door: DoorInMemory, body: bytes, content_type: str, coding: str = "gzip") -> tuple[int, str]:
    headers = {"content-type": content_type, "content-encoding": coding}
    answer = door.request("POST", "/studies", content=body, headers=headers)
    return answer.status_code, answer.text


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip", "identity, gzip"])
def test_what_it_holds_is_stored(door: DoorInMemory, coding: str) -> None:
    one, other = image(), image()
    body, headers = multipart_body([written(one), written(other)])
    assert post(door, gzip.compress(body), headers["content-type"], coding)[0] == 200
    for original in (one, other):
        path = ResourceKey(original.StudyInstanceUID, original.SeriesInstanceUID, original.SOPInstanceUID).path
        assert data_set_bytes(door.get(path, accept="application/dicom").content) == data_set_bytes(written(original))
    assert post(door, gzip.compress(written(image())), "application/dicom", coding)[0] == 200


def test_metadata_and_bulk_data(door: DoorInMemory) -> None:
    uid = generate_uid()
    body, content_type = json_body([metadata(uid)], [Bulk(f"bulk/{uid}", bytes(48))])
    assert post(door, gzip.compress(body), content_type)[0] == 200
    assert post(door, gzip.compress(json.dumps([{"00080018": {"vr": "UI"}}]).encode()), JSON)[0] == 400


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"no gzip at all", "not gzip"),
        (gzip.compress(b"x" * 1000)[:-12], "cut off"),
        (gzip.compress(b"")[:5], "cut off"),
        (gzip.compress(written(image())) + b"trailing", "not gzip"),
        (zlib.compress(b"x"), "not gzip"),
        (b"", "holds no part"),
    ],
    ids=["none", "cut", "head cut", "trailing", "zlib", "empty"],
)
def test_what_is_no_whole_gzip_is_said_so(door: DoorInMemory, body: bytes, reason: str) -> None:
    status, text = post(door, body, "application/dicom")
    assert (status, reason in text) == (400, True), text


def test_what_was_whole_before_the_tear_is_told(door: DoorInMemory) -> None:
    whole = image()
    body, headers = multipart_body([written(whole), written(image())])
    head, tail = body[: len(written(whole)) + 500], body[len(written(whole)) + 500 :]
    compressor = zlib.compressobj(wbits=31)
    torn = compressor.compress(head) + compressor.flush(zlib.Z_SYNC_FLUSH) + compressor.compress(tail)
    status, text = post(door, torn, headers["content-type"])
    assert status == 202
    assert "cut off" in text
    path = ResourceKey(whole.StudyInstanceUID, whole.SeriesInstanceUID, whole.SOPInstanceUID).path
    assert door.get(path).status_code == 200


def test_a_bomb_is_cut_short(door: DoorInMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousandth of what it holds; the bound is a two hundredth and what is free."""
    monkeypatch.setattr(store_inflating, "FREE_BYTES", 1 << 20)
    bomb = gzip.compress(b"--B\r\nContent-Type: application/dicom\r\n\r\n" + bytes(64 << 20))
    assert len(bomb) * MOST_TIMES < 48 << 20
    status, text = post(door, bomb, 'multipart/related; type="application/dicom"; boundary=B')
    assert (status, f"{MOST_TIMES} times" in text) == (400, True), text
    nested = gzip.compress(gzip.compress(bytes(64 << 20)))
    assert post(door, nested, "application/dicom")[0] == 400, "what it holds is no DICOM but gzip"


class Counting:
    """A reader that takes anything."""

    most = total = 0

    def feed(self, chunk: bytes) -> Iterator[PartData]:
        self.most, self.total = max(self.most, len(chunk)), self.total + len(chunk)
        return iter(())

    def close(self) -> tuple[()]:
        return ()


def test_pieces_are_small_and_a_bomb_ends_at_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    free_bytes = 4 << 20
    monkeypatch.setattr(store_inflating, "FREE_BYTES", free_bytes)
    bomb = gzip.compress(bytes(free_bytes * 4))
    counting = Counting()
    reader = InflatingReader(counting)
    with pytest.raises(ProtocolViolation, match="inflates to more"):
        for position in range(0, len(bomb), 4096):
            list(reader.feed(bomb[position : position + 4096]))
    assert counting.most <= PIECE_BYTES
    assert free_bytes <= counting.total <= free_bytes + MOST_TIMES * len(bomb)


def test_many_empty_files_behind_each_other_cost_no_more_than_their_bytes() -> None:
    reader = InflatingReader(Counting())
    assert list(reader.feed(gzip.compress(b"") * 200_000)) == []
    assert reader.close() == ()


@given(st.lists(st.binary(max_size=3000), min_size=1, max_size=4), st.integers(1, 700), st.integers(0, 9))
def test_any_cut_gives_the_same_parts(bodies: list[bytes], step: int, level: int) -> None:
    text = b"".join(b"--B\r\n\r\n" + body + b"\r\n" for body in bodies) + b"--B--"
    plain = MultipartReader("B")
    expected = joined([*plain.feed(text), *plain.close()])
    half = len(text) // 2
    packed = gzip.compress(text[:half], level) + gzip.compress(text[half:], level)
    reader = InflatingReader(MultipartReader("B"))
    events = [event for start in range(0, len(packed), step) for event in reader.feed(packed[start : start + step])]
    assert joined([*events, *reader.close()]) == expected


def joined(events: list[PartBegins | PartData | PartEnds]) -> list[bytes]:
    parts: list[bytes] = []
    for event in events:
        if isinstance(event, PartBegins):
            parts.append(b"")
        elif isinstance(event, PartData):
            parts[-1] += event.data
    return parts
