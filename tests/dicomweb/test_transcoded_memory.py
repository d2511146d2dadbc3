"""A whole study in another transfer syntax leaves piece by piece: memory holds a frame, however many there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import generate_uid

from pacs.decoding.workers import InThisProcess
from pacs.dicomweb.hot import Answer
from pacs.dicomweb.services import Services
from pacs.dicomweb.wado import instances_of
from pacs.settings import TranscodingSettings
from pacs.transcoding import Transcoding
from tests.dicomweb.served import DoorInMemory, archive_under, image

pytestmark = pytest.mark.alone

RLE = "1.2.840.10008.1.2.5"
FRAMES = 64
STUDY = generate_uid()
MOST_BYTES = 24 << 20
"""A frame of 512 KB, the spool's 8 MB, and what the allocator does not give back at once."""


def private_bytes() -> int:
    """Memory of this process that is no mapping of a file."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1]) << 10


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    folder = tmp_path_factory.mktemp("archive")
    with archive_under(folder) as (ingest, search, retrieve):
        door = DoorInMemory(ingest, search, retrieve)
        random = np.random.default_rng(0)
        noise = random.integers(0, 4096, (FRAMES, 512, 512), dtype="u2")
        for number in range(2):
            door.keep(
                image(
                    StudyInstanceUID=STUDY,
                    InstanceNumber=number,
                    Rows=512,
                    Columns=512,
                    BitsStored=12,
                    HighBit=11,
                    NumberOfFrames=FRAMES,
                    PixelData=noise.tobytes(),
                )
            )
        transcoding = Transcoding(
            retrieve, folder / "transcoded", TranscodingSettings(memory_bytes=0), decoding=InThisProcess()
        )
        yield Services(ingest, search, retrieve, transcoding)


def answer(services: Services, accept: str) -> Answer:
    scope = {
        "path_params": {"study": STUDY},
        "headers": [(b"accept", accept.encode())],
        "query_string": b"",
        "server": ("127.0.0.1", 80),
        "scheme": "http",
    }
    return instances_of(services)(scope)


def most_held(pieces: Iterable[bytes | memoryview]) -> tuple[int, int]:
    """Bytes that went by, and the most that this process had more than before while they did."""
    before, most, length = private_bytes(), 0, 0
    for piece in pieces:
        length += len(piece)
        most = max(most, private_bytes() - before)
    return length, most


@pytest.mark.parametrize(
    "accept",
    [
        "application/zip",
        f"application/zip; transfer-syntax={RLE}",
        f'multipart/related; type="application/dicom"; transfer-syntax={RLE}',
    ],
)
def test_memory_does_not_grow_with_the_study(services: Services, accept: str) -> None:
    length, most = most_held(answer(services, accept).pieces)
    assert length > 40 << 20
    assert most < MOST_BYTES


def test_the_measure_sees_what_is_held(services: Services) -> None:
    """The control: the same answer joined."""
    pieces = answer(services, "application/zip").pieces
    held: list[bytes] = []
    _, most = most_held(held.append(bytes(piece)) or piece for piece in pieces)  # type: ignore[func-returns-value]
    assert most > 1.5 * MOST_BYTES
