"""What hostile and very large requests cost a real archive: each test prints time and memory.

Depth, deflated zeros, files in disguise, the largest negotiation there is; each beside what an ordinary one costs.
"""

from __future__ import annotations

import io
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from pydicom import dcmread
from pydicom.uid import AllTransferSyntaxes
from pynetdicom.sop_class import _STORAGE_CLASSES

from benchmarks.synthetic_ct import Slice, make_series, part10
from pacs.dimse.messages.command_builders import c_store_rq
from pacs.dimse.upper_layer.events import AssociationAccepted
from pacs.dimse.upper_layer.items import ProposedContext
from tests.dimse.served import CT, EXPLICIT, RawPeer
from tests.running_archive import RunningArchive

pytestmark = [pytest.mark.alone, pytest.mark.real_time(0.5)]

DEFLATED = "1.2.840.10008.1.2.1.99"
POLYGLOTS = {
    "a program": b"\x7fELF\x02\x01\x01".ljust(128, b"\x90"),
    "a Windows program": b"MZ\x90\0".ljust(60, b"\0") + struct.pack("<I", 128) + b"\0" * 64,
    "a page": b"<html><script>alert(document.domain)</script><!--".ljust(128),
    "a picture": b"GIF89a".ljust(128, b"\0"),
    "an archive": b"PK\x03\x04".ljust(128, b"\0"),
    "a shell script": b"#!/bin/sh\nexec rm -rf /\n".ljust(128, b"\n"),
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningArchive]:
    with RunningArchive(tmp_path_factory.mktemp("costs") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def images() -> Iterator[Slice]:
    return iter(make_series(12, seed=11))


def tell(figures: str) -> None:
    sys.stderr.write(f"{figures}\n")


def resident_bytes(archive: RunningArchive, role: str = "dimse") -> int:
    status = Path(f"/proc/{archive.pid_of(role)}/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))


def connected(archive: RunningArchive) -> RawPeer:
    server: Any = SimpleNamespace(address=("127.0.0.1", archive.dicom_port))
    return RawPeer(server)


def stored(archive: RunningArchive, image: Slice, data_set: bytes, syntax: str = EXPLICIT) -> tuple[int, float]:
    """Status of a C-STORE, and the milliseconds until it came."""
    with connected(archive) as peer:
        peer.associate(contexts=(ProposedContext(1, CT, (syntax,)),))
        started = time.perf_counter()
        answer = peer.ask(1, c_store_rq(1, CT, image.sop_instance_uid), data_set)
        took = 1000 * (time.perf_counter() - started)
        peer.release()
    assert answer.status is not None
    return answer.status, took


def is_kept(archive: RunningArchive, image: Slice) -> bool:
    found = httpx.get(f"{archive.dicomweb}/instances", params={"SOPInstanceUID": image.sop_instance_uid})
    return found.status_code == 200 and bool(found.json())


def before_pixels(image: Slice, inserted: bytes) -> bytes:
    at = image.data_set.index(b"\xe0\x7f\x10\0OW")
    return image.data_set[:at] + inserted + image.data_set[at:]


def nested(depth: int, *, is_ended: bool) -> bytes:
    """Private sequences in each other, of undefined length."""
    begin = struct.pack("<HH2sHI", 0x0029, 0x1010, b"SQ", 0, 0xFFFFFFFF) + b"\xfe\xff\0\xe0\xff\xff\xff\xff"
    end = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    return begin * depth + (end * depth if is_ended else b"")


@pytest.mark.parametrize("is_ended", [True, False])
def test_ten_thousand_deep(archive: RunningArchive, images: Iterator[Slice], is_ended: bool) -> None:
    image = next(images)
    status, ordinary_ms = stored(archive, image, image.data_set)
    assert status == 0
    before = resident_bytes(archive)
    deep = next(images)
    status, took_ms = stored(archive, deep, before_pixels(deep, nested(10_000, is_ended=is_ended)))
    grown = resident_bytes(archive) - before
    tell(f"10,000 deep: status {status:#06x} in {took_ms:.1f} ms ({ordinary_ms:.1f} ordinary), {grown >> 20} MB grown")
    assert status != 0
    assert not is_kept(archive, deep)
    assert took_ms < ordinary_ms + 2_000
    assert grown < 32 << 20


def test_a_gigabyte_of_deflated_zeros(archive: RunningArchive, images: Iterator[Slice]) -> None:
    image = next(images)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    at = image.data_set.index(b"\xe0\x7f\x10\0OW")
    bomb = deflater.compress(image.data_set[:at] + struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW", 0, 1 << 30))
    for _ in range(64):
        bomb += deflater.compress(bytes(16 << 20))
    bomb += deflater.flush()
    before = resident_bytes(archive)
    status, took_ms = stored(archive, image, bomb, DEFLATED)
    grown = resident_bytes(archive) - before
    tell(f"1 GB deflated to {len(bomb) >> 10} KB: status {status:#06x} in {took_ms:.0f} ms, {grown >> 20} MB grown")
    assert status != 0
    assert not is_kept(archive, image)
    # `ingest.max_inflated_bytes` is 256 MB; what is inflated is thrown away at the limit.
    assert grown < 384 << 20
    assert took_ms < 20_000


@pytest.mark.parametrize("disguise", POLYGLOTS)
def test_a_preamble_is_not_kept(archive: RunningArchive, disguise: str) -> None:
    (image,) = make_series(1, seed=len(disguise))
    file = POLYGLOTS[disguise] + part10(image)[128:]
    assert dcmread(io.BytesIO(file)).preamble == POLYGLOTS[disguise], "pydicom, as a control, keeps it"
    answer = httpx.post(f"{archive.dicomweb}/studies", content=file, headers={"Content-Type": "application/dicom"})
    assert answer.status_code == 200, answer.text
    url = f"{archive.dicomweb}/studies/{image.study_instance_uid}/series/{image.series_instance_uid}"
    got = httpx.get(
        f"{url}/instances/{image.sop_instance_uid}",
        headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'},
    )
    assert got.status_code == 200
    assert got.headers["x-content-type-options"] == "nosniff"
    body = got.content[got.content.index(b"\r\n\r\n") + 4 :]
    assert body[:132] == bytes(128) + b"DICM"
    assert image.frame in body
    assert POLYGLOTS[disguise].rstrip(b"\0 \n") not in got.content
    kept = b"".join(path.read_bytes() for path in (archive.data / "objects").rglob("*") if path.is_file())
    assert image.sop_instance_uid.encode() in kept
    assert POLYGLOTS[disguise].rstrip(b"\0 \n")[:40] not in kept or len(POLYGLOTS[disguise].rstrip(b"\0 \n")) < 12


def test_every_storage_class_in_every_transfer_syntax_is_accepted_in_milliseconds(archive: RunningArchive) -> None:
    syntaxes = tuple(str(uid) for uid in AllTransferSyntaxes)
    classes = [str(uid) for uid in _STORAGE_CLASSES.values()][:128]
    contexts = tuple(ProposedContext(2 * number + 1, uid, syntaxes) for number, uid in enumerate(classes))
    taken: dict[str, list[float]] = {"1 context": [], "128 contexts": []}
    for _ in range(15):
        for name, proposed in (("1 context", contexts[:1]), ("128 contexts", contexts)):
            with connected(archive) as peer:
                started = time.perf_counter()
                accepted = peer.associate(contexts=proposed)
                taken[name].append(1000 * (time.perf_counter() - started))
                assert isinstance(accepted, AssociationAccepted)
                assert all(result.result == 0 for result in accepted.accept.contexts)
                peer.release()
    median = {name: sorted(ms)[len(ms) // 2] for name, ms in taken.items()}
    tell(
        f"association accepted: {median['1 context']:.1f} ms with 1 context, {median['128 contexts']:.1f} ms with 128 "
        f"contexts of {len(syntaxes)} transfer syntaxes each"
    )
    assert median["128 contexts"] < 100
