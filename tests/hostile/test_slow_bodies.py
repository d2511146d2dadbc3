"""Two hundred store requests whose bodies hardly come, beside a sender that wants to store; a real archive."""

from __future__ import annotations

import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.dicomweb.served import image, written
from tests.running_archive import RunningArchive

pytestmark = [pytest.mark.alone, pytest.mark.timeout(600), pytest.mark.real_time(1.0)]

PEERS = 200
ROUNDS = 10
_BODIES = {
    "application/dicom": written(image())[:700],
    'multipart/related; type="application/dicom"; boundary=B': b"--B\r\n\r\n" + written(image())[:700],
    'multipart/related; type="application/dicom+json"; boundary=B': b"--B\r\n\r\n[" + b" " * 700,
}


def slow_peer(archive: RunningArchive, number: int) -> socket.socket:
    content_type, begun = list(_BODIES.items())[number % 3]
    head = (
        f"POST /dicomweb/studies HTTP/1.1\r\nHost: 127.0.0.1:{archive.http_port}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: 1000000000\r\n\r\n"
    )
    peer = socket.create_connection(("127.0.0.1", archive.http_port), timeout=20)
    peer.sendall(head.encode() + (begun if number % 2 else b""))
    return peer


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")))


def is_open(peer: socket.socket) -> bool:
    peer.setblocking(False)
    try:
        return bool(peer.recv(1, socket.MSG_PEEK)) and False
    except BlockingIOError:
        return True


def store(archive: RunningArchive) -> int:
    content, fields = written(image()), {"content-type": "application/dicom"}
    return httpx.post(f"{archive.dicomweb}/studies", content=content, headers=fields, timeout=30).status_code


def test_an_honest_sender_is_served_beside_two_hundred_slow_ones(tmp_path: Path) -> None:
    # Nothing may end them while it is measured.
    with ExitStack() as stack:
        archive = stack.enter_context(
            RunningArchive(tmp_path / "archive", "--workers", "1", PACS_HTTP__BODY_TIMEOUT_S="600")
        )
        pid = archive.pid_of("web-1")
        assert store(archive) == 200
        before = resident_bytes(pid)
        peers = [stack.enter_context(slow_peer(archive, number)) for number in range(PEERS)]
        slowest_s = 0.0
        for _ in range(ROUNDS):
            for peer in peers:
                peer.send(b" ")
            started = time.monotonic()
            assert store(archive) == 200
            slowest_s = max(slowest_s, time.monotonic() - started)
        grown = resident_bytes(pid) - before
        sys.stderr.write(f"slowest store {slowest_s:.2f} s; {grown / 2**20:.0f} MB grown\n")
        assert all(is_open(peer) for peer in peers), "the slow ones are really there"
        assert slowest_s < 5
        assert grown <= 64 << 20


def test_slow_senders_are_given_up_and_told(tmp_path: Path) -> None:
    limits = {"PACS_HTTP__BODY_TIMEOUT_S": "1", "PACS_HTTP__LEAST_BYTES_PER_S": "1000"}
    with RunningArchive(tmp_path / "archive", "--workers", "1", **limits) as archive:
        with slow_peer(archive, 1) as dripping, slow_peer(archive, 1) as control:
            dripping.settimeout(0.1)
            deadline = time.monotonic() + 20
            answer = b""
            while not answer and time.monotonic() < deadline:
                control.send(b" " * 500)
                try:
                    dripping.send(b" ")
                    answer = dripping.recv(1000)
                except TimeoutError:
                    pass
            assert answer.startswith(b"HTTP/1.1 400"), answer
            assert is_open(control), "a sender that keeps its pace is waited for"
        assert archive.events("store request given up")
