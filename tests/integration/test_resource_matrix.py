"""Every resource in every representation of every stored transfer syntax: the status, and the pixels as other decoders
see them.

What is to be expected stands in `matrix_rules`. A route of the running service that is neither in the table below nor
in `NOT_OF_ONE_IMAGE` fails the test, as does a media type that a route tells of and nobody asks for here. A sample of
real images takes part, one of each kind; all of them with PACS_SOAK.
"""

from __future__ import annotations

import asyncio
import io
import operator
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from pacs.dicomweb.app import dicomweb_app
from tests.dicomweb.served import archive_under, data_set_bytes, parts_of
from tests.integration import matrix_rules as rules
from tests.integration.independent_pixels import NoOtherDecoder, pixels_of
from tests.integration.matrix_archive import HOST, Archive, described, is_refused
from tests.integration.matrix_checks import (
    FORMATS,
    difference,
    fragments,
    is_same_film,
    wrong_file,
    wrong_frame,
    wrong_picture,
    wrong_pixel_data,
    wrong_value,
)
from tests.integration.matrix_samples import EXPLICIT, FAMILY, Sample, mixed_study, samples
from tests.integration.matrix_table import (
    ANY_OF,
    ASKED,
    DOCUMENTS,
    FILE_ASKED,
    FRAME_ASKED,
    LEVELS,
    METADATA_ASKED,
    NOT_OF_ONE_IMAGE,
    OFFERED,
    PICTURES_ASKED,
    PIXEL_VALUES,
    SOME_ASKED,
    STILLS,
    THUMBNAILS_ASKED,
    VALUES_ASKED,
    VIDEOS,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
if os.environ.get("PACS_SOAK"):
    pytestmark = [pytestmark, pytest.mark.timeout(7200)]


@pytest.fixture(scope="module")
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    try:
        corpus: Path | None = request.getfixturevalue("corpus")
    except pytest.skip.Exception:
        corpus = None  # those of the pydicom package and the made ones remain
    with archive_under(tmp_path_factory.mktemp("archive")) as (ingest, search, retrieve), asyncio.Runner() as runner:
        found = Archive(dicomweb_app(ingest, search, retrieve), ingest, runner.get_loop(), samples(corpus))
        for sample in found.samples:
            found.keep(sample)
        yield found


@pytest.fixture(scope="module")
def routes(archive: Archive) -> dict[str, set[str]]:
    """The service's own: path -> media types of what GET gives."""
    return {
        path: set(methods["get"]["responses"]["200"].get("content", {}))
        for path, methods in archive.application.openapi()["paths"].items()
        if "get" in methods
    }


def test_every_route_and_media_type_is_in_the_table(routes: dict[str, set[str]]) -> None:
    assert routes.keys() == ASKED.keys() | NOT_OF_ONE_IMAGE.keys()
    assert {path: told for path, told in routes.items() if path not in NOT_OF_ONE_IMAGE} == OFFERED
    for path, told in OFFERED.items():
        assert told - ANY_OF.keys() <= ASKED[path], f"{path} tells of what nobody asks for here"
        for media_type in told & ANY_OF.keys():
            assert any(each.startswith(ANY_OF[media_type]) for each in ASKED[path]), (path, media_type)


def test_every_transfer_syntax_is_in_the_samples(archive: Archive) -> None:
    found = {sample.uid for sample in archive.samples if not sample.is_damaged}
    assert rules.DECODED - found == set()
    assert any(sample.is_video for sample in archive.samples)
    assert any(sample.uid not in rules.DECODED for sample in archive.samples if sample.pixels)


def test_pixels_are_those_of_an_independent_decoder(archive: Archive) -> None:
    compared, left_out, wrong = 0, [], []
    for sample in archive.samples:
        if not rules.can_be_decoded(sample) or sample.is_damaged:
            continue
        try:
            right = pixels_of(sample.file)
        except NoOtherDecoder as problem:
            left_out.append(f"{sample}: {problem}")
            continue
        found = archive.pixels(sample)
        compared += 1
        if found.shape != right.shape or not np.allclose(found, right, rtol=0, atol=_rounding(sample), equal_nan=True):
            wrong.append(f"{sample}: {found.shape} {right.shape} {difference(found, right)}")
    assert not wrong
    assert compared > 60
    if left_out:
        pytest.skip(f"{compared} compared; left out: {'; '.join(left_out)}")


def _rounding(sample: Sample) -> int:
    """Two implementations of an inverse transform, and of chroma between its samples, may round differently."""
    if sample.uid not in rules.LOSSY or sample.uid == FAMILY + "81":
        return 0
    is_coloured = sample.data_set.SamplesPerPixel == 3 and rules.stored_media_type(sample) == "image/jpeg"
    return 40 if is_coloured else 1


def _refused_or_wrong(answer: httpx.Response, *, can: bool) -> str | None:
    """What is wrong with the status; empty for a right refusal, None when the body is to be looked at."""
    if not can:
        return "" if is_refused(answer) else f"{answer.status_code} is not 406"
    return None if answer.status_code == 200 else f"{answer.status_code}: {answer.text[:1000]}"


def _can_be_had(sample: Sample, uid: str | None) -> bool:
    """Whether frames in the transfer syntax `uid` can be; of damaged ones the stored bytes."""
    return uid is not None and (uid == sample.uid or not sample.is_damaged)


@pytest.mark.parametrize("is_multipart", [True, False])
@pytest.mark.parametrize(("media_type", "asked"), FRAME_ASKED)
def test_frames(archive: Archive, media_type: str, asked: str | None, is_multipart: bool) -> None:
    accept, wrong, had = described(media_type, asked, is_multipart=is_multipart), [], 0
    for sample in archive.samples:
        number = fragments(sample) // 2 + 1
        answer = archive.get(f"{sample.path}/frames/{number}", accept)
        uid = rules.frames_in(sample, media_type, asked) if sample.pixels else None
        if not sample.pixels:
            problem: str | None = "" if answer.status_code in (404, 406) else f"{answer.status_code} without pixels"
        else:
            problem = _refused_or_wrong(answer, can=_can_be_had(sample, uid))
        if problem is None and uid is not None:
            had += 1
            problem = wrong_frame(
                archive, sample, number, uid, answer, is_multipart=is_multipart or media_type == "*/*"
            )
        wrong += [f"{sample}: {problem}"] if problem else []
    assert not wrong, accept
    assert (
        had or asked in {"1.2.3"} or media_type in {"text/html", "video/mpeg", "video/H265"} or asked == FAMILY + "90"
    )


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("form", ["multipart", "single", "zip"])
def test_instances(archive: Archive, level: str, form: str) -> None:
    wrong, had = [], 0
    for sample in archive.at(level):
        for asked in FILE_ASKED if level == "instance" and form != "zip" else SOME_ASKED:
            media_type = "application/zip" if form == "zip" else "application/dicom"
            accept = described(media_type, asked, is_multipart=form == "multipart")
            answer = archive.get(_at(sample, level), accept)
            uid = rules.file_in(sample, asked)
            problem = _refused_or_wrong(answer, can=_can_be_had(sample, uid))
            if problem is None and uid is not None:
                had += 1
                problem = wrong_file(archive, sample, uid, _file_in(answer, form))
            wrong += [f"{sample} as {accept}: {problem}"] if problem else []
    assert not wrong
    assert had > len(archive.at(level))


def _at(sample: Sample, level: str) -> str:
    depth = {"study": 3, "series": 5, "instance": 7}[level]
    return "/".join(sample.path.split("/")[:depth])


def _file_in(answer: httpx.Response, form: str) -> bytes:
    if form == "multipart":
        ((_, file),) = parts_of(answer)
        return file
    if form == "zip":
        with zipfile.ZipFile(io.BytesIO(answer.content)) as whole:
            (name,) = whole.namelist()
            return whole.read(name)
    return answer.content


def test_a_study_of_many_kinds_comes_in_the_nearest_forms(archive: Archive) -> None:
    mixed = mixed_study()
    for sample in mixed:
        archive.keep(sample)
    for level in ("study", "series"):
        for asked in (None, "*", EXPLICIT, *rules.LOSSLESS):
            answer = archive.get(_at(mixed[0], level), described("application/dicom", asked, is_multipart=True))
            assert answer.status_code == 200, answer.text
            files = {
                str(read.SOPInstanceUID): read for read in (dcmread(io.BytesIO(part)) for _, part in parts_of(answer))
            }
            for sample in mixed:
                nearest = (rules.file_in(sample, each) for each in (asked, EXPLICIT, sample.uid))
                right = next(uid for uid in nearest if uid)
                assert files[sample.data_set.SOPInstanceUID].file_meta.TransferSyntaxUID == right, (sample, asked)
            assert len(files) == len(mixed)
        for each in ("image/jpeg", 'multipart/related; type="image/png"'):
            answer = archive.get(f"{_at(mixed[0], level)}/rendered", each)
            assert answer.status_code == 200, answer.text
        metadata = archive.get(f"{_at(mixed[0], level)}/metadata", "application/dicom+json").json()
        syntaxes = {each["00080018"]["Value"][0]: each["00083002"]["Value"][0] for each in metadata}
        assert syntaxes == {str(sample.data_set.SOPInstanceUID): sample.uid for sample in mixed}


@pytest.mark.parametrize("is_multipart", [True, False])
def test_bulk_data(archive: Archive, is_multipart: bool) -> None:
    wrong, values = [], 0
    for sample in archive.samples:
        metadata = archive.get(f"{sample.path}/metadata", "application/dicom+json").json()[0]
        for place, uri in _bulk_data(metadata):
            path = uri.removeprefix(f"http://{HOST}/dicomweb")
            is_frames = place == "7FE00010"
            for media_type, asked in FRAME_ASKED[::3] if is_frames else ((rules.OCTETS, None), ("image/jls", None)):
                answer = archive.get(path, described(media_type, asked, is_multipart=is_multipart))
                problem = (
                    wrong_pixel_data(archive, sample, media_type, asked, answer, is_multipart=is_multipart)
                    if is_frames
                    else wrong_value(sample, place, media_type, answer, is_multipart=is_multipart)
                )
                wrong += [f"{sample} {place} as {media_type} {asked}: {problem}"] if problem else []
                values += answer.status_code == 200
    assert not wrong
    assert values > 100


@pytest.mark.parametrize("accept", ["*/*", *(f"multipart/related; type={each}" for each in VALUES_ASKED)])
@pytest.mark.parametrize("level", LEVELS)
def test_all_values(archive: Archive, level: str, accept: str) -> None:
    wrong, had = [], 0
    for sample in archive.at(level):
        metadata = archive.get(f"{sample.path}/metadata", "application/dicom+json").json()[0]
        alone = {
            place: archive.get(uri.removeprefix(f"http://{HOST}/dicomweb"), accept.replace("*/*", "multipart/related"))
            for place, uri in _bulk_data(metadata)
        }
        for resource in ("bulkdata", "pixeldata"):
            values = [each for place, each in alone.items() if resource == "bulkdata" or place in PIXEL_VALUES]
            right = [part for each in values if each.status_code == 200 for part in parts_of(each)]
            answer = archive.get(f"{_at(sample, level)}/{resource}", accept)
            if not right:
                problem = "" if answer.status_code in (404, 406) else f"{answer.status_code} is no refusal"
            elif answer.status_code != 200:
                problem = f"{answer.status_code}: {answer.text}"
            else:
                had += 1
                found = parts_of(answer)
                refused = [fields for fields, _ in found if fields["content-type"] == "application/json"]
                good = [part for part in found if part[0]["content-type"] != "application/json"]
                is_right = good == right and len(refused) == sum(each.status_code != 200 for each in values)
                problem = "" if is_right else "not the values"
            wrong += [f"{sample} {resource}: {problem}"] if problem else []
    assert not wrong
    assert had or accept.endswith("text/html")


def _bulk_data(attributes: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for tag, element in attributes.items():
        if "BulkDataURI" in element:
            yield path + tag, element["BulkDataURI"]
        if element["vr"] == "SQ":
            for number, item in enumerate(element.get("Value", ()), start=1):
                yield from _bulk_data(item, f"{path}{tag}/{number}/")


@pytest.mark.parametrize("accept", METADATA_ASKED)
@pytest.mark.parametrize("level", LEVELS)
def test_metadata(archive: Archive, level: str, accept: str) -> None:
    wrong = []
    for sample in archive.at(level):
        answer = archive.get(f"{_at(sample, level)}/metadata", accept)
        problem = _refused_or_wrong(answer, can=level in METADATA_ASKED[accept])
        if problem is None:
            told = _tags(answer, accept)
            kept = {f"{each.tag:08X}" for each in sample.data_set if each.tag.element and each.tag != 0xFFFCFFFC}
            problem = "" if told == kept | {"00083002"} else f"{sorted(told ^ kept)}"
        wrong += [f"{sample}: {problem}"] if problem else []
    assert not wrong


def _tags(answer: httpx.Response, accept: str) -> set[str]:
    """Of the one data set; values are compared in test_metadata_beside_peers.py."""
    if "xml" not in accept:
        (found,) = answer.json()
        assert [*found] == sorted(found)
        return set(found)
    ((_, text),) = parts_of(answer) if "multipart" in accept else (({}, answer.content),)
    return {element.attrib["tag"] for element in ElementTree.fromstring(text)}


@pytest.mark.parametrize("accept", PICTURES_ASKED)
@pytest.mark.parametrize("level", [*LEVELS, "frame", "frames"])
def test_rendered(archive: Archive, level: str, accept: str) -> None:
    wrong, had = [], 0
    for sample in archive.at(level):
        last = max(1, fragments(sample))
        numbers = {"frame": f"/frames/{last}", "frames": f"/frames/1,{last}"}
        path = f"{_at(sample, level)}/rendered" if level in LEVELS else f"{sample.path}{numbers[level]}/rendered"
        answer = archive.get(path, accept)
        problem = _refused_or_wrong(answer, can=_is_rendered(sample, level, accept))
        if problem is None:
            had += 1
            problem = wrong_picture(archive, sample, level, accept, answer)
        wrong += [f"{sample}: {problem}"] if problem else []
    assert not wrong, accept
    assert had or accept in DOCUMENTS or accept in (*VIDEOS, *STILLS)


def _is_rendered(sample: Sample, level: str, accept: str) -> bool:
    if accept in DOCUMENTS:
        return level in LEVELS and str(sample.data_set.SOPClassUID).startswith(DOCUMENTS[accept])
    if not sample.pixels:
        return False
    if sample.is_video and level in LEVELS:
        return accept == rules.stored_media_type(sample) or accept not in VIDEOS
    if accept in VIDEOS[1:]:
        return False
    is_film = sample.frames > 1 if level == "instance" else level == "frames"
    if accept == "video/mp4" and not is_film:
        return False
    if level == "frames" and accept in STILLS and accept != "image/gif":
        return False  # a list of frames is parts, or a film
    return rules.has_pictures(sample)


@pytest.mark.parametrize("accept", THUMBNAILS_ASKED)
@pytest.mark.parametrize("level", [*LEVELS, "frame"])
def test_thumbnails(archive: Archive, level: str, accept: str) -> None:
    wrong = []
    for sample in archive.at(level):
        path = _at(sample, level) if level in LEVELS else f"{sample.path}/frames/{max(1, fragments(sample))}"
        answer = archive.get(f"{path}/thumbnail", accept)
        can = rules.has_pictures(sample) and accept in ("image/jpeg", "image/png")
        problem = _refused_or_wrong(answer, can=can)
        if problem is None:
            with Image.open(io.BytesIO(answer.content)) as picture:
                is_right = picture.format == FORMATS[accept] and 1 <= max(picture.size) <= 256
                problem = "" if is_right else f"{picture.format} {picture.size}"
        wrong += [f"{sample}: {problem}"] if problem else []
    assert not wrong, accept


def _wado(sample: Sample, **query: str) -> dict[str, str]:
    data_set = sample.data_set
    uids = {"studyUID": data_set.StudyInstanceUID, "seriesUID": data_set.SeriesInstanceUID}
    return {"requestType": "WADO", **uids, "objectUID": data_set.SOPInstanceUID, **query}


@pytest.mark.parametrize("asked", FILE_ASKED[2:])
def test_wado_uri_gives_the_same_file(archive: Archive, asked: str) -> None:
    assert not _different_by_uri(archive, f"application/dicom; transfer-syntax={asked}", "", transferSyntax=asked)


@pytest.mark.parametrize("accept", [each for each in PICTURES_ASKED if "multipart" not in each])
def test_wado_uri_gives_the_same_picture(archive: Archive, accept: str) -> None:
    assert not _different_by_uri(archive, accept, "/rendered", contentType=accept)


def _different_by_uri(archive: Archive, accept: str, resource: str, **query: str) -> list[str]:
    """Samples that are told otherwise by WADO-URI than by WADO-RS."""
    wrong = []
    # Two decoder processes do not write H.264 of a few images byte for byte alike: what is shown is compared.
    is_same = is_same_film if accept == "video/mp4" else operator.eq
    for sample in archive.samples:
        one = archive.get(f"{sample.path}{resource}", accept)
        other = archive.get("/wado", "*/*", **_wado(sample, **query))
        if one.status_code != other.status_code or (one.status_code == 200 and not is_same(one.content, other.content)):
            wrong.append(f"{sample}: {one.status_code} {other.status_code} {other.text[:200]}")
        elif one.status_code != 200 and not is_refused(other):
            wrong.append(f"{sample}: {other.status_code} {other.text[:200]}")
    return wrong


def test_wado_uri_and_versions_as_stored(archive: Archive) -> None:
    for sample in archive.samples:
        for path, query in (
            (f"{sample.path}/versions/1", {}),
            ("/wado", _wado(sample, contentType="application/dicom")),
        ):
            answer = archive.get(path, "application/dicom", **query)
            assert answer.status_code == 200, (sample, path, answer.text)
            assert data_set_bytes(answer.content) == data_set_bytes(sample.file), (sample, path)
    assert archive.get(f"{archive.samples[0].path}/versions/1", "text/html").status_code == 406
