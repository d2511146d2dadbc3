"""A viewer on an origin of its own, in Chromium: what its pages see of the archive, and that others see nothing."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from pacs.dicomweb.resources import ResourceKey
from tests.browser.conftest import Complaints
from tests.browser.ohif import Ohif, published_build
from tests.browser.screen import expected, looks_like
from tests.browser.test_ohif import made, opened, refused, screen, soon
from tests.dicomweb.served import multipart_body, serving, written
from tests.dicomweb.videos import mp4_instance
from tests.running_archive import RunningArchive

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

CT, VIDEO = "2.25.2101", "2.25.2102"
_ASKED = """async ([url, options]) => {
    try {
        const answer = await fetch(url, options);
        const body = await answer.arrayBuffer();
        return [answer.status, body.byteLength, Object.fromEntries(answer.headers)];
    } catch (problem) {
        return [0, 0, {}];
    }
}"""
_SHOWN = """([kind, url, begun]) => new Promise((resolve) => {
    const shown = document.createElement(kind);
    shown.addEventListener(begun, () => resolve(true));
    shown.addEventListener('error', () => resolve(false));
    shown.src = url;
    document.body.append(shown);
})"""
_SOUGHT = """(seconds) => new Promise((resolve) => {
    const video = document.querySelector('video');
    video.addEventListener('seeked', () => resolve([video.currentTime, video.duration, video.videoWidth]));
    video.currentTime = seconds;
})"""


class Elsewhere:
    """A running archive, and two viewers on other sites than it: one is named in its settings."""

    def __init__(self, archive: RunningArchive, viewer: str, stranger: str) -> None:
        self.archive, self.viewer, self.stranger = archive, viewer, stranger
        names = {"PatientID": "KR-1", "PatientName": "Hong^Gildong"}
        self.ct = made("CT_small.dcm", CT, 5, WindowCenter=40, WindowWidth=400, **names)
        self.video = mp4_instance(StudyInstanceUID=VIDEO)
        body, headers = multipart_body([written(each) for each in (*self.ct, self.video)])
        answer = httpx.post(f"{archive.dicomweb}/studies", content=body, headers=headers)
        assert answer.status_code == 200, answer.text

    def url(self, instance: Any, below: str = "") -> str:
        key = ResourceKey(instance.StudyInstanceUID, instance.SeriesInstanceUID, instance.SOPInstanceUID)
        return f"{self.archive.dicomweb}{key.path}{below}"


def at_another_site(address: str) -> str:
    """The same server under another name: for browsers another site, and not only another port."""
    return address.replace("127.0.0.1", "localhost")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    ohif = Ohif(published_build())
    with serving(ohif) as named, serving(ohif) as unnamed:
        viewer = at_another_site(named)
        folder = tmp_path_factory.mktemp("elsewhere") / "archive"
        with RunningArchive(folder, PACS_HTTP__VIEWER_ORIGINS=f'["{viewer}"]', PACS_HTTP__DELETE="true") as archive:
            ohif.dicomweb = archive.dicomweb
            yield Elsewhere(archive, viewer, at_another_site(unnamed))


@pytest.fixture
def page(chromium: Browser, elsewhere: Elsewhere, complaints: Complaints) -> Iterator[Page]:
    context = chromium.new_context(base_url=elsewhere.viewer, viewport={"width": 1280, "height": 800}, locale="en-US")
    context.set_default_timeout(60_000)
    context.add_init_script("localStorage.setItem('shownTours', JSON.stringify(['basicViewerTour']))")
    opened_page = context.new_page()
    complaints.listen(opened_page)
    yield opened_page
    context.close()


def asked(page: Page, url: str, **options: Any) -> tuple[int, int, dict[str, str]]:
    """Status (0: the page may not know), length and the header fields that the page may see."""
    status, length, fields = page.evaluate(_ASKED, [url, options])
    return status, length, fields


def test_ohif_on_an_origin_of_its_own_shows_a_ct(elsewhere: Elsewhere, page: Page, complaints: Complaints) -> None:
    opened(page, CT)
    assert soon(page, elsewhere.ct[0])
    seen = screen(page)
    assert not looks_like(seen[:, ::-1], expected(elsewhere.ct[0], *seen.shape)), "the control"
    assert refused(complaints) == []
    assert not [said for said in complaints if "CORS" in said or "NotSameOrigin" in said]


def test_ohif_on_an_origin_of_its_own_plays_a_video(elsewhere: Elsewhere, page: Page) -> None:
    media: list[int] = []
    page.on("response", lambda answer: media.append(answer.status) if answer.request.resource_type == "media" else None)
    page.goto(f"/viewer?StudyInstanceUIDs={VIDEO}", wait_until="commit")
    page.locator(".cornerstone-viewport-element").first.wait_for()
    deadline = time.monotonic() + 60
    while not is_of_the_film(page) and time.monotonic() < deadline:
        page.wait_for_timeout(100)
    assert is_of_the_film(page)
    assert set(media) == {206}


def is_of_the_film(page: Page) -> bool:
    """Whether most of the viewport is as red or as blue as nothing else on OHIF's page is."""
    shot = page.locator(".cornerstone-viewport-element").first.screenshot()
    red, green, blue = np.moveaxis(np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), dtype=int), 2, 0)
    is_bright = (green < 60) & ((red > 200) | (blue > 200))
    return float(is_bright.mean()) > 0.5


