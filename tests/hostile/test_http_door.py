"""The real HTTP server against hostile pages and peers: rebinding, forgery, heads and trailers without end."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydicom.data import get_testdata_file

from pacs.processes.http_protocol import MAX_HEAD_BYTES
from tests.running_archive import RunningArchive

ANYBODY = {"Content-Type": "application/dicom"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningArchive]:
    with RunningArchive(tmp_path_factory.mktemp("http") / "data") as running:
        content = Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()
        assert httpx.post(f"{running.dicomweb}/studies", content=content, headers=ANYBODY).status_code == 200
        yield running


def connection(archive: RunningArchive) -> socket.socket:
    return socket.create_connection(("127.0.0.1", archive.http_port), timeout=20)


def answer(peer: socket.socket) -> bytes:
    received = b""
    try:
        while part := peer.recv(65536):
            received += part
    except ConnectionResetError:
        pass
    return received


@pytest.mark.parametrize("path", ["/dicomweb/studies", "/", "/health/ready", "/nothing"])
def test_a_rebound_name_reads_nothing(archive: RunningArchive, path: str) -> None:
    refused = httpx.get(archive.origin + path, headers={"Host": "evil.example"})
    assert refused.status_code == 421
    assert refused.json()["hint"]
    assert "CompressedSamples" not in refused.text


def test_two_hosts_are_no_host(archive: RunningArchive) -> None:
    with connection(archive) as peer:
        peer.sendall(b"GET /dicomweb/studies HTTP/1.1\r\nHost: evil.example\r\nHost: localhost\r\n\r\n")
        assert answer(peer).split(b" ")[1] == b"400"


@pytest.mark.parametrize(
    "fields", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}]
)
def test_another_sites_page_stores_nothing(archive: RunningArchive, fields: dict[str, str]) -> None:
    refused = httpx.post(f"{archive.dicomweb}/studies", content=b"x", headers={**ANYBODY, **fields})
    assert refused.status_code == 403
    assert refused.json()["error"]


@pytest.mark.parametrize(
    "path", ["/dicomweb/studies", "/dicomweb/nothing", "/", "/health/live", "/dicomweb/openapi.json"]
)
def test_no_answer_may_be_guessed_or_shown_elsewhere(archive: RunningArchive, path: str) -> None:
    fields = httpx.get(archive.origin + path).headers
    assert fields.get_list("x-content-type-options") == ["nosniff"]
    assert fields.get_list("cross-origin-resource-policy") == ["same-origin"]
    assert "access-control-allow-origin" not in fields


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100_000,
        b"GET /?" + b"a" * 1_000_000,
        b"GET / HTTP/1.1\r\nX: " + b"y" * 1_000_000,
    ],
    ids=["fields", "query", "one field"],
)
def test_a_head_without_end_is_cut(archive: RunningArchive, head: bytes) -> None:
    assert len(head) > 3 * MAX_HEAD_BYTES
    with connection(archive) as peer:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            peer.sendall(head)
        assert answer(peer)[:12] in (b"HTTP/1.1 431", b"HTTP/1.1 414", b"HTTP/1.1 400", b"")
    assert httpx.get(f"{archive.origin}/health/ready").status_code == 200


@pytest.mark.parametrize(
    ("length", "status"), [(60_000, b"400"), (70_000, b"414"), (120_000, b"414"), (250_000, b"414")]
)
def test_a_url_too_long_is_said_to_be_too_long(archive: RunningArchive, length: int, status: bytes) -> None:
    with connection(archive) as peer:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            peer.sendall(b"GET /dicomweb/studies?limit=" + b"a" * length + b" HTTP/1.1\r\nHost: localhost\r\n")
            peer.sendall(b"Connection: close\r\n\r\n")
        received = answer(peer)
    assert received.split(b" ")[1:2] == [status] or (not received and length > 128 << 10)


def test_trailers_without_end_are_cut(archive: RunningArchive) -> None:
    head = b"POST /dicomweb/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/dicom\r\n"
    with connection(archive) as peer:
        peer.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            until = time.monotonic() + 20
            while time.monotonic() < until:
                peer.sendall(b"X: " + b"y" * 1000 + b"\r\n")


def test_what_is_no_http_is_answered_in_json(archive: RunningArchive) -> None:
    with connection(archive) as peer:
        peer.sendall(b"\x16\x03\x01 this is TLS\r\n\r\n")
        received = answer(peer)
    assert received.startswith(b"HTTP/1.1 400")
    assert b"application/json" in received


def test_what_is_kept_is_for_its_owner_alone(archive: RunningArchive) -> None:
    everything = [archive.data, *archive.data.rglob("*")]
    assert len(everything) > 5
    open_to_others = [
        f"{path} {stat.filemode(path.stat().st_mode)}"
        for path in everything
        if path.exists() and path.stat().st_mode & (os.X_OK | os.R_OK | os.W_OK | stat.S_IRWXG)
    ]
    assert open_to_others == []
