"""What a browser has of an older edition of the archive is not told to be as new, nor continued with a newer one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from pacs.dicomweb import report, text_fonts
from pacs.dicomweb.app import dicomweb_app
from pacs.dicomweb.resources import ResourceKey
from pacs.http_settings import HttpSettings
from pacs.pixels import form
from pacs.pixels.form import form_of_frames, form_of_pictures
from tests.dicomweb.presentation_states import state
from tests.dicomweb.served import DoorInMemory, image

HTJ2K = "image/jphc; transfer-syntax=1.2.840.10008.1.2.4.201"
HTJ2K_PARTS = 'multipart/related; type="image/jphc"; transfer-syntax=1.2.840.10008.1.2.4.201'
HTJ2K_FILE = "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.201"
INSTANCE, SERIES, STUDY = 7, 5, 3
"""Depths of their paths."""
MADE = [
    (INSTANCE, "/rendered", "image/jpeg"),
    (INSTANCE, "/rendered?annotation=patient", "image/png"),
    (INSTANCE, "/frames/1/rendered", "image/jp2"),
    (INSTANCE, "/frames/1,2/rendered", 'multipart/related; type="image/jpeg"'),
    (SERIES, "/rendered", "image/jpeg"),
    (STUDY, "/rendered", 'multipart/related; type="image/png"'),
    (INSTANCE, "/thumbnail", "image/jpeg"),
    (INSTANCE, "/frames/1/thumbnail", "image/png"),
    (SERIES, "/thumbnail", "image/jpeg"),
    (STUDY, "/thumbnail?viewport=9,9", "image/jpeg"),
    (INSTANCE, "/frames/1", HTJ2K),
    (INSTANCE, "/frames/1,2", HTJ2K_PARTS),
    (INSTANCE, "", HTJ2K_FILE),
    (STUDY, "", "application/zip; transfer-syntax=1.2.840.10008.1.2.4.201"),
]


@pytest.fixture(scope="module")
def film(door: DoorInMemory) -> ResourceKey:
    return door.keep(image(NumberOfFrames=2, PixelData=bytes(range(256)) * 6))


@pytest.fixture
def upgraded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Call it, and pictures are made with another version of a library from then on."""

    def forget() -> None:
        form_of_frames.cache_clear()
        form_of_pictures.cache_clear()

    def upgrade() -> None:
        monkeypatch.setattr(form, "version", lambda _: "1000.0")
        forget()

    yield upgrade
    monkeypatch.undo()
    forget()


@pytest.mark.parametrize(("depth", "suffix", "accept"), MADE)
def test_another_version_of_the_libraries_is_another_tag(
    door: DoorInMemory, film: ResourceKey, upgraded: Callable[[], None], depth: int, suffix: str, accept: str
) -> None:
    path = "/".join(film.path.split("/")[:depth]) + suffix
    before = door.get(path, accept=accept)
    tag = before.headers["etag"]
    assert door.get(path, accept=accept, if_none_match=tag).status_code == 304
    upgraded()
    after = door.get(path, accept=accept, if_none_match=tag)
    assert (before.status_code, after.status_code) == (200, 200)
    assert after.headers["etag"] != tag
    if "content-length" in before.headers:
        old = door.get(path, accept=accept, range="bytes=5-9", if_range=tag)
        assert (old.status_code, len(old.content)) == (200, int(after.headers["content-length"])), "not continued"
        new = door.get(path, accept=accept, range="bytes=5-9", if_range=after.headers["etag"])
        assert (new.status_code, new.content) == (206, after.content[5:10])


@pytest.mark.parametrize(("depth", "suffix"), [(INSTANCE, "/frames/1,2"), (INSTANCE, ""), (STUDY, "")])
def test_stored_bytes_stay_the_same_ones(
    door: DoorInMemory, film: ResourceKey, upgraded: Callable[[], None], depth: int, suffix: str
) -> None:
    path = "/".join(film.path.split("/")[:depth]) + suffix
    tag = door.get(path, accept="*/*").headers["etag"]
    upgraded()
    assert door.get(path, accept="*/*", if_none_match=tag).status_code == 304


def _tag_with(door: DoorInMemory, font: Path, path: str) -> str:
    class WithFont(DoorInMemory):
        def application(self) -> object:
            settings = HttpSettings(annotation_font=font)
            return dicomweb_app(self.ingest, self.search, self.retrieve, http=settings)

    text_fonts._font.cache_clear()
    answer = WithFont(door.ingest, door.search, door.retrieve).get(path, accept="image/png")
    text_fonts._font.cache_clear()
    assert answer.status_code == 200, answer.text
    return answer.headers["etag"]


def test_another_font_is_another_tag_where_something_may_be_written(
    door: DoorInMemory, film: ResourceKey, tmp_path: Path
) -> None:
    pictured = image()
    kept, drawn = door.keep(pictured), state(pictured)
    drawings = door.keep(drawn)
    written = [
        f"{film.path}/rendered?annotation=patient",
        f"{film.path}/frames/1/rendered?annotation=technique",
        f"{kept.path}/rendered?presentationinstance={drawn.SOPInstanceUID}",
        f"{drawings.path}/rendered",
    ]
    tags = []
    for content in (b"a font", b"another", b"a font"):
        (tmp_path / "font.ttf").write_bytes(content)
        paths = (*written, f"{film.path}/rendered")
        tags.append([_tag_with(door, tmp_path / "font.ttf", path) for path in paths])
    assert tags[0] == tags[2]
    differ = [one != other for one, other in zip(tags[0], tags[1], strict=True)]
    assert differ == [True] * len(written) + [False], "nothing is written on the last"


def test_another_form_of_a_report_is_another_tag(door: DoorInMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    title = Dataset()
    title.CodeValue, title.CodingSchemeDesignator, title.CodeMeaning = "1", "99TEST", "Report"
    pixels = dict.fromkeys(("Rows", "Columns", "PixelData", "BitsAllocated", "BitsStored", "HighBit"))
    key = door.keep(
        image(
            **pixels,
            SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11",
            ValueType="CONTAINER",
            ConceptNameCodeSequence=[title],
        )
    )
    tag = door.get(f"{key.path}/rendered", accept="text/html").headers["etag"]
    monkeypatch.setattr("pacs.dicomweb.documents.FORM", report.FORM + "1")
    again = door.get(f"{key.path}/rendered", accept="text/html", if_none_match=tag)
    assert again.status_code == 200
    assert again.headers["etag"] != tag
