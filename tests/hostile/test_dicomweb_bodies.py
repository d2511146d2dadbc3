"""Peers that lie, stop, leave and traverse: an answer for them, nothing half-stored, everybody else served."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from pydicom.dataset import FileDataset

from pacs.dicomweb import store_body
from pacs.settings import IngestSettings
from tests.dicomweb.served import ServedDoor, image, multipart_body, served_door, written


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedDoor]:
    with served_door(tmp_path_factory.mktemp("archive"), IngestSettings(max_instance_bytes=1 << 20)) as served:
        yield served


def raw(door: ServedDoor, request: bytes, *, then_leave: bool = False) -> bytes:
    """Send bytes as they are and read until the server closes or answers."""
    address = urlsplit(door.base)
    with closing(socket.create_connection((address.hostname, address.port), timeout=20)) as connection:
        connection.sendall(request)
        if then_leave:
            return b""
        return connection.recv(65536)


def head(method: str, path: str, **fields: object) -> bytes:
    lines = [f"{method} /dicomweb{path} HTTP/1.1", "Host: archive.test"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def is_kept(door: ServedDoor, original: FileDataset) -> bool:
    return bool(door.client.get(f"/studies/{original.StudyInstanceUID}/instances").json())


@pytest.mark.parametrize(
    "path",
    [
        "/studies/../../../etc/passwd",
        "/studies/..%2f..%2f..%2fetc%2fpasswd",
        "/studies/1.2/series/%2e%2e/metadata",
        "/studies/1.2/series/1.3/instances/..%2f..%2f/frames/1",
        "/studies/1.2/series/1.3/instances/1.4/bulkdata/../../../../etc/passwd",
        "/studies/1.2%00/metadata",
        "/studies/" + "1" * 10_000 + "/metadata",
        "/studies/%ff%fe/metadata",
        "/studies/<script>/metadata",
    ],
)
def test_traversal_and_nonsense_in_urls(door: ServedDoor, path: str) -> None:
    answer = raw(door, head("GET", path, Connection="close"))
    assert answer.split(b" ")[1] in (b"400", b"404")
    assert b"root:" not in answer
    assert b"application/json" in answer


@pytest.mark.parametrize("accept", ["\xff", "a/b;" * 3000, ",".join(["a/b"] * 500), 'a/b; c="', "*/*; q=NaN"])
def test_nonsense_in_accept(door: ServedDoor, accept: str) -> None:
    answer = raw(door, head("GET", "/studies", Accept=accept, Connection="close"))
    assert answer.split(b" ")[1] in (b"400", b"406")


def test_a_sender_that_leaves_half_way_leaves_nothing(door: ServedDoor) -> None:
    original = image()
    body, headers = multipart_body([written(original)])
    request = head("POST", "/studies", Content_Type=headers["content-type"], Content_Length=len(body))
    for cut in (10, 300, len(body) - 30):
        raw(door, request + body[:cut], then_leave=True)
    assert (
        door.client.post(
            "/studies", content=written(image()), headers={"content-type": "application/dicom"}
        ).status_code
        == 200
    )
    assert not is_kept(door, original)


def test_a_length_that_lies_costs_no_memory(door: ServedDoor) -> None:
    for length_claim in (b"\xff\xff\xff\x7f", b"\xfe\xff\xff\xff"):
        original = image()
        file = written(original)
        pixel_data = file.index(b"\xe0\x7f\x10\x00OW")
        lying = file[: pixel_data + 8] + length_claim + file[pixel_data + 12 :]
        answer = door.client.post("/studies", content=lying, headers={"content-type": "application/dicom"})
        assert answer.status_code == 400
        assert answer.json()["00081198"]["Value"][0]["00081155"]["Value"] == [original.SOPInstanceUID]
        assert not is_kept(door, original)


def test_too_large_is_refused_with_the_settings_name(door: ServedDoor) -> None:
    original = image(PixelData=b"\0" * (2 << 20))
    answer = door.client.post("/studies", content=written(original), headers={"content-type": "application/dicom"})
    assert answer.status_code == 413
    (failure,) = answer.json()["00081198"]["Value"]
    assert failure["00081197"]["Value"] == [0xA700]
    assert "ingest.max_instance_bytes" in failure["00091001"]["Value"][0]
    assert not is_kept(door, original)


def test_a_refused_large_body_still_gets_its_answer(door: ServedDoor) -> None:
    answer = door.client.post("/studies", content=iter([b"x" * 65536] * 200), headers={"content-type": "text/plain"})
    assert answer.status_code == 415


def test_a_busy_door_says_when_to_come_back(door: ServedDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_body, "MAX_OPEN", 0)
    answer = door.client.post("/studies", content=written(image()), headers={"content-type": "application/dicom"})
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0


def test_a_host_header_is_not_reflected_when_it_is_no_host(door: ServedDoor) -> None:
    original = image()
    door.keep(original)
    request = head("GET", f"/studies?StudyInstanceUID={original.StudyInstanceUID}", Connection="close")
    answer = raw(door, request.replace(b"archive.test", b'evil"/><script>'))
    assert b"script" not in answer
