"""What an answer says of its own URL, and URLs that clients join from pieces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pacs.dicomweb.resources import ResourceKey
from tests.dicomweb.served import DoorInMemory, OneDoorInMemory, archive_under, image, multipart_body, parts_of, written

RESOURCES = (
    *("", "/metadata", "/frames/1", "/frames/1,1", "/bulkdata/7FE00010", "/bulkdata", "/pixeldata"),
    *("/rendered", "/rendered?viewport=8,8&accept=image/png", "/thumbnail", "/frames/1/rendered"),
)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoorInMemory]:
    with archive_under(tmp_path_factory.mktemp("archive")) as services:
        yield OneDoorInMemory(*services)


@pytest.fixture(scope="module")
def kept(door: DoorInMemory) -> ResourceKey:
    return door.keep(image())


@pytest.mark.parametrize("resource", RESOURCES)
def test_what_is_retrieved_tells_its_url_and_so_does_304(door: DoorInMemory, kept: ResourceKey, resource: str) -> None:
    """PS3.18 Table 8.4.2-1; RFC 9110 §15.4.5 of what was not modified."""
    for _ in range(2):  # made, and remembered
        answer = door.get(kept.path + resource)
        assert answer.status_code == 200
        assert answer.headers["content-location"] == door.base + kept.path + resource
    for fields in ({"if_none_match": answer.headers["etag"]}, {"if_none_match": "*"}):
        assert door.get(kept.path + resource, **fields).headers["content-location"] == door.base + kept.path + resource
    assert door.request("HEAD", kept.path + resource).headers["content-location"] == door.base + kept.path + resource


def test_a_part_of_it_tells_it_and_an_error_does_not(door: DoorInMemory, kept: ResourceKey) -> None:
    part = door.get(kept.path + "/frames/1", accept="application/octet-stream", range="bytes=0-9")
    assert (part.status_code, part.headers["content-location"]) == (206, f"{door.base}{kept.path}/frames/1")
    for refused in (
        door.get(kept.path + "/frames/2"),
        door.get(kept.path + "/frames/1", accept="text/plain"),
        door.get(kept.path + "/frames/1", accept="application/octet-stream", range="bytes=9999-"),
        door.get(kept.path + "/frames/1", if_match='"other"'),
    ):
        assert refused.status_code >= 400
        assert "content-location" not in refused.headers


def test_a_query_too_long_for_a_header_is_not_repeated(door: DoorInMemory, kept: ResourceKey) -> None:
    answer = door.get(f"{kept.path}/rendered?x={'y' * 5000}")
    assert answer.status_code == 200
    assert "content-location" not in answer.headers
    odd = door.get(f"{kept.path}/rendered?x=%0d%0aset-cookie:a")
    assert odd.headers["content-location"].endswith("?x=%0d%0aset-cookie:a")
    assert "set-cookie" not in odd.headers


def test_the_uri_service_names_the_resource(door: DoorInMemory, kept: ResourceKey) -> None:
    uids = f"studyUID={kept.study_instance_uid}&seriesUID={kept.series_instance_uid}&objectUID={kept.sop_instance_uid}"
    file = door.get(f"/wado?requestType=WADO&{uids}&contentType=application/dicom")
    assert file.headers["content-location"] == f"{door.base}{kept.path}?accept=application%2Fdicom"
    same = door.get(file.headers["content-location"].removeprefix(door.base))
    assert (same.content, same.headers["content-type"]) == (file.content, file.headers["content-type"])
    picture = door.get(f"/wado?requestType=WADO&{uids}&contentType=image/png&rows=8&frameNumber=1")
    assert picture.headers["content-location"].startswith(f"{door.base}{kept.path}/frames/1/rendered?")
    assert door.get(picture.headers["content-location"].removeprefix(door.base)).content == picture.content


def test_what_was_stored_is_named(door: DoorInMemory) -> None:
    """PS3.18 Table 10.5.3-2."""
    one, beside = image(), image()
    neighbour = image(StudyInstanceUID=one.StudyInstanceUID)
    answer = door.post("/studies", written(one))
    path = ResourceKey(one.StudyInstanceUID, one.SeriesInstanceUID, one.SOPInstanceUID).path
    assert answer.headers["location"] == answer.headers["content-location"] == door.base + path
    for instances, location in (
        ((one, neighbour), f"{door.base}/studies/{one.StudyInstanceUID}"),
        ((one, beside), None),
    ):
        body, headers = multipart_body([written(each) for each in instances])
        answer = door.post("/studies", body, headers["content-type"])
        assert answer.status_code == 200
        assert answer.headers.get("location") == answer.headers.get("content-location") == location
    refused = door.post("/studies", b"no DICOM at all")
    assert refused.status_code == 400
    assert "location" not in refused.headers


@pytest.mark.parametrize(
    "path",
    ["/studies/", "//studies", "//studies//", "/studies?limit=3", "/series/", "/studies/{}/", "/studies/{}/series/"],
)
def test_slashes_of_joined_urls_do_not_count(door: DoorInMemory, kept: ResourceKey, path: str) -> None:
    path = path.format(kept.study_instance_uid)
    asked = {"headers": {"accept": "*/*"}}
    answer = door.request("GET", door.base + path, **asked)
    plain = door.request("GET", "/" + path.strip("/"), **asked)
    assert (answer.status_code, answer.content) == (200, plain.content)
    assert door.request("HEAD", door.base + path).status_code == 200
    assert door.request("OPTIONS", door.base + path).headers["allow"].startswith("GET")


@pytest.mark.parametrize("resource", [resource for resource in RESOURCES if "?" not in resource])
def test_every_resource_may_end_with_a_slash(door: DoorInMemory, kept: ResourceKey, resource: str) -> None:
    answer = door.get(f"{kept.path}{resource}/")
    assert answer.status_code == 200
    assert answer.headers["content-location"] == door.base + kept.path + resource
    assert answer.headers["etag"] == door.get(kept.path + resource).headers["etag"]


def test_stores_may_end_with_a_slash_and_what_is_deleted_may_not(door: DoorInMemory) -> None:
    other = image()
    assert door.post("/studies/", written(other)).status_code == 200
    assert door.post(f"/studies/{other.StudyInstanceUID}/", written(other)).status_code == 200
    assert door.request("DELETE", f"/studies/{other.StudyInstanceUID}/").status_code == 404
    for path in ("/", "", "/studies//series", f"/studies/{other.StudyInstanceUID}//series"):
        assert door.request("GET", door.base + path, follow_redirects=True).status_code in (400, 404), path


def test_a_search_reads_all_accept_fields(door: DoorInMemory, kept: ResourceKey) -> None:
    for fields in ([("accept", "text/html"), ("accept", "application/dicom+json")], [("accept", "x, */*")]):
        assert door.request("GET", f"/studies/{kept.study_instance_uid}/series", headers=fields).status_code == 200
    several = f"/studies/{kept.study_instance_uid}/series?accept=text/html&accept=application/dicom%2Bjson"
    assert door.get(several).status_code == 200


def test_every_part_tells_its_length(door: DoorInMemory, kept: ResourceKey) -> None:
    """PS3.18 Table 8.6.1-1."""
    series = f"/studies/{kept.study_instance_uid}/series/{kept.series_instance_uid}"
    study = f"/studies/{kept.study_instance_uid}"
    for path, accept in (
        *((path, "multipart/related; type=application/dicom") for path in (kept.path, series, study)),
        (kept.path, 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.80'),
        *(
            (kept.path + what, "multipart/related; type=application/octet-stream")
            for what in ("/frames/1", "/pixeldata")
        ),
        (kept.path + "/frames/1,1", "multipart/related; type=image/jls"),
        (study + "/bulkdata", "multipart/related; type=application/octet-stream"),
        (series + "/rendered", "multipart/related; type=image/png"),
        (kept.path + "/bulkdata/7FE00010", "multipart/related; type=application/octet-stream"),
        ("/studies", "multipart/related; type=application/dicom+xml"),
    ):
        answer = door.get(path, accept=accept)
        assert answer.status_code == 200, (path, answer.text)
        parts = parts_of(answer)
        assert parts
        assert all(int(fields["content-length"]) == len(body) for fields, body in parts), path
        if "content-length" in answer.headers:
            assert int(answer.headers["content-length"]) == len(answer.content)
