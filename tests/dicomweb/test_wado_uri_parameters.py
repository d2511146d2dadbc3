"""The query string of WADO-URI, and all that can be wrong with it."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pacs.dicomweb.rendering_parameters import rendering_parameters
from pacs.dicomweb.resources import ResourceKey
from pacs.dicomweb.wado_uri_parameters import PARAMETERS, UriRequest, uri_request
from pacs.errors import InvalidIdentity, InvalidRequest
from pacs.pixels.render import MAX_VIEWPORT

UIDS = {"requestType": "WADO", "studyUID": "1.2", "seriesUID": "1.3", "objectUID": "1.4"}
KEY = ResourceKey("1.2", "1.3", "1.4")


def asked(**parameters: object) -> UriRequest:
    return uri_request(urlencode({**UIDS, **parameters}).encode())


def refusal(**parameters: object) -> str:
    with pytest.raises((InvalidRequest, InvalidIdentity)) as problem:
        asked(**parameters)
    return str(problem.value)


def test_only_the_identity_is_needed() -> None:
    request = uri_request(b"requestType=WADO&studyUID=1.2&seriesUID=1.3&objectUID=1.4")
    assert request.key.path == "/studies/1.2/series/1.3/instances/1.4"
    assert request.rendering() == {}
    for name in UIDS:
        assert name in refusal(**{name: ""})
        with pytest.raises((InvalidRequest, InvalidIdentity), match=name):
            uri_request(urlencode({other: value for other, value in UIDS.items() if other != name}).encode())


def test_in_the_words_of_rendered_resources() -> None:
    picture = asked(windowCenter="-40.5", windowWidth="1e3", imageQuality=7, rows=10, columns=20, region="0,.25,.5,1")
    assert picture.rendering(100, 80) == {
        "window": "-40.5,1000.0,linear",
        "quality": "7",
        "viewport": "20,10,0,20,50,60",
    }
    assert asked(region="0.1,0.1,0.2,0.2").rendering(100, 80) == {"viewport": "10,8,10,8,10,8"}
    assert asked(rows=10).rendering() == {"viewport": "16384,10"}
    assert asked(annotation="patient,technique").rendering() == {"annotation": "patient,technique"}
    assert asked(imageAnnotation="patient").rendering() == {"annotation": "patient"}
    state = asked(presentationUID="1.5", presentationSeriesUID="1.6", columns=20)
    assert state.rendering() == {
        "presentationinstance": "1.5",
        "presentationseries": "1.6",
        "viewport": "20,16384",
    }


def test_a_presentation_state_brings_its_own_window_and_region() -> None:
    state = {"presentationUID": "1.5", "presentationSeriesUID": "1.6"}
    for name, value in (("region", "0,0,1,1"), ("windowCenter", "1"), ("windowWidth", "1")):
        assert name in refusal(**state, **{name: value})
    assert "presentationUID" in refusal(presentationUID="x", presentationSeriesUID="1.6")
    assert "imageAnnotation" in refusal(annotation="patient", imageAnnotation="patient")


LONG = "9" * 4000


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        *(("requestType", value) for value in ("", "wado", "QIDO", "WADO\0")),
        *((name, value) for name in ("studyUID", "seriesUID", "objectUID") for value in ("", "1.2/../3", "x", LONG)),
        *(("transferSyntax", value) for value in ("", "explicit", "1.2\0")),
        *(("contentType", value) for value in ("image", "image/jpeg;q=7", "multipart/related", ";", "a" * 9000)),
        *(("frameNumber", value) for value in ("", "0", "-1", "1.5", "1,2", "٣", LONG)),
        *(("imageQuality", value) for value in ("0", "101", "high", "")),
        *(("rows", value) for value in ("0", "-5", "1e9", "99999", LONG)),
        *(("columns", value) for value in ("0", "16385", "8px")),
        *(("region", value) for value in ("", "0,0,1", "0,0,0,0", "0.5,0,0.5,1", "1,1,0,0", "nan,0,1,1", "0,0,2,2")),
        *(("anonymize", value) for value in ("yes", "no", "")),
        *(("annotation", value) for value in ("", "Patient", "patient, technique", "<b>")),
        ("imageAnnotation", "All"),
        *(("presentationUID", value) for value in ("1.2.3", "x")),
        ("presentationSeriesUID", "1.2.3"),
    ],
)
def test_what_cannot_be_understood_is_named(parameter: str, value: str) -> None:
    assert parameter in refusal(**{parameter: value})


@pytest.mark.parametrize(
    ("window", "named"),
    [
        ({"windowCenter": "40"}, "windowWidth"),
        ({"windowWidth": "40"}, "windowCenter"),
        ({"windowCenter": "x", "windowWidth": "40"}, "windowCenter"),
        ({"windowCenter": "1_0", "windowWidth": "40"}, "windowCenter"),
        ({"windowCenter": "40", "windowWidth": "inf"}, "windowWidth"),
        ({"windowCenter": "40", "windowWidth": "0"}, "windowWidth"),
        ({"windowWidth": "40", "windowCenter": "1e400"}, "windowCenter"),
    ],
)
def test_a_window_needs_two_numbers(window: dict[str, str], named: str) -> None:
    assert named in refusal(**window)


def test_names_have_their_case_and_stand_once() -> None:
    for name in PARAMETERS:
        assert name in refusal(**{name.swapcase(): 1})
    for name in ("studyUID", "rows"):
        with pytest.raises(InvalidRequest, match=f"{name} is given twice"):
            uri_request(urlencode({**UIDS, "rows": 3}).encode() + f"&{name}=1.2".encode())
    assert asked(vendor="x", charset="UTF-8").of_pictures == ()


NAMES = st.sampled_from([*PARAMETERS, "studyuid", "", "x"])
VALUES = st.one_of(
    st.text(max_size=30), st.sampled_from(["1.2", "WADO", "1", "0,0,1,1", "0.99,0.99,1,1", "image/jpeg", "1e5"])
)
SIZES = st.integers(1, 70_000) | st.integers(1, 4)


@example([("region", "0.99,0.99,1,1")], True, 1, 4)
@given(st.lists(st.tuples(NAMES, VALUES), max_size=8), st.booleans(), SIZES, SIZES)
def test_anything_else_is_refused_or_can_be_rendered(
    fields: list[tuple[str, str]], has_uids: bool, columns: int, rows: int
) -> None:
    said = [*UIDS.items(), *fields] if has_uids else fields
    try:
        request = uri_request(urlencode(said, errors="replace").encode())
    except (InvalidRequest, InvalidIdentity) as refused:
        assert 0 < len(str(refused)) < 500
        return
    assert request.key == KEY
    viewport = rendering_parameters(request.rendering(columns, rows)).viewport
    if viewport is not None:
        assert 1 <= viewport.columns <= MAX_VIEWPORT
        assert 1 <= viewport.rows <= MAX_VIEWPORT
        assert 0 <= viewport.left < viewport.left + (viewport.width or 1) <= columns
        assert 0 <= viewport.top < viewport.top + (viewport.height or 1) <= rows


_SAID = (b"studyUID=1.5", b"seriesUID=1.3", b"objectUID=%31.4", b"STUDYUID=1.5", b"rows=1", b"x=%00", b"%", b"", b"=")


@given(st.binary(max_size=80) | st.lists(st.sampled_from(_SAID), max_size=4).map(b"&".join))
def test_no_bytes_are_too_strange(query_string: bytes) -> None:
    try:
        request = uri_request(urlencode(UIDS).encode() + b"&" + query_string)
    except (InvalidRequest, InvalidIdentity) as refused:
        assert 0 < len(str(refused)) < 500
        return
    assert request.key == KEY, "whatever follows, another image is not meant"
