"""Videos as senders send them, dcmtk, pynetdicom and dicomweb-client, and what a viewer's list shows of them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID
from pynetdicom import AE

from pacs.storage.derived import DerivedStore, chosen_thumbnail_name
from tests.dicomweb.served import written
from tests.dicomweb.videos import mp4_instance
from tests.pixels.numbered_videos import COLUMNS, FRAMES, KINDS, ROWS, number_on, numbered_video
from tests.running_archive import RunningArchive
from tests.waiting import wait_until

DARK = FRAMES // 2 + 3
"""Black frames at the beginning: the middle one is among them."""
SHOWN = (1 + 2 * FRAMES // 3) - 1
"""The number on the next that is tried, two thirds on."""
OPTIONS = {"H.264 in MP4": "-xn", "MPEG-2 in a program stream": "-xm", "HEVC in a transport stream": "-x4"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningArchive]:
    with RunningArchive(tmp_path_factory.mktemp("videos") / "data", PACS_HTTP__WORKERS="1") as running:
        yield running


def endoscopy(kind: str, *, fragments: int = 1, table: bool = False) -> FileDataset:
    stream, uid = numbered_video(kind, dark=DARK), KINDS[kind][3]
    made = mp4_instance(Rows=ROWS, Columns=COLUMNS, NumberOfFrames=FRAMES)
    size = -(-len(stream) // fragments) + 1 & ~1
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    made.file_meta.TransferSyntaxUID = UID(uid + (".1" if fragments > 1 else ""))
    made.PixelData = encapsulate(pieces, has_bot=table)
    made["PixelData"].is_undefined_length = True
    return made


def check_shown(archive: RunningArchive, sent: FileDataset) -> None:
    study, series, instance = sent.StudyInstanceUID, sent.SeriesInstanceUID, sent.SOPInstanceUID
    # Made when the series settles, before anybody asks.
    kept = DerivedStore(archive.data / "derived")
    wait_until(lambda: kept.get("default", chosen_thumbnail_name(study, series)) is not None, 30)
    url = f"{archive.dicomweb}/studies/{study}"
    for path in ("", f"/series/{series}", f"/series/{series}/instances/{instance}"):
        assert shown(f"{url}{path}/thumbnail") == SHOWN
    frames = f"{url}/series/{series}/instances/{instance}/frames"
    assert shown(f"{frames}/{FRAMES}/rendered") == FRAMES - 1
    client = DICOMwebClient(archive.dicomweb)
    found = client.retrieve_instance(study, series, instance)
    assert found.PixelData == sent.PixelData, "and stored as sent"
    rendered = client.retrieve_instance_frames_rendered(study, series, instance, [30], media_types=("image/png",))
    with Image.open(io.BytesIO(rendered)) as picture:
        assert number_on(picture.convert("RGB")) == 29


def shown(url: str) -> int:
    answer = httpx.get(url, headers={"accept": "image/jpeg"}, timeout=60)
    assert answer.status_code == 200, answer.text
    with Image.open(io.BytesIO(answer.content)) as picture:
        return number_on(picture.convert("RGB"))


@pytest.mark.dcmtk
@pytest.mark.parametrize("kind", OPTIONS)
def test_sent_by_storescu(archive: RunningArchive, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "video.dcm"
    path.write_bytes(written(endoscopy(kind)))
    sent = archive.storescu("-R", OPTIONS[kind], str(path))
    assert sent.returncode == 0, sent.stderr
    check_shown(archive, dcmread(path))


@pytest.mark.parametrize(("fragments", "table"), [(1, True), (5, False), (5, True)])
def test_sent_by_pynetdicom(archive: RunningArchive, fragments: int, table: bool) -> None:
    made = dcmread(io.BytesIO(written(endoscopy("H.264 in a transport stream", fragments=fragments, table=table))))
    entity = AE()
    entity.add_requested_context(made.SOPClassUID, made.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", archive.dicom_port, ae_title=archive.aet)
    assert association.is_established
    try:
        assert association.send_c_store(made).Status == 0x0000
    finally:
        association.release()
    check_shown(archive, made)


def test_sent_by_dicomweb_client(archive: RunningArchive) -> None:
    made = dcmread(io.BytesIO(written(endoscopy("bare MPEG-2"))))
    DICOMwebClient(archive.dicomweb).store_instances([made])
    check_shown(archive, made)
