"""Parts and bodies in an encoding that nothing here undoes: refused, never kept in it."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator

import httpx
import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from pacs.dicomweb.store_encoding import check_encoding
from pacs.errors import UnsupportedMedia
from tests.dicomweb.metadata_requests import JSON, metadata
from tests.dicomweb.served import DoorInMemory, OneDoorInMemory, archive_under, image, written

RAW = bytes(range(48))
ENCODED = [
    ("Content-Transfer-Encoding: base64", base64.b64encode),
    ("Content-Transfer-Encoding: quoted-printable", lambda data: data),
    ("Content-Transfer-Encoding: x-uuencode", lambda data: data),
    ("Content-Encoding: gzip", gzip.compress),
    ("Content-Encoding: identity, gzip", gzip.compress),
    ("Content-Encoding: gzip\r\nContent-Encoding: identity", gzip.compress),
    ("content-transfer-encoding: BASE64", base64.b64encode),
]
PLAIN = [
    "Content-Transfer-Encoding: binary",
    "Content-Transfer-Encoding: 8BIT",
    "Content-Transfer-Encoding: 7bit",
    "Content-Encoding: identity",
    "Content-Encoding:",
    "Content-Encoding: identity\r\nContent-Encoding: identity",
    "Content-Transfer-Encoding: binary\r\nContent-Transfer-Encoding: binary",
]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoorInMemory]:
    with archive_under(tmp_path_factory.mktemp("archive")) as services:
        yield OneDoorInMemory(*services)


def post(door: DoorInMemory, kind: str, *parts: tuple[str, bytes]) -> httpx.Response:
    body = b"".join(b"--B\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n" for head, data in parts)
    return door.post("/studies", body + b"--B--", f'multipart/related; type="{kind}"; boundary=B')


def reasons(answer: httpx.Response) -> list[tuple[int, str]]:
    found = [
        Dataset.from_json(item)
        for tag in ("00081198", "0008119A")
        for item in answer.json().get(tag, {}).get("Value", [])
    ]
    return [(item.FailureReason, item[0x00091001].value) for item in found]


def is_kept(door: DoorInMemory, study: str, uid: str) -> bool:
    return bool(door.get(f"/studies/{study}/instances?SOPInstanceUID={uid}").json())


@pytest.mark.parametrize(("header", "encode"), ENCODED)
@pytest.mark.parametrize("whose", ["bulk data", "metadata", "file"])
def test_an_encoded_part(door: DoorInMemory, header: str, encode: object, whose: str) -> None:
    assert callable(encode)
    neighbour, uid = generate_uid(), generate_uid()
    study = "1.2.3"
    if whose == "file":
        instance, other = image(), image()
        study, uid, neighbour = instance.StudyInstanceUID, instance.SOPInstanceUID, other.SOPInstanceUID
        answer = post(
            door,
            "application/dicom",
            (f"Content-Type: application/dicom\r\n{header}", encode(written(instance))),
            ("Content-Type: application/dicom", written(other)),
        )
    else:
        documents = [json.dumps(metadata(each)).encode() for each in (uid, neighbour)]
        parts = [(f"Content-Type: {JSON}", document) for document in documents]
        parts += [(f"Content-Location: bulk/{each}", RAW) for each in (uid, neighbour)]
        spoilt = 0 if whose == "metadata" else 2
        parts[spoilt] = (f"{parts[spoilt][0]}\r\n{header}", encode(parts[spoilt][1]))
        answer = post(door, JSON, *parts)
    assert answer.status_code == 202, answer.text
    (item,) = answer.json()["00081199"]["Value"]
    assert item["00081155"]["Value"] == [neighbour]
    code, text = reasons(answer)[0]
    assert code == 0xC122
    assert "as it is" in text
    assert header.partition(":")[0].lower() in text.lower()
    assert not is_kept(door, study, uid)


@pytest.mark.parametrize("header", PLAIN)
@pytest.mark.parametrize("whose", ["bulk data", "file"])
def test_a_part_as_it_is(door: DoorInMemory, header: str, whose: str) -> None:
    if whose == "file":
        answer = post(door, "application/dicom", (f"Content-Type: application/dicom\r\n{header}", written(image())))
    else:
        uid = generate_uid()
        answer = post(
            door,
            JSON,
            (f"Content-Type: {JSON}\r\n{header}", json.dumps(metadata(uid)).encode()),
            (f"Content-Location: bulk/{uid}\r\n{header}", RAW),
        )
    assert answer.status_code == 200, answer.text


def test_all_parts_encoded_is_unsupported(door: DoorInMemory) -> None:
    head = "Content-Type: application/dicom\r\nContent-Encoding: gzip"
    answer = post(door, "application/dicom", (head, gzip.compress(written(image()))))
    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("coding", "status"), [("", 200), ("identity", 200), (" , identity", 200), ("gzip", 400), ("br", 415)]
)
def test_a_whole_body(door: DoorInMemory, coding: str, status: int) -> None:
    headers = {"content-type": "application/dicom", "content-encoding": coding}
    assert door.request("POST", "/studies", content=written(image()), headers=headers).status_code == status


@pytest.mark.parametrize("name", ["Content-Type", "Content-Location"])
def test_a_part_with_two_names_is_neither(door: DoorInMemory, name: str) -> None:
    uid = generate_uid()
    first, second = ("application/octet-stream", "image/jls") if name == "Content-Type" else (f"bulk/{uid}", "bulk/2")
    rest = "" if name == "Content-Location" else f"\r\nContent-Location: bulk/{uid}"
    answer = post(
        door,
        JSON,
        (f"Content-Type: {JSON}", json.dumps(metadata(uid)).encode()),
        (f"{name}: {second}\r\n{name}: {first}{rest}", RAW),
    )
    assert answer.status_code in (400, 415), answer.text
    assert not is_kept(door, "1.2.3", uid)


def test_check_encoding() -> None:
    check_encoding({})
    with pytest.raises(UnsupportedMedia, match="'deflate'"):
        check_encoding({"content-encoding": "deflate"})
