"""OHIF as published, on this archive: its list, a CT and an MR study, and their pixels on the screen."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian

from pacs.app import open_archive, web_app
from pacs.model import Principal, Source
from pacs.settings import Settings
from tests.browser.conftest import Complaints
from tests.browser.ohif import WithOhif, published_build
from tests.browser.screen import Grey, expected, looks_like
from tests.dicomweb.served import serving, written
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

CT, MR = "2.25.2001", "2.25.2002"
SLICES = 100
ONLY_THE_IMAGE = "body * { visibility: hidden !important } canvas.cornerstone-canvas { visibility: visible !important }"


def made(name: str, study: str, slices: int, **attributes: object) -> list[Dataset]:
    """A series of a real slice, turned and shifted so that no two are alike; from the head down, as OHIF sorts."""
    images = []
    for index in range(slices):
        image = dcmread(get_testdata_file(name))
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        for keyword, value in attributes.items():
            setattr(image, keyword, value)
        image.StudyInstanceUID, image.SeriesInstanceUID = study, f"{study}.1"
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"{study}.1.{index + 1}"
        image.StudyDate, image.StudyTime, image.InstanceNumber = "20240501", "101010", index + 1
        image.ImageOrientationPatient, image.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-100, -100, -3 * index]
        turned = np.roll(np.rot90(image.pixel_array, index), 7 * index, axis=0)
        image.PixelData = np.ascontiguousarray(turned).tobytes()
        images.append(image)
    return images


@pytest.fixture(scope="module")
def ct() -> list[Dataset]:
    """As Korean hospitals have it: the name in Hangul is the alphabetic one, in ISO 2022 IR 149."""
    korean = {"SpecificCharacterSet": ["", "ISO 2022 IR 149"], "PatientName": "홍^길동", "StudyDescription": "흉부 CT"}
    return made("CT_small.dcm", CT, SLICES, PatientID="KR-1", WindowCenter=40, WindowWidth=400, **korean)


@pytest.fixture(scope="module")
def mr() -> list[Dataset]:
    names = {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Kim^Su=金^秀=김^수"}
    return made("MR_small.dcm", MR, 5, PatientID="KR-2", WindowCenter=600, WindowWidth=1600, **names)


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory, ct: list[Dataset], mr: list[Dataset]) -> Iterator[str]:
    build = published_build()
    data: Path = tmp_path_factory.mktemp("ohif") / "archive"
    archive = open_archive(Settings(data=data))
    try:
        for image in (*ct, *mr):
            archive.ingest.store_file(Source(Principal("test"), "import"), written(image))
        with serving(WithOhif(web_app(archive, lambda: True), build)) as address:
            yield address
    finally:
        archive.close()


@pytest.fixture
def viewer(chromium: Browser, origin: str, complaints: Complaints) -> Iterator[Page]:
    context = chromium.new_context(base_url=origin, viewport={"width": 1280, "height": 800}, locale="en-US")
    context.set_default_timeout(120_000)
    context.add_init_script("localStorage.setItem('shownTours', JSON.stringify(['basicViewerTour']))")
    page = context.new_page()
    complaints.listen(page)
    yield page
    context.close()


def refused(complaints: Complaints) -> list[str]:
    """What the archive answered with 4xx or 5xx; OHIF's own remarks are its own."""
    return [complaint for complaint in complaints if re.match(r"[45]\d\d: .*/dicomweb/", complaint)]


def index_shown(page: Page) -> int:
    script = "cornerstone.getRenderingEngines()?.[0]?.getViewports()[0]?.getCurrentImageIdIndex?.() ?? -1"
    return int(page.evaluate(script))


def screen(page: Page) -> Grey:
    canvas = page.locator("canvas.cornerstone-canvas").first
    return np.asarray(Image.open(io.BytesIO(canvas.screenshot())).convert("L"), dtype=np.float64)


def soon(page: Page, image: Dataset, limit_s: float = PATIENCE_S) -> bool:
    """Whether the screen shows `image` within the limit."""
    deadline = time.monotonic() + limit_s
    while True:
        seen = screen(page)
        if looks_like(seen, expected(image, *seen.shape)):
            return True
        if time.monotonic() > deadline:
            return False


def opened(page: Page, study: str) -> None:
    page.goto(f"/viewer?StudyInstanceUIDs={study}", wait_until="commit")
    page.locator("canvas.cornerstone-canvas").first.wait_for()
    page.add_style_tag(content=ONLY_THE_IMAGE)


def test_the_list_a_ct_and_an_mr_study(
    viewer: Page, ct: list[Dataset], mr: list[Dataset], complaints: Complaints
) -> None:
    viewer.goto("/", wait_until="commit")
    row = viewer.locator("tr", has_text="홍")
    row.wait_for()
    expect(row).to_contain_text("길동")
    expect(row).to_contain_text("흉부 CT")
    expect(row).to_contain_text(str(SLICES))
    expect(viewer.locator("tr", has_text="Kim")).to_contain_text("MR")

    opened(viewer, CT)
    assert soon(viewer, ct[0])
    seen = screen(viewer)
    # The controls: what is not on the screen is not seen there.
    assert not looks_like(seen[:, ::-1], expected(ct[0], *seen.shape))
    assert not any(looks_like(seen, expected(other, *seen.shape)) for other in ct[1:9])
    scroll_to_the_end(viewer, ct)

    opened(viewer, MR)
    assert soon(viewer, mr[0])
    assert refused(complaints) == []


def scroll_to_the_end(page: Page, images: list[Dataset]) -> None:
    """Image by image, as a wheel does; some are compared with what is stored."""
    canvas = page.locator("canvas.cornerstone-canvas").first
    canvas.hover()
    for index in range(1, len(images)):
        page.mouse.wheel(0, 100)
        while index_shown(page) < index:
            page.wait_for_timeout(5)
        if index in (1, len(images) // 2, len(images) - 1):
            assert soon(page, images[index]), index
    assert index_shown(page) == len(images) - 1


def test_frames_of_nothing_are_not_taken_for_a_slice(viewer: Page, ct: list[Dataset]) -> None:
    """The control of the pixel test: the same viewer fed with another slice's frames must fail its comparison."""
    other = np.roll(ct[0].pixel_array, 40, axis=1).astype("<i2").tobytes()
    kind = f"application/octet-stream; transfer-syntax={ExplicitVRLittleEndian}"

    def answer(route: Route) -> None:
        head = f"--B\r\nContent-Type: {kind}\r\n\r\n".encode()
        content_type = 'multipart/related; type="application/octet-stream"; boundary=B'
        route.fulfill(status=200, content_type=content_type, body=head + other + b"\r\n--B--\r\n")

    viewer.route(re.compile(r"/frames/\d+$"), answer)
    opened(viewer, CT)
    deadline = time.monotonic() + 60
    while screen(viewer).std() < 10 and time.monotonic() < deadline:
        viewer.wait_for_timeout(50)
    assert screen(viewer).std() > 10
    assert not soon(viewer, ct[0], limit_s=1)
