"""A thousand peers that do nothing, or next to nothing, beside one that stores; a real archive in its own processes."""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.dimse_load import store
from benchmarks.synthetic_ct import make_series
from pacs.dimse.messages.command_builders import c_store_rq
from pacs.dimse.upper_layer import pdu
from pacs.dimse.upper_layer.items import ProposedContext, UserInformation
from pacs.dimse.upper_layer.outgoing_data import data_pdus
from tests.running_archive import RunningArchive

pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]

PEERS = 1000
ROUNDS = 12 if os.environ.get("PACS_SOAK") else 3
IMAGES = 120
CT, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"


def _request(calling: str) -> bytes:
    contexts = (ProposedContext(1, CT, (EXPLICIT,)),)
    return pdu.encode_associate_rq(pdu.AssociateRequest("PACS", calling, contexts, UserInformation(16384, "1.2.3")))


_REQUEST = _request("SLOW")
_COMMAND = b"".join(
    b"".join(parts) for parts in data_pdus(1, True, [c_store_rq(1, CT, "1.2.3").encode()], 16384)
)  # fmt: skip
_BEGUN = _COMMAND + pdu.HEADER.pack(4, 16006) + pdu.PDV_HEADER.pack(16002, 1, 0)


def _resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")))


def _p99_ms(archive: RunningArchive, seed: int) -> float:
    figures = store("127.0.0.1", archive.dicom_port, archive.aet, make_series(IMAGES, seed=seed), 1)
    assert figures.failures == 0
    return figures.acknowledgement_ms[int(0.99 * len(figures.acknowledgement_ms))]


def _slow_peer(archive: RunningArchive, number: int) -> socket.socket:
    """By turns silent, in the middle of its request, associated and idle, in the middle of an instance."""
    peer = socket.create_connection(("127.0.0.1", archive.dicom_port), timeout=30)
    if number % 4 == 1:
        peer.sendall(_REQUEST[:100])
    elif number % 4 >= 2:
        peer.sendall(_REQUEST)
        assert peer.recv(1000)[:1] == b"\2"
        if number % 4 == 3:
            peer.sendall(_BEGUN)
    return peer


def test_a_thousand_slow_peers_beside_an_honest_sender(tmp_path: Path) -> None:
    # Nothing may end them while it is measured: neither the limits on associations nor the time-outs.
    limits = {
        "PACS_DICOM__MAX_ASSOCIATIONS": "2000",
        "PACS_DICOM__MAX_ASSOCIATIONS_PER_PEER": "2000",
        "PACS_DICOM__ACSE_TIMEOUT_S": "600",
        "PACS_DICOM__DATA_TIMEOUT_S": "600",
    }
    with ExitStack() as stack:
        archive = stack.enter_context(RunningArchive(tmp_path / "archive", **limits))
        pid = archive.pid_of("dimse")
        _p99_ms(archive, 0)
        quiet = min(_p99_ms(archive, number) for number in range(1, ROUNDS + 1))
        before = _resident_bytes(pid)
        peers = [stack.enter_context(_slow_peer(archive, number)) for number in range(PEERS)]
        beside = float("inf")
        for number in range(ROUNDS + 1, 2 * ROUNDS + 1):
            for peer in peers[3::4]:
                peer.send(b"\0")
            beside = min(beside, _p99_ms(archive, number))
        grown = _resident_bytes(pid) - before
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
        figures = f"p99 alone {quiet:.1f} ms, beside {PEERS} slow peers {beside:.1f} ms; {grown / 2**20:.0f} MB grown"
        sys.stderr.write(figures + "\n")
        assert threads > 0.9 * PEERS, "the slow peers are really there"
        assert beside <= 2 * quiet + 2
        assert grown <= 64 << 20


def test_slow_peers_of_many_names_do_not_keep_an_honest_sender_out(tmp_path: Path) -> None:
    """With the limits as they come: 200 associations, each name another peer."""
    with ExitStack() as stack:
        archive = stack.enter_context(RunningArchive(tmp_path / "archive"))
        accepted = 0
        for number in range(300):
            peer = stack.enter_context(socket.create_connection(("127.0.0.1", archive.dicom_port), timeout=30))
            peer.sendall(_request(f"SLOW{number}"))
            is_accepted = peer.recv(1000)[:1] == b"\2"
            accepted += is_accepted
            if is_accepted and number % 2:
                peer.sendall(_BEGUN)
        assert accepted >= 200, "the house is full"
        kept_out, until = 0, time.monotonic() + 20
        while not _is_let_in(archive):
            kept_out += 1
            assert time.monotonic() < until
            time.sleep(0.1)
        assert store("127.0.0.1", archive.dicom_port, archive.aet, make_series(20, seed=1), 4).failures == 0
    sys.stderr.write(f"{accepted} associations held for nothing; refused {kept_out} times\n")


def _is_let_in(archive: RunningArchive) -> bool:
    with socket.create_connection(("127.0.0.1", archive.dicom_port), timeout=30) as honest:
        honest.sendall(_request("HONEST"))
        return honest.recv(1000)[:1] == b"\2"
