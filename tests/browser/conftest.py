"""A running archive, a CT study in it, and Debian's Chromium looking at it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, expect, sync_playwright
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE

from pacs.portal.built_files import BUILT
from tests.patience import PATIENCE_S
from tests.running_archive import RunningArchive

_CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # No graphics card in CI: WebGL in software.
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
SLICES = 5

expect.set_options(timeout=1000 * PATIENCE_S)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningArchive]:
    with RunningArchive(tmp_path_factory.mktemp("browser") / "archive") as running:
        yield running


@pytest.fixture(scope="session")
def send(archive: RunningArchive) -> Callable[[list[Dataset | Path]], None]:
    """Sends data sets or files over DICOM, with another project's software."""

    def send_all(things: list[Dataset | Path]) -> None:
        sender = AE("MODALITY")
        headers = [thing if isinstance(thing, Dataset) else dcmread(thing, stop_before_pixels=True) for thing in things]
        for kind in {(header.SOPClassUID, header.file_meta.TransferSyntaxUID) for header in headers}:
            sender.add_requested_context(*kind)
        association = sender.associate("127.0.0.1", archive.dicom_port, ae_title=archive.aet)
        assert association.is_established
        try:
            for thing in things:
                assert association.send_c_store(thing).Status == 0x0000
        finally:
            association.release()

    return send_all


def ct_slices() -> list[Dataset]:
    """A CT series of a Korean patient: a real slice, turned and shifted so that no two images are alike."""
    slices = []
    for index in range(SLICES):
        image = dcmread(get_testdata_file("CT_small.dcm"))
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SpecificCharacterSet = "ISO_IR 192"
        image.PatientName = "Hong^Gildong=洪^吉洞=홍^길동"
        image.PatientID = "KR-0001"
        image.AccessionNumber = "A-1"
        image.StudyDescription = "흉부 CT"
        image.SeriesDescription = "CHEST 5mm"
        image.StudyInstanceUID = "2.25.1001"
        image.SeriesInstanceUID = "2.25.1001.2"
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"2.25.1001.2.{index + 1}"
        image.SeriesNumber = 2
        image.InstanceNumber = index + 1
        image.ImagePositionPatient = [-100, -100, 5 * index]
        image.WindowCenter, image.WindowWidth = 40, 400
        turned = np.roll(np.rot90(image.pixel_array, index), 9 * index, axis=0)
        image.PixelData = np.ascontiguousarray(turned).tobytes()
        slices.append(image)
    return slices


@pytest.fixture(scope="session")
def ct(send: Callable[[list[Dataset | Path]], None]) -> list[Dataset]:
    slices = ct_slices()
    send([*slices])
    return slices


# Not for the session: while Playwright runs, its event loop is this thread's, and no other test could run one.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    executable = os.environ.get("PACS_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("no Chromium here; install Debian's `chromium`, or name one in PACS_CHROMIUM")
    if not (BUILT / "index.html").is_file():
        pytest.fail("the viewer is not built: run `npm ci && npm run build` in viewer/")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=_CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


class Complaints(list[str]):
    """What the page should not have said: script errors, console errors and warnings, refused requests."""

    def listen(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.append(f"script: {error}"))
        page.on("console", self._said)
        page.on("response", self._answered)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.append(f"{message.type}: {message.text}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.append(f"{response.status}: {response.url}")


@pytest.fixture
def complaints() -> Complaints:
    return Complaints()


@pytest.fixture
def page(chromium: Browser, archive: RunningArchive, complaints: Complaints) -> Iterator[Page]:
    """A fresh profile at the archive's address; what it complains about is in `complaints`."""
    context = chromium.new_context(base_url=archive.origin, viewport={"width": 1280, "height": 800}, locale="en-US")
    context.set_default_timeout(1000 * PATIENCE_S)
    opened = context.new_page()
    complaints.listen(opened)
    yield opened
    context.close()