def test_its_page_reads_every_answer_and_what_stands_over_it(elsewhere: Elsewhere, page: Page) -> None:
    page.goto("/empty")
    frame, ours = elsewhere.url(elsewhere.ct[0], "/frames/1"), elsewhere.archive.dicomweb
    status, length, fields = asked(
        page, frame, headers={"Accept": "application/octet-stream", "Authorization": "Bearer x"}
    )
    assert (status, length) == (200, elsewhere.ct[0].Rows * elsewhere.ct[0].Columns * 2)
    assert fields["etag"] and fields["accept-ranges"] == "bytes"
    part = {"Accept": "application/octet-stream", "If-Range": fields["etag"]}
    status, length, fields = asked(page, frame, headers={**part, "Range": "bytes=10-19"})
    assert (status, length, fields["content-range"][:12]) == (206, 10, "bytes 10-19/")
    for path, accept, wanted in (
        ("/studies?PatientNam=x", "*/*", 400),
        ("/studies/1.2.3/metadata", "*/*", 404),
        ("/nothing", "*/*", 404),
        (frame.removeprefix(ours) + "0", "*/*", 404),
        (frame.removeprefix(ours), "image/x-unknown", 406),
        (f"/studies/{CT}/rendered", "x/y", 406),
    ):
        status, length, _ = asked(page, ours + path, headers={"Accept": accept})
        assert status == wanted and length > 30, f"{path}: it reads why"
    assert asked(page, frame, method="HEAD")[0] == 200
    # It changes nothing, and a cookie of the archive's site is no key.
    assert asked(page, elsewhere.url(elsewhere.ct[0], "?reason=x"), method="DELETE")[0] == 0
    assert (
        asked(page, f"{ours}/studies", method="POST", body="x", headers={"Content-Type": "application/dicom"})[0] == 0
    )
    assert asked(page, frame, credentials="include")[0] == 0
    assert httpx.get(elsewhere.url(elsewhere.ct[0])).status_code == 200


def test_its_page_shows_pictures_and_plays_videos(elsewhere: Elsewhere, page: Page) -> None:
    page.goto("/empty")
    for resource in ("/thumbnail", "/rendered"):
        assert page.evaluate(_SHOWN, ["img", elsewhere.url(elsewhere.ct[0], resource), "load"]), resource
    answers: list[int] = []
    page.on("response", lambda answer: answers.append(answer.status) if VIDEO in answer.url else None)
    for resource in ("/rendered", "/bulkdata/7FE00010?accept=video/mp4", "/pixeldata?accept=video/mp4"):
        page.evaluate("document.body.replaceChildren()")
        url = elsewhere.url(elsewhere.video, resource)
        assert page.evaluate(_SHOWN, ["video", url, "loadedmetadata"]), resource
        at_s, duration_s, width = page.evaluate(_SOUGHT, 1.5)
        assert (at_s, round(duration_s, 1), width) == (1.5, 2.4, elsewhere.video.Columns)
    assert set(answers) == {206}


def test_a_page_of_an_origin_that_is_not_named_gets_nothing(elsewhere: Elsewhere, page: Page) -> None:
    page.goto(f"{elsewhere.stranger}/empty")
    frame, ours = elsewhere.url(elsewhere.ct[0], "/frames/1"), elsewhere.archive.dicomweb
    for url in (frame, f"{ours}/studies", f"{ours}/nothing"):
        for options in ({}, {"headers": {"Accept": "application/dicom+json"}}, {"headers": {"Range": "bytes=0-9"}}):
            assert asked(page, url, **options)[0] == 0
        assert asked(page, url, mode="no-cors")[0] == 0, "it does not even come into the page's process"
    assert not page.evaluate(_SHOWN, ["img", elsewhere.url(elsewhere.ct[0], "/thumbnail"), "load"])
    assert not page.evaluate(_SHOWN, ["video", elsewhere.url(elsewhere.video, "/rendered"), "loadedmetadata"])
