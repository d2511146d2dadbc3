"""Associations that come and go, one after the other, against a real `pacs serve`: nothing of them stays."""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pacs.dimse.upper_layer import pdu
from pacs.dimse.upper_layer.items import UserInformation
from tests.dimse.served import CONTEXTS
from tests.patience import SHORT_OF_ANY_TIMEOUT_S
from tests.running_archive import RunningArchive

SOAK = bool(os.environ.get("PACS_SOAK"))
CYCLES = 100_000 if SOAK else 3000
WARM_UP = 600
WAYS = 5
MOST_GROWTH_MB = 8.0
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time, so that closing is a reset
_REQUEST = pdu.encode_associate_rq(
    pdu.AssociateRequest("PACS", "COMES_GOES", CONTEXTS, UserInformation(16384, "1.2.3", "TESTER"))
)
_RELEASE_RQ, _ABORT = pdu.encode_release_rq(), pdu.encode_abort(pdu.Abort(0))


@dataclass(frozen=True)
class Held:
    """What the process that serves DICOM has now."""

    threads: int
    files: int
    megabytes: float
    """Resident."""

    @classmethod
    def by(cls, pid: int) -> Held:
        status = Path(f"/proc/{pid}/status").read_text()
        resident_kb = int(status.partition("VmRSS:")[2].split()[0])
        return cls(
            len(list(Path(f"/proc/{pid}/task").iterdir())),
            len(list(Path(f"/proc/{pid}/fd").iterdir())),
            resident_kb / 1024,
        )


def _receive(peer: socket.socket) -> bytes:
    """One PDU whole."""
    received = b""
    while len(received) < 6 or len(received) < 6 + pdu.HEADER.unpack_from(received)[1]:
        part = peer.recv(65536)
        assert part, "the archive closed the connection"
        received += part
    return received


def _associated(port: int) -> socket.socket:
    peer = socket.create_connection(("127.0.0.1", port), timeout=20)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer.sendall(_REQUEST)
    assert _receive(peer)[0] == 2
    return peer


def _come_and_go(port: int, number: int) -> None:
    """In turn: released, aborted, reset, closed without a word; and one that never became an association."""
    if number % WAYS == WAYS - 1:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
            peer.sendall(_REQUEST[: len(_REQUEST) // 2])
        return
    with _associated(port) as peer:
        match number % WAYS:
            case 0:
                peer.sendall(_RELEASE_RQ)
                assert _receive(peer)[0] == 6
            case 1:
                peer.sendall(_ABORT)
            case 2:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            case _:
                pass


def _settled(pid: int, before: Held) -> Held:
    """What is held once the last ones have ended, and not by a time-out."""
    deadline, waiting = time.monotonic() + SHORT_OF_ANY_TIMEOUT_S, threading.Event()
    while True:
        now = Held.by(pid)
        if (now.threads <= before.threads and now.files <= before.files) or time.monotonic() > deadline:
            return now
        waiting.wait(0.05)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningArchive]:
    with RunningArchive(tmp_path_factory.mktemp("archive") / "data", PACS_HTTP__WORKERS="1") as running:
        yield running


def _ended(archive: RunningArchive) -> int:
    """Associations that the log tells the end of."""
    return len(archive.events("association released") + archive.events("association lost"))


@pytest.mark.timeout(7200 if SOAK else 600)
def test_associations_that_come_and_go_leave_nothing(archive: RunningArchive) -> None:
    pid = archive.pid_of("dimse")
    idle = Held.by(pid)
    for number in range(WARM_UP):
        _come_and_go(archive.dicom_port, number)
    before, ended = _settled(pid, idle), _ended(archive)
    started = time.monotonic()
    for number in range(CYCLES):
        _come_and_go(archive.dicom_port, number)
    took_s = time.monotonic() - started
    after = _settled(pid, before)
    grown_mb = after.megabytes - before.megabytes
    sys.stderr.write(
        f"{CYCLES:,} associations released, aborted, reset, closed or half asked for: {grown_mb:.1f} MB more; "
        f"{before} before, {after} after, {CYCLES / took_s:,.0f}/s\n"
    )
    assert after.threads <= before.threads
    assert after.files <= before.files
    assert grown_mb < MOST_GROWTH_MB
    assert _ended(archive) - ended == CYCLES * (WAYS - 1) // WAYS
    assert archive.pid_of("dimse") == pid


def test_what_stays_is_seen(archive: RunningArchive) -> None:
    """The control: associations that are left open are threads and files that stay."""
    pid = archive.pid_of("dimse")
    _come_and_go(archive.dicom_port, 0)
    before = Held.by(pid)
    left = [_associated(archive.dicom_port) for _ in range(8)]
    try:
        during = Held.by(pid)
        assert during.threads >= before.threads + 7
        assert during.files >= before.files + 7
    finally:
        for peer in left:
            peer.close()
    after = _settled(pid, before)
    assert after.threads <= before.threads
    assert after.files <= before.files
