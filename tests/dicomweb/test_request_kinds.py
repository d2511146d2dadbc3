"""Which kind a request is, by its method and URL."""

from __future__ import annotations

import pytest

from pacs.dicomweb.request_kinds import kind_of, refined
from pacs.measured.kinds import kind

SERIES = "/studies/1.2/series/1.3"
INSTANCE = SERIES + "/instances/1.4"


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/studies", b"PatientID=1", "search"),
        ("/studies", b"PatientName=KIM*", "search"),
        ("/studies", b"PatientName=*KIM*", "search_infix"),
        ("/studies", b"limit=5&PatientName=%2akim%2A", "search_infix"),
        ("/studies", b"PatientName=KIM&fuzzymatching=true", "search_infix"),
        ("/studies", b"PatientName=*", "search"),
        ("/series", b"", "search"),
        ("/studies/1.2/series", b"", "search"),
        ("/studies/1.2/instances", b"", "search"),
        (SERIES + "/instances", b"", "search"),
        ("/studies/1.2", b"", "export"),
        (SERIES, b"", "export"),
        (INSTANCE, b"", "instance"),
        ("/studies/1.2/metadata", b"", "study_metadata"),
        (SERIES + "/metadata", b"", "metadata"),
        (INSTANCE + "/metadata", b"", "metadata"),
        (INSTANCE + "/frames/1,2", b"", "frame"),
        (INSTANCE + "/frames/1/thumbnail", b"", "thumbnail"),
        (INSTANCE + "/frames/1/rendered", b"", "rendered"),
        ("/studies/1.2/thumbnail", b"", "thumbnail"),
        (SERIES + "/rendered", b"window=1,2,linear", "rendered"),
        (INSTANCE + "/bulkdata/00091010/1/00091011", b"", "bulk_data"),
        (INSTANCE + "/versions", b"", "other"),
        ("/openapi.json", b"", "other"),
        ("/workitems/1.2", b"", "other"),
        *(
            (f"/studies/1{rest}/{name}", b"", "export")
            for rest in ("", "/series/2")
            for name in ("bulkdata", "pixeldata")
        ),
        ("/studies/1/series/2/instances/3/bulkdata", b"", "bulk_data"),
        ("/studies/1/series/2/instances/3/pixeldata", b"", "bulk_data"),
        ("/wado", b"requestType=WADO&contentType=image/jpeg", "rendered"),
        ("/wado", b"requestType=WADO", "rendered"),
        ("/wado", b"requestType=WADO&contentType=application%2Fdicom", "instance"),
        ("", b"", "other"),
        ("///", b"", "other"),
    ],
)
def test_a_get(path: str, query: bytes, expected: str) -> None:
    assert kind_of("GET", path, query).name == expected
    assert kind_of("HEAD", path, query).name == expected


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/studies", "store"),
        ("POST", "/studies/1.2", "store"),
        ("POST", "/workitems", "other"),
        ("DELETE", "/studies/1.2", "other"),
        ("OPTIONS", "/studies", "other"),
        ("MADE-UP", "/studies", "other"),
    ],
)
def test_other_methods(method: str, path: str, expected: str) -> None:
    assert kind_of(method, path).name == expected


def test_what_it_turns_out_to_be() -> None:
    assert refined(kind("frame"), "transcoded").name == "frame_transcoded"
    assert refined(kind("frame"), None).name == "frame"
    assert refined(kind("export"), "transcoded").name == "export"
