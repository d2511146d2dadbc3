"""Metadata of the same real files from this archive, from dicomweb-client's `DICOMfileClient` and from Orthanc.

Where they differ, `DIFFERENCES` says why; a difference that it does not name is a failure, and so is a reason that no
file shows any more.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from dicomweb_client.file import DICOMfileClient

from benchmarks.peers import ORTHANC_DICOMWEB, orthanc
from pacs.dicomweb.app import dicomweb_app
from tests.dicomweb.served import archive_under
from tests.integration.matrix_archive import HOST, Archive
from tests.integration.matrix_samples import DEFLATED_FRAME, Sample, real_images

pytestmark = [pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore::UserWarning")]

MAX_BYTES = 1 << 24 if os.environ.get("PACS_SOAK") else 40_000
PIXEL_DATA = {"7FE00008", "7FE00009", "7FE00010"}
ORTHANC_REFUSES = {"rtplan_truncated.dcm"}
"""It stores no data set that is cut."""
FILE_CLIENT, ORTHANC = "DICOMfileClient", "Orthanc"

Element = dict[str, Any]
Fetch = Callable[[str], bytes]
"""Gives our bulk data."""


@dataclass(frozen=True, eq=False)
class Difference:
    peers: tuple[str, ...]
    is_about: Callable[[str, Element, Element, Fetch], bool]
    """Tag, our element and theirs; an element that one side does not have is empty."""
    reason: str


def _is_same_without_padding(tag: str, ours: Element, theirs: Element, fetch: Fetch) -> bool:
    def plain(element: Element) -> list[Any]:
        values = (value.strip() if isinstance(value, str) else value for value in element.get("Value", ()))
        return [value or None for value in values]

    return ours.get("vr") == theirs.get("vr") and plain(ours) == plain(theirs)


def _is_same_inline(tag: str, ours: Element, theirs: Element, fetch: Fetch) -> bool:
    if ours.get("vr") != theirs.get("vr") or "BulkDataURI" not in ours or "InlineBinary" not in theirs:
        return False
    return fetch(ours["BulkDataURI"]) == base64.b64decode(theirs["InlineBinary"])


def _is_nearly_zero(tag: str, ours: Element, theirs: Element, fetch: Fetch) -> bool:
    pairs = zip(ours.get("Value", ()), theirs.get("Value", ()), strict=False)
    return ours.get("vr") == theirs.get("vr") == "FL" and all(one == other or abs(one) < 1e-20 for one, other in pairs)


def _is_text(element: Element) -> bool:
    return element.get("vr") in {"PN", "LO", "SH", "ST", "LT", "UC", "UT"}


def _is_same_name_but_for_ideographs(tag: str, ours: Element, theirs: Element, fetch: Fetch) -> bool:
    def plain(element: Element) -> bool:
        return all(name.get("Ideographic", "").isascii() for name in _names(element))

    return ours.get("vr") == theirs.get("vr") == "PN" and plain(theirs) and not plain(ours)


def _names(element: Element) -> list[dict[str, str]]:
    return [{group: text for group, text in (name or {}).items() if text} for name in element.get("Value", ())]


BOTH = (FILE_CLIENT, ORTHANC)
DIFFERENCES = [
    Difference(
        BOTH,
        lambda tag, ours, theirs, _: tag == "00080005" and ours == {"vr": "CS", "Value": ["ISO_IR 192"]},
        "JSON is UTF-8, whatever the file was, and Specific Character Set says so (PS3.18 F.2.1).",
    ),
    Difference(
        BOTH,
        lambda tag, ours, theirs, _: tag == "00083002" and not theirs,
        "Available Transfer Syntax UID is told here: viewers choose decoders by it.",
    ),
    Difference(
        (FILE_CLIENT,),
        lambda tag, ours, theirs, _: tag.endswith("0000") and not ours,
        "Group lengths are of an encoding, and not of the data set; they are retired (PS3.5 §7.2).",
    ),
    Difference(
        BOTH,
        lambda tag, ours, theirs, _: tag in PIXEL_DATA and "BulkDataURI" in ours and not theirs,
        "The file client leaves pixel data out, Orthanc that of compressed images; here each has its BulkDataURI.",
    ),
    Difference(
        (FILE_CLIENT,),
        _is_same_inline,
        "It sends binary values inline, whatever their size; here those of more than 1,024 bytes are bulk data.",
    ),
    Difference(
        BOTH,
        _is_same_without_padding,
        "They keep some of the padding, and tell an empty value among others as text; it is null (PS3.18 F.2.5).",
    ),
    Difference(
        (FILE_CLIENT,),
        lambda tag, ours, theirs, _: ours.get("vr") == "UN" and theirs.get("vr") == "SQ",
        "A sequence that is cut: pydicom tells the items that it can read; here it is UN with all its bytes.",
    ),
    Difference(
        (ORTHANC,),
        lambda tag, ours, theirs, _: (
            "BulkDataURI" in theirs
            and ours.get("vr") == theirs["vr"]
            and ("BulkDataURI" in ours or "InlineBinary" in ours)
        ),
        "The address of bulk data is each server's own; Orthanc has one for every binary value, however small.",
    ),
    Difference(
        (ORTHANC,),
        lambda tag, ours, theirs, _: theirs.get("vr") == "UN" and int(tag[:4], 16) % 2 == 1 and ours.get("vr") != "UN",
        "pydicom's dictionary knows private attributes that dcmtk's does not.",
    ),
    Difference(
        (ORTHANC,),
        _is_nearly_zero,
        "It writes very small floating point numbers as zero.",
    ),
    Difference(
        (ORTHANC,),
        lambda tag, ours, theirs, _: ours.get("vr") == "PN" and _names(ours) == _names(theirs),
        "It tells component groups that are empty; PS3.18 F.2.2 leaves them out.",
    ),
    Difference(
        (ORTHANC,),
        lambda tag, ours, theirs, _: _is_text(ours) and "$B" in json.dumps(theirs) and "$B" not in json.dumps(ours),
        "It does not read text with code extensions (ISO 2022) and tells the bytes of its escape sequences.",
    ),
    Difference(
        (ORTHANC,),
        _is_same_name_but_for_ideographs,
        "It does not change code elements (ISO 2022) after the first component group; here every group is read.",
    ),
    Difference(
        (ORTHANC,),
        lambda tag, ours, theirs, _: ours.get("vr") == "SQ" and not any(ours.get("Value", ())) and not theirs,
        "It leaves out a sequence whose items are empty; the file client tells it, too.",
    ),
    Difference(
        (ORTHANC,),
        lambda tag, ours, theirs, _: tag in {"00280009", "300C0002"} and bool(ours) and not theirs,
        "It leaves these two out of RT doses in RLE, though not of others; the file client tells them, too.",
    ),
    Difference(
        (ORTHANC,),
        lambda tag, ours, theirs, _: tag == "FFFCFFFC" and not ours,
        "Data Set Trailing Padding is padding (PS3.10 §7.2).",
    ),
]  # fmt: skip

Metadata = Callable[[Sample], Element | None]


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest) -> Path | None:
    """Of real images; without one those of the pydicom package remain."""
    try:
        found: Path = request.getfixturevalue("corpus")
    except pytest.skip.Exception:
        return None
    return found


@pytest.fixture(scope="module")
def archive(folder: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    images = [*real_images(folder, MAX_BYTES)]
    with archive_under(tmp_path_factory.mktemp("archive")) as (ingest, search, retrieve), asyncio.Runner() as runner:
        made = Archive(dicomweb_app(ingest, search, retrieve), ingest, runner.get_loop(), images)
        for sample in images:
            made.keep(sample)
        yield made


def _unexplained(archive: Archive, peer: str, theirs: Metadata, shown: set[Difference]) -> tuple[int, list[str]]:
    """How many files were compared, and what nothing explains."""

    def fetch(uri: str) -> bytes:
        answer = archive.get(uri.removeprefix(f"http://{HOST}/dicomweb"), "application/octet-stream")
        assert answer.status_code == 200, uri
        return answer.content

    compared, found = 0, []
    for sample in archive.samples:
        other = theirs(sample)
        if other is None:
            continue
        compared += 1
        (ours,) = archive.get(f"{sample.path}/metadata", "application/dicom+json").json()
        for place, one, another in _different(ours, other):
            tag = place.rpartition("/")[2]
            why = [each for each in DIFFERENCES if peer in each.peers and each.is_about(tag, one, another, fetch)]
            shown.update(why)
            if not why:
                found.append(f"{sample} {place}: {json.dumps(one)[:200]} {json.dumps(another)[:200]}")
    return compared, found


def _different(ours: Element, theirs: Element, place: str = "") -> Iterator[tuple[str, Element, Element]]:
    for tag in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(tag, {}), theirs.get(tag, {})
        if one == other:
            continue
        items, other_items = one.get("Value", ()), other.get("Value", ())
        if one.get("vr") == other.get("vr") == "SQ" and len(items) == len(other_items):
            for number, pair in enumerate(zip(items, other_items, strict=True), start=1):
                yield from _different(*pair, f"{place}{tag}/{number}/")
        else:
            yield place + tag, one, other


def _not_shown(peer: str, shown: set[Difference], folder: Path | None) -> list[str]:
    return [each.reason for each in DIFFERENCES if folder and each.peers == (peer,) and each not in shown]


def test_metadata_is_that_of_the_file_client(archive: Archive, folder: Path | None, tmp_path: Path) -> None:
    for number, sample in enumerate(archive.samples):
        (tmp_path / f"{number}.dcm").write_bytes(sample.file)
    client = DICOMfileClient(tmp_path.as_uri(), in_memory=True, update_db=True)

    def theirs(sample: Sample) -> Element | None:
        if sample.uid == DEFLATED_FRAME:
            return None  # pydicom does not know the transfer syntax, and its index leaves the file out
        data_set = sample.data_set
        uids = map(str, (data_set.StudyInstanceUID, data_set.SeriesInstanceUID, data_set.SOPInstanceUID))
        return dict(client.retrieve_instance_metadata(*uids))

    shown: set[Difference] = set()
    compared, unexplained = _unexplained(archive, FILE_CLIENT, theirs, shown)
    assert unexplained == [], "\n".join(unexplained)
    assert compared > 50
    assert not _not_shown(FILE_CLIENT, shown, folder)


@pytest.mark.orthanc
def test_metadata_is_that_of_orthanc(archive: Archive, folder: Path | None, tmp_path: Path) -> None:
    if shutil.which("Orthanc") is None or not ORTHANC_DICOMWEB.exists():
        pytest.skip("Debian's orthanc and orthanc-dicomweb are not installed: ./config/install-test-tools --peers")
    with orthanc(tmp_path) as peer, httpx.Client(timeout=60) as client:

        def theirs(sample: Sample) -> Element | None:
            stored = client.post(peer.dicomweb.removesuffix("/dicom-web") + "/instances", content=sample.file)
            if sample.name in ORTHANC_REFUSES:
                assert stored.status_code == 400, sample
                return None
            assert stored.status_code == 200, (sample, stored.text)
            headers = {"accept": "application/dicom+json"}
            answer = client.get(f"{peer.dicomweb}{sample.path}/metadata", headers=headers)
            assert answer.status_code == 200, (sample, answer.text)
            return dict(answer.json()[0])

        shown: set[Difference] = set()
        compared, unexplained = _unexplained(archive, ORTHANC, theirs, shown)
    assert unexplained == [], "\n".join(unexplained)
    assert compared > 50
    assert not _not_shown(ORTHANC, shown, folder)
