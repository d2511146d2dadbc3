"""A scanner sends, a browser sees: the list, a study, and the pixels of a CT slice on the screen."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, Route, expect
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian

from tests.browser.conftest import SLICES, Complaints, ct_slices
from tests.browser.screen import expected, looks_like, shown
from tests.waiting import wait_until

pytestmark = pytest.mark.browser

Send = Callable[[list[Dataset | Path]], None]


def open_study(page: Page, study_instance_uid: str = "2.25.1001") -> None:
    page.goto("/")
    page.locator(f"tr[data-study='{study_instance_uid}']").click()


def test_a_study_is_found_opened_and_its_pixels_are_on_the_screen(
    page: Page, ct: list[Dataset], send: Send, complaints: Complaints
) -> None:
    other = ct_slices()[0]
    other.StudyInstanceUID, other.SeriesInstanceUID, other.PatientName = "2.25.1006", "2.25.1006.1", "Some^Body^Else"
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = "2.25.1006.1.1"
    send([other])
    page.goto("/")
    expect(page.locator("tr[data-study='2.25.1006']")).to_be_visible()
    row = page.locator("tr[data-study='2.25.1001']")
    expect(row).to_contain_text("홍길동 (Hong, Gildong)")
    expect(row).to_contain_text("흉부 CT")
    page.keyboard.press("/")
    page.keyboard.type("gildong")
    expect(page).to_have_url(re.compile(r"\?name=gildong"))
    expect(page.locator("tbody tr")).to_have_count(1)
    page.keyboard.press("Enter")

    screen = shown(page, 0)
    pictures = [expected(image, *screen.shape) for image in ct]
    assert looks_like(screen, pictures[0])
    # The controls: what is not on the screen is not seen there.
    assert not looks_like(np.zeros_like(screen), pictures[0])
    assert not looks_like(screen[:, ::-1], pictures[0])
    assert not any(looks_like(screen, other) for other in pictures[1:])

    page.locator(".canvas-host").hover()
    page.mouse.wheel(0, 100)
    assert looks_like(shown(page, 1), pictures[1])
    page.keyboard.press("End")
    assert looks_like(shown(page, SLICES - 1), pictures[-1])
    expect(page.locator(".overlay")).to_contain_text(f"Image {SLICES} / {SLICES}")
    expect(page.locator(".series-card img")).to_have_js_property("complete", True)
    assert complaints == []


def test_a_black_canvas_is_not_taken_for_a_slice(page: Page, ct: list[Dataset]) -> None:
    """The control of the pixel test: the same page fed with frames of nothing must fail its comparison."""
    black = np.full(ct[0].pixel_array.shape, -32768, dtype="<i2").tobytes()
    kind = f"application/octet-stream; transfer-syntax={ExplicitVRLittleEndian}"

    def answer(route: Route) -> None:
        route.fulfill(status=200, content_type=kind, body=black)

    page.route(re.compile(r"/frames/\d+$"), answer)
    open_study(page)
    screen = shown(page, 0)
    assert screen.max() == 0
    assert not looks_like(screen, expected(ct[0], *screen.shape))


def test_window_and_invert_change_what_is_shown(page: Page, ct: list[Dataset], complaints: Complaints) -> None:
    open_study(page)
    before = shown(page, 0)
    page.keyboard.press("i")
    expect_change(page, before)
    page.keyboard.press("r")
    expect_same(page, before)
    page.locator(".presets").select_option("presetBrain")
    narrow = copy.deepcopy(ct[0])  # `ct` is everybody's
    narrow.WindowCenter, narrow.WindowWidth = 40, 80
    expect_same(page, expected(narrow, *before.shape))
    expect(page.locator(".overlay")).to_contain_text("C 40  W 80")
    assert complaints == []


def expect_same(page: Page, wanted: np.ndarray) -> None:
    wait_until(lambda: looks_like(shown(page, 0), wanted), why="another picture is shown")


def expect_change(page: Page, from_: np.ndarray) -> None:
    wait_until(lambda: not looks_like(shown(page, 0), from_), why="the same picture is shown")


def test_the_page_speaks_korean(page: Page, ct: list[Dataset], complaints: Complaints) -> None:
    page.goto("/")
    page.locator("[data-action=language]").click()
    expect(page.locator("h1")).to_have_text("검사 목록")
    page.reload()
    expect(page.locator("h1")).to_have_text("검사 목록")
    expect(page.locator("html")).to_have_attribute("lang", "ko")
    page.locator("input[name=name]").fill("없는 사람")
    expect(page.locator(".below")).to_contain_text("조건에 맞는 검사가 없습니다.")
    assert complaints == []


def test_a_study_that_arrives_while_the_list_is_open_is_seen(page: Page, ct: list[Dataset], send: Send) -> None:
    page.goto("/")
    expect(page.locator("tr[data-study='2.25.1001']")).to_be_visible()
    image = ct_slices()[0]
    image.StudyInstanceUID, image.SeriesInstanceUID = "2.25.1002", "2.25.1002.1"
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = "2.25.1002.1.1"
    image.PatientName = "Late^Comer"
    send([image])
    page.get_by_label("Refresh").click()
    expect(page.locator("tr[data-study='2.25.1002']")).to_contain_text("Late, Comer")


def test_names_are_text_and_never_markup(page: Page, send: Send, complaints: Complaints) -> None:
    image = ct_slices()[0]
    image.StudyInstanceUID, image.SeriesInstanceUID = "2.25.1003", "2.25.1003.1"
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = "2.25.1003.1.1"
    image.PatientName = "<h2>Evil</h2>"
    image.StudyDescription = image.SeriesDescription = "<img src=x onerror=document.title='taken'>"
    send([image])
    page.goto("/?name=evil")
    row = page.locator("tr[data-study='2.25.1003']")
    expect(row).to_contain_text("<h2>Evil</h2>")
    expect(row).to_contain_text("<img src=x onerror")
    row.click()
    shown(page, 0)
    expect(page.locator(".study-title")).to_contain_text("<img src=x onerror")
    assert page.title() != "taken"
    assert page.locator("h2, img[src=x]").count() == 0
    assert complaints == []


def test_a_series_without_images_is_shown_as_what_it_is(page: Page, send: Send, complaints: Complaints) -> None:
    report = ct_slices()[0]
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
        delattr(report, keyword)
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    report.StudyInstanceUID, report.SeriesInstanceUID = "2.25.1004", "2.25.1004.1"
    report.SOPInstanceUID = report.file_meta.MediaStorageSOPInstanceUID = "2.25.1004.1.1"
    report.Modality, report.PatientName = "SR", "Only^Words"
    send([report])
    open_study(page, "2.25.1004")
    expect(page.locator(".study-main")).to_contain_text("This series holds no images.")
    expect(page.locator(".study-main")).to_contain_text("Structured report")
    assert complaints == []


def test_what_is_not_there_is_said_in_words(page: Page, ct: list[Dataset]) -> None:
    page.goto("/studies/2.25.404")
    expect(page.get_by_role("alert")).to_contain_text("The archive has no such study.")
    page.route("**/dicomweb/**", lambda route: route.abort())
    page.goto("/")
    expect(page.get_by_role("alert")).to_contain_text("The archive does not answer.")
    page.unroute("**/dicomweb/**")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("tr[data-study='2.25.1001']")).to_be_visible()


def test_bits_above_those_stored_are_not_taken_for_pixels(page: Page, send: Send, complaints: Complaints) -> None:
    clean, marked = ct_slices()[0], ct_slices()[0]
    values = clean.pixel_array.astype("<u2") & 0x0FFF
    for image, pixels in ((clean, values), (marked, values | np.tri(*values.shape, dtype="<u2") << 15)):
        image.PixelRepresentation, image.BitsStored, image.HighBit = 0, 12, 11
        image.PixelData = pixels.tobytes()
        image.StudyInstanceUID, image.SeriesInstanceUID = "2.25.1005", "2.25.1005.1"
        image.PatientName = "Marked^Bits"
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = "2.25.1005.1.1"
    send([marked])
    open_study(page, "2.25.1005")
    screen = shown(page, 0)
    assert looks_like(screen, expected(clean, *screen.shape))
    expect(page.locator(".overlay")).to_contain_text("Rendered by the archive (8 bit)")
    assert complaints == []


def test_a_frame_that_cannot_be_had_is_said_and_the_others_stay(page: Page, ct: list[Dataset]) -> None:
    broken = re.compile(r"2\.25\.1001\.2\.2/frames/1$")
    page.route(broken, lambda route: route.fulfill(status=500, json={"error": "disk"}))
    open_study(page)
    shown(page, 0)
    page.keyboard.press("ArrowDown")
    expect(page.locator(".viewport-message")).to_contain_text("This image cannot be shown.")
    page.keyboard.press("ArrowDown")
    assert looks_like(shown(page, 2), expected(ct[2], *shown(page, 2).shape))
    expect(page.locator(".viewport-message")).to_be_hidden()


@pytest.mark.corpus
def test_a_whole_ct_in_jpeg_ls_is_scrolled_through(
    page: Page, corpus: Path, send: Send, complaints: Complaints
) -> None:
    headers = [
        (dcmread(path, stop_before_pixels=True), path) for path in (corpus / "acrin-petct").rglob("*") if path.is_file()
    ]
    tomography = [(header, path) for header, path in headers if header.Modality == "CT"]
    uids = [header.SeriesInstanceUID for header, _ in tomography]
    longest = max(set(uids), key=uids.count)
    series = sorted(
        (int(header.InstanceNumber), path) for header, path in tomography if header.SeriesInstanceUID == longest
    )
    send([path for _, path in series])
    study = dcmread(series[0][1], stop_before_pixels=True).StudyInstanceUID
    open_study(page, study)
    for index in (0, 1, 60, len(series) - 1):
        while int(page.locator(".canvas-host").get_attribute("data-index") or 0) < index:
            page.keyboard.press("End" if index == len(series) - 1 else "ArrowDown")
        screen = shown(page, index)
        assert looks_like(screen, expected(dcmread(series[index][1]), *screen.shape)), index
    assert complaints == []
