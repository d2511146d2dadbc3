"""Decoders of a whole archive: they are there, they end with whom they serve, and no death of one is seen outside."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import RLELossless

from tests.dicomweb.served import image, multipart_body, written
from tests.running_archive import RunningArchive
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def shown() -> FileDataset:
    """Compressed: pictures of plain samples need no decoder."""
    squeezed = image()
    squeezed.compress(RLELossless, generate_instance_uid=False)
    return squeezed


@pytest.fixture
def archive(tmp_path: Path, shown: FileDataset) -> Iterator[RunningArchive]:
    with RunningArchive(tmp_path / "data", PACS_HTTP__WORKERS="1", PACS_DECODING__WORKERS="1") as running:
        body, headers = multipart_body([written(shown)])
        assert httpx.post(f"{running.dicomweb}/studies", content=body, headers=headers, timeout=60).status_code == 200
        assert picture(running, shown).status_code == 200
        yield running


_CENTERS = itertools.count(1)
"""Another window each time: a picture that is remembered needs no decoder either."""


def picture(archive: RunningArchive, shown: FileDataset) -> httpx.Response:
    path = f"studies/{shown.StudyInstanceUID}/series/{shown.SeriesInstanceUID}/instances/{shown.SOPInstanceUID}"
    url = f"{archive.dicomweb}/{path}/rendered?window={next(_CENTERS)},100"
    return httpx.get(url, headers={"accept": "image/jpeg"}, timeout=60)


def below(process: int) -> set[int]:
    """Its children and theirs."""
    found = children(process)
    return found.union(*map(below, found))


def children(process: int) -> set[int]:
    found: set[int] = set()
    with contextlib.suppress(OSError):  # it ends, or one of its threads does
        for task in Path(f"/proc/{process}/task").iterdir():
            with contextlib.suppress(OSError):
                found |= set(map(int, (task / "children").read_text().split()))
    return found


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_nothing_stays_of_an_archive_or_a_web_worker_that_was_killed(
    archive: RunningArchive, shown: FileDataset
) -> None:
    web = archive.pid_of("web-1")
    (nursery,) = children(web)
    (decoder,) = children(nursery)
    os.kill(decoder, signal.SIGKILL)
    wait_until(lambda: not is_running(decoder))
    assert picture(archive, shown).status_code == 200, "another decoder"
    decoders = below(web)
    assert nursery in decoders
    assert decoder not in decoders
    os.kill(web, signal.SIGKILL)
    wait_until(lambda: not any(map(is_running, decoders)))
    wait_until(lambda: archive.pid_of("web-1") != web)
    archive.wait_until_ready()
    assert picture(archive, shown).status_code == 200, "another web worker"
    assert archive.process is not None
    everything = below(archive.process.pid)
    assert len(everything) >= 5, "the control: doors, background, nursery, decoder are seen"
    archive.kill()
    wait_until(lambda: not any(map(is_running, everything)))
