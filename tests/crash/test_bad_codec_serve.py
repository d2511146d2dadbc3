"""`pacs serve` with a codec that crashes, hangs or blows up: its images are answered honestly, and everybody else's as
ever."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import imagecodecs
import numpy as np
import pytest
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLSLossless

from tests.dicomweb.served import image, multipart_body, written
from tests.running_archive import RunningArchive

FAULTS = ("CRASH", "HANG", "BOMB")
BAD_CODEC = os.pathsep.join([str(Path(__file__).with_name("bad_codec")), os.environ.get("PYTHONPATH", "")])
PIXELS = np.add.outer(np.arange(64), np.arange(48)).astype("<u2")
RESOURCES = {
    "/rendered": "image/png",
    "/frames/1": "application/octet-stream",
    "/frames/1 ": 'multipart/related; type="image/jp2"',
    "": "application/dicom; transfer-syntax=1.2.840.10008.1.2.1",
    "/thumbnail": "image/jpeg",
}
"""Everything that decodes."""
SOME_HANG = ("/rendered", "")
"""Each one costs its processor time."""


def frame(fault: str = "") -> bytes:
    """A JPEG-LS frame with a comment."""
    stream = bytes(imagecodecs.jpegls_encode(PIXELS))
    comment = b"\xff\xfe" + (2 + len(fault)).to_bytes(2, "big") + fault.encode()
    return stream[:2] + comment + stream[2:]


def stored_as(fault: str = "") -> FileDataset:
    made = image(Rows=64, Columns=48, PixelData=encapsulate([frame(fault)]))
    made["PixelData"].is_undefined_length = True
    made.file_meta.TransferSyntaxUID = JPEGLSLossless
    return made


def path_of(stored: FileDataset) -> str:
    return f"/studies/{stored.StudyInstanceUID}/series/{stored.SeriesInstanceUID}/instances/{stored.SOPInstanceUID}"


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[RunningArchive]:
    settings = {"PACS_HTTP__WORKERS": "1", "PACS_DECODING__WORKERS": "2", "PACS_DECODING__PROCESSOR_S": "0.5"}
    with RunningArchive(tmp_path / "data", PYTHONPATH=BAD_CODEC, **settings) as running:
        yield running


class Reader(threading.Thread):
    """Another client: frames, pictures and transcoded frames of a good image, none of them asked for before."""

    def __init__(self, base: str, stored: FileDataset) -> None:
        super().__init__()
        self.answers: Counter[tuple[str, int]] = Counter()
        self.enough = threading.Event()
        self._base, self._path = base, path_of(stored)

    def run(self) -> None:
        with httpx.Client(base_url=self._base, timeout=60) as client:
            for number in itertools.count(1):
                for name, accept in (
                    ("/frames/1", "image/jls"),
                    (f"/rendered?window={number},{number + 1}", "image/jpeg"),
                ):
                    answer = client.get(self._path + name, headers={"accept": accept})
                    self.answers[name.partition("?")[0], answer.status_code] += 1
                if self.enough.is_set():
                    return


def test_a_bad_image_is_refused_and_everybody_else_goes_on(archive: RunningArchive) -> None:
    good, bad = stored_as(), {fault: stored_as(fault) for fault in FAULTS}
    body, headers = multipart_body([written(each) for each in (good, *bad.values())])
    assert httpx.post(f"{archive.dicomweb}/studies", content=body, headers=headers, timeout=60).status_code == 200
    web = archive.pid_of("web-1")
    reader = Reader(archive.dicomweb, good)
    reader.start()
    try:
        for (fault, stored), (resource_path, accept) in itertools.product(bad.items(), RESOURCES.items()):
            if fault == "HANG" and resource_path not in SOME_HANG:
                continue
            url = f"{archive.dicomweb}{path_of(stored)}{resource_path.strip()}"
            before = reader.answers.total()
            answer = httpx.get(url, headers={"accept": accept}, timeout=60)
            assert answer.status_code == 406, (fault, resource_path, answer.text)
            assert answer.headers["content-type"] == "application/json"
            assert answer.json()["error"]
            assert answer.json()["hint"]
            if fault == "HANG":
                assert reader.answers.total() > before, "others are answered while it hangs"
        for stored in bad.values():
            answer = httpx.get(f"{archive.dicomweb}{path_of(stored)}", headers={"accept": "application/dicom"})
            assert answer.status_code == 200, "what cannot be decoded can be had as stored"
            assert frame(next(fault for fault, each in bad.items() if each is stored))[:40] in answer.content
    finally:
        reader.enough.set()
        reader.join(60)
    assert {status for _, status in reader.answers} == {200}
    assert {name for name, _ in reader.answers} == {"/frames/1", "/rendered"}
    assert archive.pid_of("web-1") == web
    reasons = " ".join(event["why"] for event in archive.events("decoder replaced"))
    assert "SIGSEGV" in reasons
    assert "processor time" in reasons


@pytest.mark.parametrize(("fault", "end"), [("CRASH", signal.SIGSEGV), ("HANG", signal.SIGXCPU)])
def test_control_without_a_decoder_the_process_is_lost(fault: str, end: signal.Signals) -> None:
    code = (
        "import sys; from pacs.pixels.decode import decode; from pacs.pixels.description import PixelDescription; "
        "decode(PixelDescription('1.2.840.10008.1.2.4.80', 64, 48, is_encapsulated=True), [sys.stdin.buffer.read()])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, "control"],
        input=frame(fault),
        env={**os.environ, "PYTHONPATH": BAD_CODEC},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (4, 5)),
        capture_output=True,
        timeout=200,
    )
    assert run.returncode == -end, run.stderr
    harmless = subprocess.run(
        [sys.executable, "-c", code, "control"], input=frame(), env={**os.environ, "PYTHONPATH": BAD_CODEC}, timeout=200
    )
    assert harmless.returncode == 0
