"""Metadata and bulk data: what becomes an instance, what fails, and that neighbours never notice."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import imagecodecs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.filebase import DicomBytesIO
from pydicom.uid import generate_uid

from pacs.dicomweb import store_metadata
from pacs.dicomweb.multipart import MultipartReader
from pacs.dicomweb.store_metadata import DICOM_JSON
from pacs.dicomweb.store_request import StoreRequest
from pacs.dicomweb.store_response import Failed
from pacs.model import Principal, Source
from pacs.part10.dicom_xml import to_xml
from pacs.settings import IngestSettings
from tests.dicomweb.metadata_requests import JSON, XML, Bulk, json_body, metadata, metadata_body
from tests.dicomweb.served import DoorInMemory, archive_under

PIXELS = np.arange(24, dtype="<u2").reshape(4, 6)
RAW = PIXELS.tobytes()


def stored(door: DoorInMemory, uid: str) -> Dataset:
    answer = door.get(f"/studies/1.2.3/series/1.2.3.4/instances/{uid}", accept="application/dicom")
    assert answer.status_code == 200, answer.text
    return dcmread(DicomBytesIO(answer.content))


def is_kept(door: DoorInMemory, uid: str) -> bool:
    return door.get(f"/studies/1.2.3/series/1.2.3.4/instances/{uid}").status_code == 200


def items(answer: httpx.Response, tag: str) -> list[Dataset]:
    return [Dataset.from_json(item) for item in answer.json().get(tag, {}).get("Value", [])]


def failures(answer: httpx.Response) -> list[tuple[str, int, str]]:
    found = [*items(answer, "00081198"), *items(answer, "0008119A")]
    return [(each.get("ReferencedSOPInstanceUID", ""), each.FailureReason, each[0x00091001].value) for each in found]


def test_native_pixels_and_korean(door: DoorInMemory) -> None:
    uid = generate_uid()
    answer = door.post("/studies", *json_body([metadata(uid)], [Bulk(f"bulk/{uid}", RAW)]))
    assert answer.status_code == 200, answer.text
    found = stored(door, uid)
    assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert found.PixelData == RAW
    assert str(found.PatientName) == "KIM^SU=김^수"
    assert found.SpecificCharacterSet == "ISO_IR 192"


@pytest.mark.parametrize(
    ("media_type", "encoded", "syntax"),
    [
        ("image/jls", imagecodecs.jpegls_encode(PIXELS), "1.2.840.10008.1.2.4.80"),
        (
            "image/jls; transfer-syntax=1.2.840.10008.1.2.4.81",
            imagecodecs.jpegls_encode(PIXELS),
            "1.2.840.10008.1.2.4.81",
        ),
        ("image/jp2", imagecodecs.jpeg2k_encode(PIXELS, codecformat="j2k", level=0), "1.2.840.10008.1.2.4.90"),
        ("image/jpeg", imagecodecs.jpeg8_encode(PIXELS.astype("u1")), "1.2.840.10008.1.2.4.50"),
        ("image/jpeg", imagecodecs.ljpeg_encode(PIXELS), "1.2.840.10008.1.2.4.57"),
        ("image/jphc", imagecodecs.htj2k_encode(PIXELS), "1.2.840.10008.1.2.4.201"),
        ("application/octet-stream; transfer-syntax=1.2.840.10008.1.2.5", b"abc", "1.2.840.10008.1.2.5"),
        ("application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1", RAW, "1.2.840.10008.1.2.1"),
    ],
)
def test_pixels_in_their_media_type(door: DoorInMemory, media_type: str, encoded: bytes, syntax: str) -> None:
    uid = generate_uid()
    answer = door.post("/studies", *json_body([metadata(uid)], [Bulk(f"bulk/{uid}", encoded, media_type)]))
    if media_type.endswith("1.2.5"):
        assert failures(answer)[0][1] == 0xC122, "RLE has a media type of its own"
        return
    assert answer.status_code == 200, answer.text
    found = stored(door, uid)
    assert found.file_meta.TransferSyntaxUID == syntax
    if syntax != "1.2.840.10008.1.2.1":
        (frame,) = generate_frames(found.PixelData, number_of_frames=1)
        assert frame.rstrip(b"\0") == encoded.rstrip(b"\0")


@pytest.mark.parametrize("names", [("", "", ""), ("/frames/3", "/frames/1", "/frames/2")])
def test_frames_in_parts_of_their_own(door: DoorInMemory, names: tuple[str, ...]) -> None:
    uid = generate_uid()
    frames = [imagecodecs.jpegls_encode(PIXELS + number) for number in range(3)]
    order = [2, 0, 1] if names[0] else [0, 1, 2]
    body = json_body(
        [metadata(uid, t00280008={"vr": "IS", "Value": [3]})],
        [Bulk(f"bulk/{uid}{name}", frames[number], "image/jls") for name, number in zip(names, order, strict=True)],
    )
    assert door.post("/studies", *body).status_code == 200
    for number, frame in enumerate(frames, start=1):
        answer = door.get(f"/studies/1.2.3/series/1.2.3.4/instances/{uid}/frames/{number}", accept="image/jls")
        assert answer.content.rstrip(b"\0") == frame.rstrip(b"\0")


def test_parts_without_a_content_type(door: DoorInMemory) -> None:
    uid = generate_uid()
    body, content_type = json_body([metadata(uid)], [Bulk(f"bulk/{uid}", RAW)])
    for line in (f"Content-Type: {JSON}\r\n", "Content-Type: application/octet-stream\r\n"):
        body = body.replace(line.encode(), b"")
    answer = door.post("/studies", body, content_type)
    assert answer.status_code == 200, answer.text
    assert stored(door, uid).PixelData == RAW


@pytest.mark.parametrize("kind", [JSON, XML])
def test_single_part_with_everything_inline(door: DoorInMemory, kind: str) -> None:
    uid = generate_uid()
    attributes = metadata(uid, t7FE00010={"vr": "OW", "InlineBinary": base64.b64encode(RAW).decode()})
    answer = door.post("/studies/1.2.3", to_xml(attributes) if kind == XML else json.dumps(attributes).encode(), kind)
    assert answer.status_code == 200, answer.text
    assert stored(door, uid).PixelData == RAW


def test_several_xml_parts_then_bulk_data(door: DoorInMemory) -> None:
    uids = [generate_uid() for _ in range(3)]
    body = metadata_body([to_xml(metadata(uid)) for uid in uids], [Bulk(f"bulk/{uid}", RAW) for uid in uids[::-1]], XML)
    answer = door.post("/studies", *body)
    assert answer.status_code == 200, answer.text
    assert all(stored(door, uid).PixelData == RAW for uid in uids)


def test_bulk_data_in_a_sequence_and_shared(door: DoorInMemory) -> None:
    uids = [generate_uid(), generate_uid()]
    nested = {"vr": "SQ", "Value": [{"00420011": {"vr": "OB", "BulkDataURI": "pdf"}}, {}]}
    instances = [metadata(uid, t00081115=nested) for uid in uids]
    bulk = [Bulk("pdf", b"%PDF-", "application/pdf"), *(Bulk(f"bulk/{uid}", RAW) for uid in uids)]
    assert door.post("/studies", *json_body(instances, bulk)).status_code == 200
    for uid in uids:
        sequence = stored(door, uid).ReferencedSeriesSequence
        assert [item.get("EncapsulatedDocument") for item in sequence] == [b"%PDF-\0", None]


def wrong(**attributes: Any) -> dict[str, Any]:
    return metadata("UID", **attributes)


WRONG = {
    "no SOP Instance UID": (wrong(t00080018=None), "SOP Instance UID"),
    "no study": (wrong(t0020000D=None), "Study Instance UID"),
    "UID that is none": (wrong(t0020000E={"vr": "UI", "Value": ["../x"]}), "Series Instance UID"),
    "unknown VR": (wrong(t00100040={"vr": "XX", "Value": ["M"]}), "(0010,0040)"),
    "no VR": (wrong(t00100040={"Value": ["M"]}), "(0010,0040)"),
    "VR of another kind": (wrong(t00280010={"vr": "LO", "Value": ["4"]}), "(0028,0010)"),
    "name as number": (wrong(t00100010={"vr": "US", "Value": [1]}), "(0010,0010)"),
    "number too large": (wrong(t00280010={"vr": "US", "Value": [70000]}), "(0028,0010)"),
    "truth as number": (wrong(t00280010={"vr": "US", "Value": [True]}), "(0028,0010)"),
    "text as number": (wrong(t00180050={"vr": "DS", "Value": ["thick"]}), "(0018,0050)"),
    "infinite": (wrong(t00180050={"vr": "DS", "Value": [1e999]}), "number"),
    "no base64": (wrong(t00091010={"vr": "OB", "InlineBinary": "*"}), "(0009,1010)"),
    "inline text": (wrong(t00100040={"vr": "CS", "InlineBinary": "TQ=="}), "(0010,0040)"),
    "two contents": (wrong(t00091010={"vr": "OB", "InlineBinary": "", "BulkDataURI": "x"}), "(0009,1010)"),
    "backslash": (wrong(t00100020={"vr": "LO", "Value": ["a\\b"]}), "(0010,0020)"),
    "beyond ASCII": (wrong(t00100040={"vr": "CS", "Value": ["é"]}), "(0010,0040)"),
    "lone surrogate": (wrong(t00100020={"vr": "LO", "Value": ["\ud800"]}), "(0010,0020)"),
    "no tag": ({**wrong(), "PatientName": {"vr": "PN"}}, "eight hex digits"),
    "item tag": ({**wrong(), "FFFEE000": {"vr": "UN"}}, "(FFFE,E000)"),
    "command": ({**wrong(), "00000100": {"vr": "US", "Value": [1]}}, "(0000,0100)"),
    "sequence as bulk data": (wrong(t00081115={"vr": "SQ", "BulkDataURI": "x"}), "(0008,1115)"),
    "item that is none": (wrong(t00081115={"vr": "SQ", "Value": [7]}), "object"),
    "no part": (wrong(t00091010={"vr": "OB", "BulkDataURI": "http://127.0.0.1:9/secret"}), "no part came"),
    "not an object": (7, "object"),
    "inline and compressed": (
        wrong(t7FE00010={"vr": "OB", "InlineBinary": ""}, t00083002={"vr": "UI", "Value": ["1.2.840.10008.1.2.4.50"]}),
        "inline",
    ),
}


@pytest.mark.parametrize(("instance", "reason"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_instance_fails_and_its_neighbours_do_not(door: DoorInMemory, instance: Any, reason: str) -> None:
    before, after, bad = (generate_uid() for _ in range(3))
    instance = json.loads(json.dumps(instance).replace("UID", bad))
    bulk = [Bulk(f"bulk/{uid}", RAW) for uid in (before, bad, after)]
    text = json.dumps([metadata(before), instance, metadata(after)])
    answer = door.post("/studies", *metadata_body([text.replace("Infinity", "1e999").encode()], bulk))
    assert answer.status_code == 202, answer.text
    assert [item.ReferencedSOPInstanceUID for item in items(answer, "00081199")] == [before, after]
    assert any(reason in text and code == 0xC000 for _, code, text in failures(answer)), failures(answer)
    assert not is_kept(door, bad)


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        (Bulk("nobody/asked", b"x"), "belongs to no BulkDataURI"),
        (Bulk("", b"x"), "without a Content-Location"),
    ],
)
def test_bulk_data_that_nobody_asked_for(door: DoorInMemory, extra: Bulk, reason: str) -> None:
    uid = generate_uid()
    answer = door.post("/studies", *json_body([metadata(uid)], [extra, Bulk(f"bulk/{uid}", RAW), extra]))
    assert answer.status_code == 202
    assert [reason in text for _, _, text in failures(answer)] == [True, True]
    assert stored(door, uid).PixelData == RAW


def test_a_part_that_comes_twice_is_a_warning(door: DoorInMemory) -> None:
    uid, other = generate_uid(), generate_uid()
    bulk = [Bulk(f"bulk/{uid}", RAW), Bulk(f"bulk/{uid}", bytes(48)), Bulk(f"bulk/{other}", RAW)]
    answer = door.post("/studies", *json_body([metadata(uid), metadata(other)], bulk))
    assert answer.status_code == 202
    first, second = items(answer, "00081199")
    assert first.WarningReason == 0xB006
    assert "WarningReason" not in second
    assert stored(door, uid).PixelData == RAW


def test_a_part_that_comes_twice_before_the_instance_is_whole_is_a_failure(door: DoorInMemory) -> None:
    uid, other = generate_uid(), generate_uid()
    two = metadata(uid, t00091010={"vr": "OB", "BulkDataURI": "second"})
    bulk = [Bulk(f"bulk/{uid}", RAW), Bulk(f"bulk/{uid}", RAW), Bulk("second", b"ab"), Bulk(f"bulk/{other}", RAW)]
    answer = door.post("/studies", *json_body([two, metadata(other)], bulk))
    assert answer.status_code == 202
    assert [(name, code) for name, code, _ in failures(answer)] == [(uid, 0xC000)]
    assert not is_kept(door, uid)
    assert is_kept(door, other)


@pytest.mark.parametrize(
    ("bulk", "status", "reason"),
    [
        ([Bulk("u", RAW, "image/jls")], 400, "no image/jls"),
        ([Bulk("u", RAW, "image/png")], 400, "no image/png"),
        ([Bulk("u", RAW, "image/webp")], 415, "image/webp"),
        ([Bulk("u", RAW, "text/plain")], 415, "text/plain"),
        ([Bulk("u", RAW, "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.2")], 415, "1.2.2"),
        ([Bulk("u", RAW, "image/jls; transfer-syntax=1.2.840.10008.1.2.4.50")], 415, "4.50"),
        ([Bulk("u/frames/2", RAW, "image/jls; transfer-syntax=1.2.840.10008.1.2.4.80")] * 2, 400, "two parts"),
        ([Bulk("u", RAW, "image/jls")], 400, "of 2 frames"),
    ],
)
def test_pixels_that_cannot_be_taken(door: DoorInMemory, bulk: list[Bulk], status: int, reason: str) -> None:
    uid = generate_uid()
    frames = 2 if "frames" in reason or "two" in reason else 1
    instance = metadata(uid, t7FE00010={"vr": "OB", "BulkDataURI": "u"}, t00280008={"vr": "IS", "Value": [frames]})
    answer = door.post("/studies", *json_body([instance], bulk))
    assert answer.status_code == status, answer.text
    assert reason in failures(answer)[0][2]
    assert not is_kept(door, uid)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"[]",
        b"[1 2]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" + b"9" * 10_000 + b"]",
        b"[{}] x",
        b"NaN",
        b'[{"00080018":{"vr":"UI","vr":"UI","Value":["1.2"]}}]',
    ],
)
def test_json_that_is_none(door: DoorInMemory, document: bytes) -> None:
    answer = door.post("/studies", *metadata_body([document], []))
    assert answer.status_code == 400, answer.text
    assert failures(answer)


def test_what_stands_before_the_tear_is_stored(door: DoorInMemory) -> None:
    uid = generate_uid()
    whole = json.dumps(metadata(uid, t7FE00010=None)).encode()
    answer = door.post("/studies", *metadata_body([b"[" + whole + b"," + whole[:-9]], []))
    assert answer.status_code == 202
    assert is_kept(door, uid)


@pytest.mark.parametrize(
    "document",
    [
        '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><NativeDicomModel/>',
        '<!DOCTYPE x SYSTEM "file:///etc/passwd"><NativeDicomModel/>',
        '<!DOCTYPE x [<!ENTITY e SYSTEM "http://127.0.0.1:9/">]><NativeDicomModel>&e;</NativeDicomModel>',
        "<NativeDicomModel>&undefined;</NativeDicomModel>",
        "<html/>",
        "<NativeDicomModel>",
        "<NativeDicomModel>text</NativeDicomModel>",
        '<?xml version="1.0" encoding="made-up"?><NativeDicomModel/>',
        "<NativeDicomModel><DicomAttribute/></NativeDicomModel>",
        '<NativeDicomModel><DicomAttribute tag="00100020" vr="LO"><Value number="2000000"/></DicomAttribute>'
        "</NativeDicomModel>",
    ],
)
def test_xml_that_is_none(door: DoorInMemory, document: str) -> None:
    answer = door.post("/studies", *metadata_body([document.encode()], [], XML))
    assert answer.status_code in (400, 413), answer.text
    ((_, _, text),) = failures(answer)
    assert "root:" not in text


def test_the_answer_in_xml(door: DoorInMemory) -> None:
    uid = generate_uid()
    body, content_type = json_body([metadata(uid)], [Bulk(f"bulk/{uid}", RAW), Bulk("<&>", b"")])
    for accept in (XML, f'multipart/related; type="{XML}"'):
        answer = door.request(
            "POST", "/studies", content=body, headers={"content-type": content_type, "accept": accept}
        )
        assert answer.status_code == 202
        assert answer.headers["content-type"].startswith(accept.split(";")[0])
        assert 'keyword="ReferencedSOPSequence"' in answer.text
        assert "&lt;&amp;&gt;" in answer.text
    odd = door.request("POST", "/studies", content=body, headers={"content-type": content_type, "accept": "text/html"})
    assert odd.headers["content-type"] == JSON


def test_a_body_that_is_cut_leaves_nothing(door: DoorInMemory) -> None:
    uid = generate_uid()
    body, content_type = json_body([metadata(uid)], [Bulk(f"bulk/{uid}", RAW)])
    for cut in (50, len(body) - 60, len(body) - 9):
        answer = door.post("/studies", body[:cut], content_type)
        assert answer.status_code == 400, answer.text
        assert not is_kept(door, uid)


@pytest.mark.parametrize("coding", ["deflate", "br", "gzip, gzip", "gzip, br", "zstd"])
def test_nothing_else_than_gzip_is_inflated(door: DoorInMemory, coding: str) -> None:
    import gzip

    bomb = gzip.compress(gzip.compress(b"[" + b" " * (64 << 20)))
    headers = {"content-type": JSON, "content-encoding": coding}
    answer = door.request("POST", "/studies", content=bomb, headers=headers)
    assert answer.status_code == 415
    assert answer.headers["accept-encoding"] == "gzip, identity"


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_metadata, "MAX_METADATA_BYTES", 1 << 16)
    with archive_under(tmp_path, IngestSettings(max_instance_bytes=1 << 20)) as services:
        door = DoorInMemory(*services)
        large, small = generate_uid(), generate_uid()
        bulk = [Bulk(f"bulk/{large}", bytes(3 << 20)), Bulk(f"bulk/{small}", RAW)]
        answer = door.post("/studies", *json_body([metadata(large), metadata(small)], bulk))
        assert answer.status_code == 202
        assert [(name, code) for name, code, _ in failures(answer)] == [(large, 0xA700)]
        answer = door.post("/studies", *json_body([metadata(large), " " * (1 << 16)], []))
        assert answer.status_code == 413
        assert not list(tmp_path.rglob("tmp*")), "what waits has no name"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with archive_under(tmp_path_factory.mktemp("fuzz")) as services:
        yield services


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_parts_in_any_order(archive: Any, data: st.DataObject) -> None:
    """No order, number or name of parts raises, and every instance is told of once."""
    uids = [generate_uid() for _ in range(3)]
    names = [f"bulk/{uid}" for uid in uids]
    frames = data.draw(st.integers(1, 3))
    instances = [metadata(uid, t00280008={"vr": "IS", "Value": [frames]}) for uid in uids]
    part = st.builds(
        Bulk,
        st.sampled_from([*names, names[0] + "/frames/1", names[0] + "/frames/2", "x", ""]),
        st.sampled_from([RAW, b"", imagecodecs.jpegls_encode(PIXELS)]),
        st.sampled_from(["application/octet-stream", "image/jls", "image/jpeg", "nonsense", JSON, "video/mp4"]),
    )
    body, _ = json_body(instances, data.draw(st.lists(part, max_size=8)))
    request = StoreRequest(archive[0], Source(Principal("test"), "STOW-RS"), MultipartReader("B"), None, DICOM_JSON)
    step = data.draw(st.integers(1, 4000))
    for start in range(0, len(body), step):
        request.feed(body[start : start + step])
    request.close()
    told = [
        result.sop_instance_uid
        if isinstance(result, Failed)
        else getattr(result, "stored", result).key.sop_instance_uid
        for result in request.results()
    ]
    assert sorted(uid for uid in told if uid) == sorted(uids)
