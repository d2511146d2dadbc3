"""Every resource shows the newest version at once, also when another process stored it; the list gives all back."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset

from pacs.dicomweb.resources import ResourceKey
from pacs.settings import IngestSettings
from tests.dicomweb.served import DoorInMemory, archive_under, data_set_bytes, image, written

DICOM = "application/dicom"
BOTH = IngestSettings(duplicates="keep-both")


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[tuple[DoorInMemory, DoorInMemory]]:
    """Two processes of one archive: one is read from, the other stores."""
    with ExitStack() as stack:
        mine, theirs = (DoorInMemory(*stack.enter_context(archive_under(tmp_path, BOTH))) for _ in range(2))
        yield mine, theirs


def versions_of(door: DoorInMemory, count: int) -> tuple[ResourceKey, list[FileDataset]]:
    first = image()
    images = [first]
    for number in range(1, count):
        brighter = (np.arange(16 * 24, dtype="<u2") + 100 * number).tobytes()
        uids = {name: first[name].value for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")}
        images.append(image(**uids, PixelData=brighter, ImageComments=f"number {number}"))
    return door.keep(first), images


def test_nothing_of_the_old_version_is_shown_once_another_process_has_stored_a_new_one(
    doors: tuple[DoorInMemory, DoorInMemory],
) -> None:
    mine, theirs = doors
    key, (first, second) = versions_of(theirs, 2)
    accepted = {
        "/frames/1": "application/octet-stream",
        "": DICOM,
        "/metadata": "application/dicom+json",
        "/rendered": "image/png",
        "/thumbnail": "image/jpeg",
        "/bulkdata/7FE00010": "application/octet-stream",
    }
    before = {path: mine.get(key.path + path, accept=accept) for path, accept in accepted.items()}
    assert {answer.status_code for answer in before.values()} == {200}
    assert before["/frames/1"].content == first.PixelData
    theirs.keep(second)
    for path, accept in accepted.items():
        assert "immutable" not in before[path].headers["cache-control"]
        after = mine.get(key.path + path, accept=accept, if_none_match=before[path].headers["etag"])
        assert after.status_code == 200, path
        assert after.content != before[path].content, path
    assert mine.get(key.path + "/frames/1", accept=accepted["/frames/1"]).content == second.PixelData
    again = mine.get(key.path + "/frames/1", accept=accepted["/frames/1"])
    assert (
        mine.get(key.path + "/frames/1", accept=accepted["/frames/1"], if_none_match=again.headers["etag"]).status_code
        == 304
    )


def test_without_keep_both_an_instance_is_kept_by_browsers_for_ever(door: DoorInMemory) -> None:
    key = door.keep(image())
    assert "immutable" in door.get(key.path + "/frames/1", accept="application/octet-stream").headers["cache-control"]
    (only,) = door.get(key.path + "/versions").json()
    assert (only["version"], only["isServed"]) == (1, True)


def test_all_versions_are_listed_and_come_back_byte_for_byte(doors: tuple[DoorInMemory, DoorInMemory]) -> None:
    mine, theirs = doors
    key, images = versions_of(theirs, 3)
    for each in images[1:]:
        theirs.keep(each)
    listed = mine.get(key.path + "/versions").json()
    digests = [hashlib.sha256(data_set_bytes(written(each))).hexdigest() for each in images]
    assert [each["sha256"] for each in listed] == digests
    assert [each["version"] for each in listed] == [1, 2, 3]
    assert [each["isServed"] for each in listed] == [False, False, True]
    assert [each.get("reason") for each in listed] == ["replaced", "replaced", None]
    assert {each["source"] for each in listed} == {"import test"}
    assert [each["receivedAt"] for each in listed] == sorted(each["receivedAt"] for each in listed)
    for number, each in enumerate(images, start=1):
        answer = mine.get(f"{key.path}/versions/{number}", accept=DICOM)
        assert data_set_bytes(answer.content) == data_set_bytes(written(each))
        assert len(answer.content) == listed[number - 1]["bytes"]
        assert pydicom.dcmread(io.BytesIO(answer.content)).SOPInstanceUID == key.sop_instance_uid
        known = mine.get(f"{key.path}/versions/{number}", accept=DICOM, if_none_match=answer.headers["etag"])
        assert known.status_code == 304


@pytest.mark.parametrize(("number", "status"), [("0", 400), ("-1", 400), ("x", 400), ("2", 404), ("9" * 12, 400)])
def test_what_is_no_version_is_said(door: DoorInMemory, number: str, status: int) -> None:
    key = door.keep(image())
    assert door.get(f"{key.path}/versions/{number}").status_code == status


def test_an_unknown_instance_has_no_versions(door: DoorInMemory) -> None:
    key = door.keep(image())
    elsewhere = ResourceKey("1.2.3", key.series_instance_uid, key.sop_instance_uid)
    assert door.get(elsewhere.path + "/versions").status_code == 404
    assert door.get(f"{elsewhere.path}/versions/1").status_code == 404


def test_what_is_not_accepted_is_said(door: DoorInMemory) -> None:
    key = door.keep(image())
    assert door.get(key.path + "/versions", accept="text/html").status_code == 406
    assert door.get(key.path + "/versions/1", accept="image/png").status_code == 406


def test_a_coerced_instance_is_stored_with_a_warning_and_its_original_comes_back(tmp_path: Path) -> None:
    rule = {"host": "127.0.0.1", "set": {"InstitutionName": "Klinik am See"}}
    with archive_under(tmp_path, IngestSettings(coercion=(rule,))) as services:  # type: ignore[arg-type]
        door = DoorInMemory(*services)
        file = written(image())
        answer = door.post("/studies", file)
        assert answer.status_code == 202
        (item,) = answer.json()["00081199"]["Value"]
        assert item["00081196"] == {"vr": "US", "Value": [45056]}
        path = item["00081190"]["Value"][0].removeprefix(door.base)
        (attributes,) = door.get(path + "/metadata", accept="application/dicom+json").json()
        assert attributes["00080080"]["Value"] == ["Klinik am See"]
        assert attributes["04000561"]["Value"][0]["04000565"]["Value"] == ["COERCE"]
        assert [each.get("reason") for each in door.get(path + "/versions").json()] == ["coerced", None]
        original = door.get(path + "/versions/1", accept=DICOM).content
        assert data_set_bytes(original) == data_set_bytes(file)
        assert door.post("/studies", file).status_code == 200
